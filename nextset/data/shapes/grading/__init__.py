"""The grader: reads pictures, edits, clips and views of the world back, and says how well they show what they should."""

from .grade import Grades, grade
from .read import Found, Reading, read, read_all

__all__ = ["Found", "Grades", "Reading", "grade", "read", "read_all"]

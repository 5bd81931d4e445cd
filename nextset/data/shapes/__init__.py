"""A procedural world of coloured shapes: seeded scenes, captions that are exactly true, and a grader that reads pictures back."""

from .dataset import Shapes
from .grading import Grades, Reading, grade, read
from .scene import Camera, Scene, Shape

__all__ = ["Camera", "Grades", "Reading", "Scene", "Shape", "Shapes", "grade", "read"]

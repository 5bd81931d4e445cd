"""The grader: reads pictures, edits, clips and views of the world back, and says how well they show what they should."""

from .agreement import Agreement, agreement
from .control import Fidelity, control_fidelity
from .editing import Change, EditGrades, changes, grade_edits
from .epipolar import epipolar_distances, fundamental, matched_points, tsed, views_tsed
from .grade import Grades, grade
from .prompts import CATEGORIES, prompts, score
from .read import Found, Reading, read, read_all
from .tracks import Steadiness, TrackErrors, steadiness, track_errors, tracks

__all__ = [
    "CATEGORIES",
    "Agreement",
    "Change",
    "EditGrades",
    "Fidelity",
    "Found",
    "Grades",
    "Reading",
    "Steadiness",
    "TrackErrors",
    "agreement",
    "changes",
    "control_fidelity",
    "epipolar_distances",
    "fundamental",
    "grade",
    "grade_edits",
    "matched_points",
    "prompts",
    "read",
    "read_all",
    "score",
    "steadiness",
    "track_errors",
    "tracks",
    "tsed",
    "views_tsed",
]

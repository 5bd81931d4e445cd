"""A procedural world of coloured shapes: seeded scenes, captions that are exactly true, and a grader that reads pictures back."""

from .clip import Clips, ClipStack, steer
from .dataset import Shapes, Truths, TruthStack
from .degrade import Degraded, DegradedStack
from .edit import Edits, EditStack, carry_out, changed
from .grading import Grades, Reading, grade, read
from .painting import Paintings, PaintingStack
from .render import pictures
from .scene import Camera, Lettering, Scene, Shape
from .views import Views, ViewStack, matches
from .voxels import Voxels, VoxelStack
from .world import World

__all__ = [
    "Camera",
    "ClipStack",
    "Clips",
    "Degraded",
    "DegradedStack",
    "EditStack",
    "Edits",
    "Grades",
    "Lettering",
    "PaintingStack",
    "Paintings",
    "Reading",
    "Scene",
    "Shape",
    "Shapes",
    "TruthStack",
    "Truths",
    "ViewStack",
    "Views",
    "VoxelStack",
    "Voxels",
    "World",
    "carry_out",
    "changed",
    "grade",
    "matches",
    "pictures",
    "read",
    "steer",
]

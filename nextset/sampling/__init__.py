"""Drawing many pictures so that nothing is lost: jobs that resume, are shared among processes, and end in one output."""

from .draw import Drawn, draw
from .gif import frames, save_gif
from .job import Job, identity, words
from .output import Folder, Grid, Npz, Output, output, recorded
from .share import Share

__all__ = [
    "Drawn",
    "Folder",
    "Grid",
    "Job",
    "Npz",
    "Output",
    "Share",
    "draw",
    "frames",
    "identity",
    "output",
    "recorded",
    "save_gif",
    "words",
]

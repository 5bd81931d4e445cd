"""Judging: likelihood, distances between sets of pictures, and whether they show what was asked for."""

from .accuracy import grade_shapes
from .classifier import trained
from .evaluate import evaluate
from .features import Extractor, tiny_random
from .frechet import Moments
from .legibility import Legibility, legibility
from .prompting import prompt_list, prompt_score
from .protocol import Difference, Figure, Protocol, Result, compare
from .samples import Samples, load_samples, save_folder, save_grid, save_npz

__all__ = [
    "Difference",
    "Extractor",
    "Figure",
    "Legibility",
    "Moments",
    "Protocol",
    "Result",
    "Samples",
    "compare",
    "evaluate",
    "grade_shapes",
    "legibility",
    "load_samples",
    "prompt_list",
    "prompt_score",
    "save_folder",
    "save_grid",
    "save_npz",
    "tiny_random",
    "trained",
]

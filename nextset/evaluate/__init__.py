"""Judging: likelihood, distances between sets of pictures, whether they show what was asked for, and what a tokenizer loses."""

from .accuracy import grade_shapes
from .classifier import trained
from .evaluate import evaluate
from .extractors import open_extractor, vision_model
from .features import Extractor, tiny_random
from .frechet import Moments
from .inception import inception
from .legibility import Legibility, legibility
from .pairs import psnr, ssim
from .prompting import prompt_list, prompt_score
from .protocol import Difference, Figure, Protocol, Result, compare
from .reference import Statistics, open_reference
from .round_trip import Reconstruction, ThroughFiles, ThroughTokens, round_trip
from .samples import Samples, load_samples, save_folder, save_grid, save_npz
from .text import TextTest

__all__ = [
    "Difference",
    "Extractor",
    "Figure",
    "Legibility",
    "Moments",
    "Protocol",
    "Reconstruction",
    "Result",
    "Samples",
    "Statistics",
    "TextTest",
    "ThroughFiles",
    "ThroughTokens",
    "compare",
    "evaluate",
    "grade_shapes",
    "inception",
    "legibility",
    "load_samples",
    "open_extractor",
    "open_reference",
    "prompt_list",
    "prompt_score",
    "psnr",
    "round_trip",
    "save_folder",
    "save_grid",
    "save_npz",
    "ssim",
    "tiny_random",
    "trained",
    "vision_model",
]

"""Judging: likelihood, distances between sets of pictures, whether they show what was asked for, and what a tokenizer loses."""

from .accuracy import grade_shapes
from .classifier import trained
from .evaluate import evaluate
from .extractors import open_extractor, vision_model
from .features import Extractor, tiny_random
from .frechet import Moments
from .inception import inception
from .pairs import psnr, ssim
from .protocol import Difference, Figure, Protocol, Result, compare
from .reference import Statistics, open_reference
from .round_trip import Reconstruction, ThroughFiles, ThroughTokens, round_trip
from .samples import Samples, load_samples, save_folder, save_grid, save_npz
from .text import TextTest

__all__ = [
    "Difference",
    "Extractor",
    "Figure",
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
    "load_samples",
    "open_extractor",
    "open_reference",
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

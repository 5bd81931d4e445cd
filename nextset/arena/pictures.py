"""What a report shows of a model: a grid of samples, and how one fills step by step. Few colours, so that pages stay small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..conditions import Unconditional
from ..data.open import open_dataset
from ..evaluate.samples import check_finite, grid_image
from ..files import write_atomically
from ..sampling import frames, save_gif
from .judging import Judge

GRID, FILLING = "samples.png", "filling.gif"
COLUMNS, MOST, FRAMES = 10, 16, 12  # of a grid; pictures and steps of the moving one
SHOWN, COLOURS = 32, 128  # pixels that a small picture is enlarged to; colours of a grid


def save_pictures(judge: Judge, scale: float, folder: Path) -> None:
    """Writes both into the folder of a run."""
    data, side = open_dataset(judge.contest.data, "test"), max(judge.model.system.size)
    rows = 8 if side <= SHOWN // 2 else 4
    enlarged, guidance = max(1, SHOWN // side), judge.guided(scale)
    classes = len(data.classes) or COLUMNS
    columns = min(classes, COLUMNS)  # one a class, where there are few
    asked: Any = torch.arange(rows * columns) % classes
    if judge.captioned:
        asked = [data[i % len(data)].caption for i in range(rows * columns)]
    images = judge.draw(asked, 0, judge.seed, guidance)
    check_finite(images)
    pixels = grid_image(images.repeat_interleave(enlarged, -1).repeat_interleave(enlarged, -2), columns)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).quantize(COLOURS)
    write_atomically(folder / GRID, lambda path: picture.save(path, format="PNG", optimize=True))
    few = None if isinstance(judge.model.system.condition, Unconditional) else asked[:MOST]
    steps = judge.model.stream(few, count=min(MOST, len(asked)), seed=judge.seed, guidance=guidance)
    save_gif(frames(steps, FRAMES), folder / FILLING, scale=enlarged, fps=4)

"""What a run tells: a progress bar, `log.jsonl`, tensorboard, sample grids. Only the main process tells anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..errors import need
from ..evaluate.samples import grid_image, save_grid

LOG = "log.jsonl"


class Journal:
    """Writes below `folder`; entries after `start` of an earlier attempt are dropped, so the log never runs twice over a step."""

    def __init__(self, folder: Path, start: int, steps: int, images: int, active: bool) -> None:
        self.folder, self.images, self.active = folder, images, active
        self.last: dict[str, float] = {}  # the figures last logged
        self.bar = tqdm(total=steps, initial=start, unit="step", disable=None if active else True, dynamic_ncols=True)
        if not active:
            return
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in _lines(folder / LOG) if line["step"] <= start] if start else []
        self.file = (folder / LOG).open("w")
        self.file.writelines(json.dumps(line) + "\n" for line in kept)
        board = need("torch.utils.tensorboard", "train")
        self.board = board.SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1 if start else None)

    def step(self) -> None:
        """One step is done."""
        self.bar.update()

    def figures(self, step: int, figures: dict[str, float]) -> None:
        """Logs numbers at `step`."""
        self.last = {**figures}
        if not self.active:
            return
        self.file.write(json.dumps({"step": step, **figures}) + "\n")
        self.file.flush()
        for name, value in figures.items():
            self.board.add_scalar(name, value, step)
        rate = self.bar.format_dict["rate"]
        speed = {"images/s": f"{rate * self.images:.0f}"} if rate else {}
        self.bar.set_postfix({k: f"{v:.4g}" for k, v in figures.items() if "loss" in k} | speed, refresh=False)

    def picture(self, step: int, images: Tensor) -> None:
        """Saves a grid of images (B, C, H, W) in [-1, 1]."""
        if self.active:
            save_grid(images, self.folder / "samples" / f"step-{step:07d}.png")
            self.board.add_image("samples", grid_image(images), step, dataformats="HWC")

    def say(self, text: str) -> None:
        """A line on the screen that does not break the bar."""
        if self.active:
            self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Flushes and closes."""
        self.bar.close()
        if self.active:
            self.file.close()
            self.board.close()


def _lines(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            break  # a line cut off by a crash: nothing after it counts
    return found


def read_log(folder: Path) -> list[dict[str, Any]]:
    """All entries of a run's log."""
    return _lines(folder / LOG)

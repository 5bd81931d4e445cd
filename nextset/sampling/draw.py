"""The loop of a sampling job: draw what is missing, batch by batch, and keep each batch at once."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import NextsetError
from ..evaluate.samples import check_finite
from ..model import Model
from .job import Job
from .output import Output
from .share import ALONE, Share


@dataclass(frozen=True)
class Drawn:
    """What a call of `draw` did: pictures drawn here, seconds, and how many are still missing (other processes draw them)."""

    count: int
    seconds: float
    missing: int

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.count / self.seconds if self.count else 0.0


def draw(model: Model, job: Job, out: Output, batch: int = 32, share: Share = ALONE) -> Drawn:
    """Draws the pictures of `job` that `out` lacks and that fall to this process; whoever draws the last makes `out` whole.

    May be stopped at any time: what is written is kept, and the same call goes on from there. Raises UsageError where `out`
    belongs to another job, NextsetError for pictures that are not finite and where disk or memory do not suffice.
    """
    out.begin(job)
    runs = share.runs(out.missing(job), batch)
    count, own = sum(map(len, runs)), len(share.own(range(job.count), batch))
    start = time.perf_counter()
    hidden = True if share.rank else None  # one bar is enough; None: also none where nobody looks
    with tqdm(total=own, initial=own - count, desc="samples", unit="image", disable=hidden) as bar:
        for run in runs:
            out.write(job, run.start, _images(model, job, run))
            bar.update(len(run))
    return Drawn(count, time.perf_counter() - start, out.finish(job))


def _images(model: Model, job: Job, run: range) -> Tensor:
    try:
        images = model.generate(
            job.asked(run),
            count=len(run),
            seed=job.seed,
            first=run.start,
            guidance=job.guidance,
            pick=job.pick,
        )
    except torch.OutOfMemoryError as error:
        raise NextsetError(f"the device's memory does not hold a batch of {len(run)}; use a smaller --batch") from error
    check_finite(images, run.start)
    return images

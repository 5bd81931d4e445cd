"""The world of shapes: pictures of a training batch, against the obvious way, which draws every shape over its whole picture.

Both give the same bytes. With several threads batches are shared among them, which all hold Python's lock while scenes are sampled.
The limit is writing the pictures once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nextset.data.shapes import Scene, Shapes
from nextset.data.shapes.render import coverage, pictures
from nextset.data.shapes.scene import COLOURS
from nextset.errors import NextsetError

from . import IMAGE, Case, Row
from .machine import Machine
from .rounds import alternate, timed

SIDES, THREADS, BATCH, ROUNDS = (32, 64), (1, 2), 128, 5


def rows(machine: Machine, quick: bool, only: str = "") -> Iterator[Row]:
    """Each side: drawing alone, and sampling scenes and captions too."""
    for side in SIDES:
        for threads in THREADS:
            if only in f"{side} pixels, {threads} threads":
                yield from _rows(machine, side, threads, 1 if quick else ROUNDS, 256 if quick else 2048)


def _rows(machine: Machine, side: int, threads: int, rounds: int, count: int) -> Iterator[Row]:
    data = Shapes("train", side)
    batches = [np.arange(at, at + BATCH) for at in range(0, count, BATCH)]
    scenes = [[data.sample(int(i)).scene for i in batch] for batch in batches]
    if not np.array_equal(pictures(scenes[0], side), whole(scenes[0], side)):
        raise NextsetError("the two ways to draw do not give the same pictures; the times mean nothing")
    with ThreadPoolExecutor(threads) as pool:
        draw, plain, stack = (
            timed(functools.partial(_all, pool, each, work))
            for each, work in (
                (functools.partial(pictures, side=side), scenes),
                (functools.partial(whole, side=side), scenes),
                (data.stack, batches),
            )
        )
        stack()
        seconds = alternate({"drawn": draw, "plain": plain, "sampled": stack}, rounds, f"shapes, {side} pixels")
    limit = machine.limit(count * side * side * 3, 0)
    for name, what in (("drawn", "drawn"), ("sampled", "sampled and drawn")):
        case = Case("shapes", f"{side} pixels, {what}", IMAGE, f"{threads} threads", "whole pictures")
        yield Row.of(case, count, seconds[name], seconds["plain"] if name == "drawn" else None, limit)


def _all(pool: ThreadPoolExecutor, each: Callable[..., object], work: Sequence[object]) -> None:
    for _ in pool.map(each, work):
        pass


def whole(scenes: Sequence[Scene], side: int) -> np.ndarray:
    """The pictures of plain scenes, uint8 (B, S, S, 3), one shape after the other."""
    images = np.empty((len(scenes), side, side, 3), dtype=np.uint8)
    for image, scene in zip(images, scenes, strict=True):
        canvas = np.tile(np.array(scene.background, dtype=np.float32), (side, side, 1))
        for shape in (scene.shapes[i] for i in scene.drawing_order()):
            share = coverage(shape.kind, np.array([[shape.x, shape.y, shape.size, shape.angle % math.tau]]), side)[0]
            canvas += (np.array(COLOURS[shape.colour], dtype=np.float32) - canvas) * share[..., None]
        image[:] = np.rint(canvas)
    return images

"""How faithfully pictures follow the maps that they were given: segmentation, edges, depth.

A picture is read, what was read is rendered, and its maps are compared with those of the true scene. Legend: B pictures, S side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ....errors import UsageError
from ..render import Rendered, render
from ..scene import KINDS, Scene
from .agreement import CHUNK, REACH, check_scenes
from .match import distances, in_picture, pairs
from .read import Reading, read_all

CLASSES = ("background", *KINDS)
NEAREST = 0.05  # smaller true depths count as this in the relative error
UNTOLD = 0.5  # the depth of a read shape that is none of the condition's


@dataclass(frozen=True)
class Fidelity:
    """Sums over all pixels of all pictures.

    `iou` intersection over union by class (not a number for a class that neither has), `mean_iou` over those that are there;
    `precision` and `recall` of the edge pixels: the share that has one of the other's within the tolerance, and `edge_f1` of
    both; `depth_rmse` and `depth_abs_rel`, mean |d - d*| / max(d*, 0.05), d* the true depth.
    """

    iou: dict[str, float]
    mean_iou: float
    precision: float
    recall: float
    edge_f1: float
    depth_rmse: float
    depth_abs_rel: float


def control_fidelity(images: np.ndarray | Tensor, scenes: Sequence[Scene], tolerance: int = 1) -> Fidelity:
    """Compares pictures, uint8 (B, S, S, 3) or float (B, 3, S, S) in [-1, 1], with the scenes whose maps they were given.

    Edge pixels match within `tolerance` pixels (along rows, columns and diagonals). A picture tells no depth, only what hides
    what: a read shape is as deep as the true one of that place.
    """
    check_scenes(images, scenes)
    if tolerance < 0:
        raise UsageError(f"tolerance must be at least 0 pixels, got {tolerance}")
    if not len(scenes):
        raise UsageError("images: fidelity needs at least one picture")
    sums = _Sums(tolerance)
    for at in range(0, len(scenes), CHUNK):
        readings, truth = read_all(images[at : at + CHUNK]), scenes[at : at + CHUNK]
        sums.add(readings, truth, render(truth, images.shape[2]))
    return sums.fidelity()


class _Sums:
    """What is counted."""

    def __init__(self, tolerance: int) -> None:
        self.tolerance = tolerance
        self.confusion = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)  # true, read
        self.edges = np.zeros(4)  # read ones, of which near true ones; true ones, of which near read ones
        self.depths = np.zeros(3)  # pixels, squared and relative errors

    def add(self, readings: Sequence[Reading], scenes: Sequence[Scene], truth: Rendered) -> None:
        again = render([reading.scene for reading in readings], truth.kinds.shape[1])
        both = truth.kinds.astype(np.int64) * len(CLASSES) + again.kinds
        self.confusion += np.bincount(both.ravel(), minlength=len(CLASSES) ** 2).reshape(self.confusion.shape)
        real, drawn = truth.edges(), again.edges()
        near_real, near_drawn = _grown(real, self.tolerance), _grown(drawn, self.tolerance)
        self.edges += [drawn.sum(), (drawn & near_real).sum(), real.sum(), (real & near_drawn).sum()]
        depths = np.stack([_depths(*one) for one in zip(readings, scenes, again.instances, strict=True)])
        wrong = np.abs(depths - truth.depths)
        self.depths += [wrong.size, (wrong**2).sum(), (wrong / np.maximum(truth.depths, NEAREST)).sum()]

    def fidelity(self) -> Fidelity:
        shared = self.confusion.diagonal()
        union = self.confusion.sum(0) + self.confusion.sum(1) - shared
        iou = {
            name: float(s / u) if u else float("nan")
            for name, s, u in zip(CLASSES, shared.tolist(), union.tolist(), strict=True)
        }
        drawn, right, real, met = self.edges.tolist()
        precision, recall = (right / drawn if drawn else 1.0), (met / real if real else 1.0)
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        pixels, squared, relative = self.depths.tolist()
        mean = float(np.nanmean(list(iou.values())))
        return Fidelity(iou, mean, precision, recall, f1, float(np.sqrt(squared / pixels)), relative / pixels)


def _grown(edges: np.ndarray, by: int) -> np.ndarray:
    """All pixels within `by` of an edge."""
    from scipy.ndimage import maximum_filter

    return np.asarray(maximum_filter(edges, (1, 2 * by + 1, 2 * by + 1)))


def _depths(reading: Reading, scene: Scene, instances: np.ndarray) -> np.ndarray:
    """The depth map of what was read, (S, S)."""
    known = [f for f in reading.shapes if f.kind]
    true = in_picture(scene)
    depths = np.full(1 + len(known), UNTOLD)
    depths[0] = 1.0
    for f, t in pairs(distances(known, true), REACH):
        depths[1 + f] = true[t].depth
    return depths[instances]

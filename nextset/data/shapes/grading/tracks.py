"""Clips: do shapes move as they should, and stay what they are? Legend: T frames, S side.

What is read of every frame is linked to tracks by the Hungarian method. Against true scenes the counts are those of CLEAR MOT
(Bernardin and Stiefelhagen 2008); alone, a clip is judged by how evenly its shapes move and how seldom they change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ....errors import UsageError
from ..render import render
from ..scene import Scene
from .agreement import REACH, check_scenes, visible
from .match import distances, in_picture, pairs
from .read import Found, Reading, read_all

STRANGE = 0.1  # what another kind, or another colour, costs as if it were this far away
PATIENCE = 2  # frames that a track may be out of sight

Track = dict[int, Found]


@dataclass(frozen=True)
class Steadiness:
    """A clip, or several, alone; nothing of it needs the truth.

    `acceleration`: mean |x(t+1) - 2 x(t) + x(t-1)| in sides of the picture (constant velocity has 0; a bounce off an edge has some);
    `colour_flicker`, `kind_flicker`: the share of steps at which a track changes it; `size_flicker`: mean |log(size ratio)| of a
    step; `persistence`: mean share of the frames that a track is seen in. Not a number where no track has enough frames.
    """

    acceleration: float
    colour_flicker: float
    kind_flicker: float
    size_flicker: float
    persistence: float


@dataclass(frozen=True)
class TrackErrors:
    """Clips against the truth, over all true shapes of all frames that show enough to be read.

    `position`: mean distance of those found, in sides of the picture; `missing`: the share not found; `spurious`: shapes read that
    are none of them; `switches`: how often a shape goes on as another track; `strange`: found ones of a wrong kind or colour;
    these as shares of the true shapes. `mota` is 1 - missing - spurious - switches.
    """

    position: float
    missing: float
    spurious: float
    switches: float
    strange: float
    mota: float


def tracks(readings: Sequence[Reading], reach: float = REACH) -> list[Track]:
    """The readings of T frames as tracks, each what is found of one shape by frame.

    A shape goes on where its last two places lead, within `reach` sides of the picture; it may be out of sight for two frames.
    """
    linked: list[Track] = []
    for now, reading in enumerate(readings):
        live = [track for track in linked if now - max(track) <= PATIENCE + 1]
        costs = np.array([[_cost(track, found, now) for found in reading.shapes] for track in live])
        both = pairs(costs.reshape(len(live), len(reading.shapes)), reach)
        for t, f in both:
            live[t][now] = reading.shapes[f]
        taken = {f for _, f in both}
        linked += [{now: found} for f, found in enumerate(reading.shapes) if f not in taken]
    return linked


def _cost(track: Track, found: Found, now: int) -> float:
    """How far `found` is from where the track leads, and how strange."""
    *before, last = sorted(track)[-2:]
    x, y = track[last].x, track[last].y
    if before:
        share = (now - last) / (last - before[0])
        x, y = x + (x - track[before[0]].x) * share, y + (y - track[before[0]].y) * share
    strange = (found.kind != track[last].kind) + (found.colour != track[last].colour)
    return math.hypot(found.x - x, found.y - y) + STRANGE * strange / 2


def steadiness(clips: Sequence[np.ndarray | Tensor]) -> Steadiness:
    """Judges clips, each uint8 (T, S, S, 3) or float (T, 3, S, S) in [-1, 1], without the truth."""
    accelerations: list[float] = []
    changed: list[tuple[bool, bool, float]] = []
    lives: list[float] = []
    for clip in clips:
        linked = tracks(read_all(clip))
        lives += [len(track) / len(clip) for track in linked]
        for track in linked:
            steps = [(track[t], track[t + 1]) for t in track if t + 1 in track]
            changed += [(a.colour != b.colour, a.kind != b.kind, abs(math.log(b.size / a.size))) for a, b in steps]
            accelerations += [
                math.hypot(c.x - 2 * b.x + a.x, c.y - 2 * b.y + a.y)
                for t, b in track.items()
                if (a := track.get(t - 1)) and (c := track.get(t + 1))
            ]
    colour, kind, size = np.array(changed, dtype=np.float64).reshape(-1, 3).T
    return Steadiness(_mean(accelerations), _mean(colour), _mean(kind), _mean(size), _mean(lives))


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def track_errors(clips: Sequence[np.ndarray | Tensor], scenes: Sequence[Sequence[Scene]]) -> TrackErrors:
    """Compares clips, each uint8 (T, S, S, 3) or float (T, 3, S, S) in [-1, 1], with the scenes of their frames.

    A shape is one and the same where it has the same place in all scenes of a clip (`scene.at(t)` keeps it).
    """
    if len(clips) != len(scenes):
        raise UsageError(f"scenes: {len(scenes)} for {len(clips)} clips; give each clip the scenes of its frames")
    sums = _Counts()
    for clip, true in zip(clips, scenes, strict=True):
        check_scenes(clip, true)
        sums.add(read_all(clip), true, clip.shape[2])
    return sums.errors()


class _Counts:
    """What is counted over clips."""

    def __init__(self) -> None:
        self.true = self.missing = self.spurious = self.switches = self.strange = 0
        self.apart: list[float] = []

    def add(self, readings: Sequence[Reading], scenes: Sequence[Scene], side: int) -> None:
        names = {id(found): n for n, track in enumerate(tracks(readings)) for found in track.values()}
        truth = render(scenes, side)
        known: dict[int, int] = {}  # the last track of each true shape
        for t, (reading, scene) in enumerate(zip(readings, scenes, strict=True)):
            shapes = in_picture(scene)
            shown = visible(truth, t, len(shapes))
            far = distances(shapes, reading.shapes)
            # who was whom a frame ago still is, if it is near enough: else two that meet would be told apart by chance
            same = np.array([[known.get(i) == names[id(f)] for f in reading.shapes] for i in range(len(shapes))], bool)
            both = pairs(far - 2 * REACH * (same.reshape(far.shape) & (far <= REACH)), REACH)
            for i, f in both:
                found, track = reading.shapes[f], names[id(reading.shapes[f])]
                self.apart.append(float(far[i, f]))
                self.strange += (found.kind, found.colour) != (shapes[i].kind, shapes[i].colour)
                self.switches += known.get(i, track) != track
                known[i] = track
            seen = {i for i, _ in both}
            self.true += int(shown.sum()) + len([i for i in seen if not shown[i]])
            self.missing += len([i for i in np.flatnonzero(shown).tolist() if i not in seen])
            self.spurious += len(reading.shapes) - len(both)

    def errors(self) -> TrackErrors:
        if not self.true:
            raise UsageError("scenes: no frame shows a shape, so there is nothing to follow")
        missing, spurious, switches = (count / self.true for count in (self.missing, self.spurious, self.switches))
        mota = 1 - missing - spurious - switches
        return TrackErrors(_mean(self.apart), missing, spurious, switches, self.strange / self.true, mota)

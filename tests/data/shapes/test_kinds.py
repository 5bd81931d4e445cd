"""Voxels, paintings, degraded pictures, and what all kinds share."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nextset.data.shapes import Degraded, Paintings, Scene, Shape, Shapes, Truths, Voxels, World
from nextset.data.shapes.degrade import DEGRADATIONS, SEVERITIES, degraded
from nextset.data.shapes.painting import painted, stages
from nextset.data.shapes.render import pictures, render
from nextset.data.shapes.scene import COLOURS
from nextset.data.shapes.voxels import SKY, SOLID_CLASSES, Solid, Solids, drawn, front, solids, voxels
from nextset.errors import UsageError

# voxels


@pytest.mark.parametrize(
    ("kind", "volume"),
    [
        ("ball", 4 * math.pi / 3),
        ("cube", 8),
        ("cylinder", 2 * math.pi),
        ("cone", 2 * math.pi / 3),
        ("pyramid", 8 / 3),
        ("ring", 2 * math.pi**2 * 0.68 * 0.32**2),
    ],
)
def test_solids_have_their_volumes(kind: str, volume: float) -> None:
    grid = voxels(Solids((Solid(kind, "green", 0.5, 0.5, 0.5, 0.4),), "", 0), 80)
    full = grid > 0
    assert set(np.unique(grid)) == {0, tuple(COLOURS).index("green") + 1}
    assert full.sum() / 80**3 == pytest.approx(volume * 0.4**3, rel=0.03)
    assert np.array_equal(full, full[::-1])
    assert np.array_equal(full, full[:, ::-1])


def test_captions_of_solids_are_true() -> None:
    seen = set()
    for index in range(150):
        scene = solids(1, index)
        grid = voxels(scene, 32)
        first, *rest = scene.solids
        assert SOLID_CLASSES[scene.label] == f"{first.colour} {first.kind}"
        parts = [np.argwhere(voxels(Solids((solid,), "", 0), 32)) for solid in scene.solids]
        assert sum(map(len, parts)) == (grid > 0).sum()  # they do not meet
        if not rest:
            continue
        relation = scene.caption.partition(first.kind)[2].partition(" a ")[0].strip()
        seen.add(relation)
        (low, high), (other_low, other_high) = ((p.min(0), p.max(0)) for p in parts)
        gap = {
            "left of": other_low[0] - high[0],
            "right of": low[0] - other_high[0],
            "in front of": other_low[1] - high[1],
            "behind": low[1] - other_high[1],
            "on top of": low[2] - other_high[2],
        }[relation]
        assert gap >= 1
        assert relation != "on top of" or gap == 1
        assert min(low[2], other_low[2]) == 0
    assert len(seen) == 5


def test_worlds_of_one_have_one_solid() -> None:
    assert {len(solids(0, index, World(most=1)).solids) for index in range(40)} == {1}
    with pytest.raises(UsageError, match="did you mean 'pyramid'"):
        Solid("pyramide", "red", 0.5, 0.5, 0.5, 0.1)


def test_fronts_show_the_nearest() -> None:
    near, far = Solid("cube", "red", 0.5, 0.25, 0.25, 0.125), Solid("cube", "blue", 0.5, 0.75, 0.25, 0.25)
    image = front(voxels(Solids((near, far), "", 0), 16))
    red, blue = (np.array(COLOURS[name]) for name in ("red", "blue"))
    assert tuple(image[0, 0]) == SKY
    ratio = image[11, 8] / red
    assert ratio.std() < 0.02
    assert image[14, 5] / blue == pytest.approx([image[14, 5, 2] / blue[2]] * 3, abs=0.02)
    assert ratio.mean() > image[14, 5, 2] / blue[2]  # the far one is darker
    assert (image[15, 6:10] == image[15, 6]).all()  # below the near one, which floats, the far one stands
    assert drawn(voxels(Solids((near,), "", 0), 16), 4).shape == (128, 128, 3)
    with pytest.raises(UsageError, match="scale"):
        drawn(np.zeros((4, 4, 4), np.uint8), 3)


def test_drawn_cubes_show_three_faces() -> None:
    grid = np.zeros((8, 8, 8), np.uint8)
    grid[2:5, 2:5, 2:5] = 1
    image = drawn(grid, 8).astype(int)
    reds = np.rint(np.array(COLOURS["red"])[None] * np.array([[0.8], [0.6], [1.0]]) - 0.5)
    areas = [(np.abs(image - red).max(-1) <= 1).sum() for red in reds]
    assert areas == [9 * 64, 9 * 64, 9 * 64]  # each face of a voxel covers 64 pixels


# paintings


def test_paintings_go_from_back_to_front() -> None:
    near, far = Shape("circle", "red", 0.4, 0.5, 0.25, depth=0.1), Shape("square", "blue", 0.6, 0.5, 0.25, depth=0.9)
    scene = Scene((near, far))
    canvases, lengths, steps, strokes = (part[0] for part in painted([scene], 64))
    assert lengths == 3
    assert canvases.shape == (4, 64, 64, 3)
    assert (canvases[0] == 255).all()
    assert np.array_equal(canvases[1:], pictures([Scene(()), Scene((far,)), scene], 64))
    assert steps[32, 25] == 3
    assert steps[32, 50] == 2
    assert steps[2, 2] == 1
    assert (strokes[1] & strokes[2]).sum() > 200  # painted, then hidden
    assert np.array_equal(steps, (strokes * np.arange(1, 4)[:, None, None]).max(0))


def test_steps_change_what_they_paint() -> None:
    world = World(most=5, overlap=0.5, letters=2)
    stack, plain = Paintings("test", 32, world=world).stack(np.arange(30)), Shapes("test", 32, world=world)
    assert np.array_equal(stack.images, plain.stack(np.arange(30)).images)
    for b in range(30):
        scene = plain.sample(b).scene
        truth = render([scene], 32).instances[0]
        order = [0, *(i + 1 for i in scene.drawing_order()), *range(len(scene.shapes) + 1, len(scene.shapes) + 2)]
        assert np.array_equal(np.array(order)[stack.steps[b] - 1], truth)
        assert stack.lengths[b] == len(stages(scene)) == len(order)
        for k in range(1, stack.strokes.shape[1]):
            differs = (stack.canvases[b, k + 1] != stack.canvases[b, k]).any(-1)
            # edges, and tips of stars, are faint up to three pixels from where shapes cover half
            around = np.zeros((38, 38), dtype=bool)
            for y, x in np.ndindex(7, 7):
                around[y : y + 32, x : x + 32] |= stack.strokes[b, k]
            assert not (differs & ~around[3:-3, 3:-3]).any()
            assert differs.any() == (k < stack.lengths[b])


# degraded pictures


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_severity_makes_it_worse(kind: str) -> None:
    images = Shapes("test", 64).stack(np.arange(16)).images
    losses = []
    for severity in SEVERITIES:
        worse = np.stack([degraded(image, kind, severity, seed=5) for image in images])
        assert worse.shape == images.shape
        assert worse.dtype == np.uint8
        losses.append(((worse.astype(float) - images) ** 2).mean())
    assert losses[0] > 1
    assert all(a < b for a, b in zip(losses, losses[1:], strict=False))


def test_noise_follows_its_seed() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    a, b, c = (degraded(image, "noise", 3, seed) for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert a.astype(float).std() == pytest.approx(28, rel=0.03)
    with pytest.raises(UsageError, match="did you mean 'blur'"):
        degraded(image, "blurr", 1)
    with pytest.raises(UsageError, match="severity"):
        degraded(image, "blur", 6)
    with pytest.raises(UsageError, match="uint8"):
        degraded(image[..., 0], "blur", 1)


def test_degraded_items_are_those_of_shapes() -> None:
    data, plain = Degraded("test", 32), Shapes("test", 32)
    stack = data.stack(np.arange(100))
    assert np.array_equal(stack.images, plain.stack(np.arange(100)).images)
    assert set(stack.kinds.tolist()) == set(range(4))
    assert set(stack.severities.tolist()) == set(SEVERITIES)
    again = data.stack(np.array([57]))
    assert np.array_equal(again.sources[0], stack.sources[57])
    assert (stack.sources != stack.images).any((1, 2, 3)).all()


# all kinds


@pytest.mark.parametrize("kind", [Shapes, Truths, Degraded, Paintings, Voxels])
def test_items_do_not_depend_on_company(kind: type) -> None:
    data = kind("test")
    together, alone = data.stack(np.array([4, 1, 9])), data.stack(np.array([9]))
    assert np.array_equal(together.images[2], alone.images[0])
    assert together.captions[2] == alone.captions[0]
    assert together.labels[2] == alone.labels[0]
    assert len(data) == 2000
    assert (data.stack(np.array([9])).images != kind("train").stack(np.array([9])).images).any()
    with pytest.raises(UsageError, match="split"):
        kind("valid")
    with pytest.raises(UsageError, match="size"):
        kind("test", 8)

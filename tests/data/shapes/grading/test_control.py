"""Control fidelity: perfect pictures, and corruptions whose figures can be computed."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from nextset.data.shapes import Scene, Shape
from nextset.data.shapes.grading.control import control_fidelity
from nextset.data.shapes.render import render
from nextset.data.shapes.sample import sample
from nextset.errors import UsageError

SQUARE = Shape("square", "blue", 0.5, 0.5, 16 / 64 / 0.85, depth=0.25)  # 32 pixels wide, 1024 in all


def test_true_pictures_are_faithful() -> None:
    scenes = [sample(21, i).scene for i in range(100)]
    found = control_fidelity(render(scenes, 64).images, scenes)
    assert found.mean_iou > 0.97
    assert all(share > 0.95 for share in found.iou.values())
    assert found.edge_f1 > 0.999
    assert found.depth_rmse < 0.06
    exact = control_fidelity(render([Scene((SQUARE,))], 64).images, [Scene((SQUARE,))])
    assert (exact.mean_iou, exact.edge_f1, exact.depth_rmse, exact.depth_abs_rel) == (1, 1, 0, 0)
    assert math.isnan(exact.iou["star"])


def test_an_empty_picture_has_the_error_of_nothing() -> None:
    found = control_fidelity(render([Scene(())], 64).images, [Scene((SQUARE,))])
    assert found.iou["square"] == 0
    assert found.iou["background"] == 3072 / 4096
    assert found.mean_iou == 3072 / 4096 / 2
    assert (found.precision, found.recall, found.edge_f1) == (1, 0, 0)
    assert found.depth_rmse == pytest.approx(0.75 * math.sqrt(1024 / 4096))
    assert found.depth_abs_rel == pytest.approx(0.75 / 0.25 * 1024 / 4096)


def test_a_shift_costs_what_it_moves() -> None:
    moved = dataclasses.replace(SQUARE, x=0.5 + 4 / 64)
    found = control_fidelity(render([Scene((moved,))], 64).images, [Scene((SQUARE,))])
    assert found.iou["square"] == 28 / 36
    # 4 columns of background lost and 4 won, of depth 0.25 instead of 1 and the other way round
    assert found.depth_rmse == pytest.approx(0.75 * math.sqrt(256 / 4096))
    assert found.depth_abs_rel == pytest.approx((128 * 0.75 / 0.25 + 128 * 0.75) / 4096)
    loose = [control_fidelity(render([Scene((moved,))], 64).images, [Scene((SQUARE,))], t).edge_f1 for t in (0, 3, 4)]
    assert loose[0] < loose[1] < loose[2] == 1


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="tolerance"):
        control_fidelity(np.zeros((1, 8, 8, 3), np.uint8), [Scene(())], -1)
    with pytest.raises(UsageError, match="at least one"):
        control_fidelity(np.zeros((0, 8, 8, 3), np.uint8), [])

"""Edits: what differs between scenes, whether it was made, and whether the rest was left alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nextset.data.shapes import Scene, Shape
from nextset.data.shapes.grading.editing import changes, grade_edits, outside_psnr
from nextset.data.shapes.render import render
from nextset.errors import UsageError

CIRCLE, SQUARE = Shape("circle", "red", 0.25, 0.3, 0.12), Shape("square", "blue", 0.7, 0.65, 0.15)
STAR = Shape("star", "white", 0.75, 0.2, 0.12)
BEFORE = Scene((CIRCLE, SQUARE))
EDITS = {
    "add": Scene((CIRCLE, SQUARE, STAR)),
    "remove": Scene((SQUARE,)),
    "move": Scene((replace(CIRCLE, x=0.25, y=0.75), SQUARE)),
    "recolour": Scene((replace(CIRCLE, colour="green"), SQUARE)),
    "replace": Scene((replace(CIRCLE, kind="cross"), SQUARE)),
    "resize": Scene((replace(CIRCLE, size=0.19), SQUARE)),
    "background": replace(BEFORE, background=(58, 46, 40)),
}


def drawn(scene: Scene) -> np.ndarray:
    return render([scene], 64).images


@pytest.mark.parametrize("name", EDITS)
def test_changes_are_found_and_graded(name: str) -> None:
    after = EDITS[name]
    assert [change.name for change in changes(BEFORE, after)] == [name]
    done = grade_edits(drawn(after), [BEFORE], [after], drawn(BEFORE))
    assert (done.made[0], done.kept[0], done.both[0]) == (1, 1, 1)
    assert done.by_change == {name: 1.0}
    assert done.psnr[0] == 100
    undone = grade_edits(drawn(BEFORE), [BEFORE], [after])
    assert (undone.made[0], undone.kept[0]) == (0, 1)  # nothing was done, and nothing broken


@pytest.mark.parametrize(
    "broken",
    [
        replace(SQUARE, colour="purple"),
        replace(SQUARE, kind="circle"),
        replace(SQUARE, x=0.6),
        replace(SQUARE, size=0.2),
        None,
    ],
)
def test_what_was_to_stay_must_stay(broken: Shape | None) -> None:
    after = EDITS["recolour"]
    shown = Scene((after.shapes[0], *([broken] if broken else [])))
    found = grade_edits(drawn(shown), [BEFORE], [after])
    assert (found.made[0], found.kept[0], found.both[0]) == (1, 0, 0)
    assert found.psnr[0] < 30


def test_what_comes_in_unasked_is_no_preservation() -> None:
    after = EDITS["recolour"]
    found = grade_edits(drawn(Scene((*after.shapes, STAR))), [BEFORE], [after])
    assert (found.made[0], found.kept[0]) == (1, 0)
    tinted = grade_edits(drawn(replace(after, background=(58, 46, 40))), [BEFORE], [after])
    assert (tinted.made[0], tinted.kept[0]) == (1, 0)


def test_several_changes_are_counted_apart() -> None:
    after = Scene((replace(CIRCLE, colour="green"), STAR))
    assert sorted(change.name for change in changes(BEFORE, after)) == ["add", "recolour", "remove"]
    half = Scene((replace(CIRCLE, colour="green"), SQUARE, STAR))  # the square is still there
    found = grade_edits(drawn(half), [BEFORE], [after])
    assert found.by_change == {"add": 1.0, "remove": 0.0, "recolour": 1.0}
    assert (found.made[0], found.kept[0]) == (0, 1)
    assert found.means()["made/remove"] == 0


def test_noise_outside_has_its_psnr() -> None:
    after, old = EDITS["recolour"], drawn(BEFORE)
    noisy = drawn(after).astype(int) + np.where(np.indices((64, 64)).sum(0) % 2, 5, -5)[None, :, :, None]
    found = outside_psnr(noisy.clip(0, 255).astype(np.uint8), [BEFORE], [after], old)
    assert found[0] == pytest.approx(10 * math.log10(255**2 / 25))
    spoilt = old.copy()
    spoilt[0, 15:24, 12:20] = 255  # inside the circle, which was to change
    assert outside_psnr(spoilt, [BEFORE], [after])[0] == 100


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="scenes 0 do not differ"):
        grade_edits(drawn(BEFORE), [BEFORE], [BEFORE])
    with pytest.raises(UsageError, match="sources must be like images"):
        grade_edits(drawn(BEFORE), [BEFORE], [EDITS["add"]], np.zeros((1, 8, 8, 3), np.uint8))

"""The prompt score: its lists, its six questions, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from nextset.data.shapes import Scene, Shape
from nextset.data.shapes.grading.prompts import CATEGORIES, overall, prompts, score
from nextset.data.shapes.phrase import Prompt, parse
from nextset.data.shapes.render import render
from nextset.errors import UsageError

SHIFT = {"left of": (-0.25, 0.0), "right of": (0.25, 0.0), "above": (0.0, -0.25), "below": (0.0, 0.25)}
CORNERS = ((0.25, 0.25), (0.75, 0.25), (0.5, 0.75))


def shown(prompt: Prompt) -> Scene:
    """A scene of a prompt."""
    if prompt.second is None:
        return Scene(
            tuple(
                Shape(prompt.first.kind, prompt.first.colour or "red", *CORNERS[i], 0.12)
                for i in range(prompt.first.count)
            )
        )
    x, y = SHIFT[prompt.relation or "left of"]
    first, second = prompt.groups
    return Scene(
        (
            Shape(first.kind, first.colour or "red", 0.5 + x, 0.5 + y, 0.12),
            Shape(second.kind, second.colour or "red", 0.5 - x, 0.5 - y, 0.12),
        )
    )


@pytest.mark.parametrize("category", CATEGORIES)
def test_pictures_of_prompts_are_right_and_empty_ones_wrong(category: str) -> None:
    asked = prompts(category, 40)
    assert asked == prompts(category, 40)
    assert asked != prompts(category, 40, seed=1)
    assert len(set(asked)) == min(40, {"single object": 36, "colours": 36}.get(category, 40))
    assert [parse(str(prompt)) for prompt in asked] == asked
    assert score(render([shown(p) for p in asked], 32).images, asked, category).tolist() == [1.0] * 40
    assert score(np.full((40, 32, 32, 3), 20, np.uint8), asked, category).tolist() == [0.0] * 40


RED, BLUE = Shape("circle", "red", 0.25, 0.5, 0.12), Shape("square", "blue", 0.75, 0.5, 0.12)


@pytest.mark.parametrize(
    ("category", "caption", "right"),
    [
        ("single object", "a red circle", True),
        ("single object", "a green circle", True),  # only the kind is asked for
        ("single object", "a red star", False),
        ("colours", "a red circle", True),
        ("colours", "a blue circle", False),
        ("counting", "a red circle", True),
        ("counting", "two red circles", False),
        ("two objects", "a green circle right of a red square", True),
        ("two objects", "a blue square and a red circle", True),
        ("two objects", "a red circle and a blue star", False),
        ("position", "a green circle left of a red square", True),
        ("position", "a red circle right of a blue square", False),
        ("position", "a red circle above a blue square", False),
        ("colour attribution", "a red circle right of a blue square", True),
        ("colour attribution", "a blue circle and a red square", False),  # both colours are there, bound wrongly
    ],
)
def test_each_category_asks_one_thing(category: str, caption: str, right: bool) -> None:
    images = render([Scene((RED, BLUE))], 64).images
    assert score(images, [caption], category).tolist() == [float(right)]


def test_the_overall_score_is_the_mean_of_categories() -> None:
    assert overall({"counting": 0.25, "position": 0.75}) == 0.5


def test_wrong_use_is_refused_before_reading() -> None:
    nothing = np.zeros((1, 3, 3), dtype=np.uint8)  # no picture at all: reading it would be another error
    with pytest.raises(UsageError, match="did you mean 'counting'"):
        prompts("countin", 3)
    with pytest.raises(UsageError, match="count must be"):
        prompts("counting", 0)
    with pytest.raises(UsageError, match="captions: 2 for 1"):
        score(nothing, ["a red circle"] * 2, "counting")
    with pytest.raises(UsageError, match="no word 'rde'; did you mean 'red'"):
        score(nothing, ["a rde circle"], "counting")
    with pytest.raises(UsageError, match="no prompt of the category 'position'"):
        score(nothing, ["a red circle"], "position")
    with pytest.raises(UsageError, match="no prompt of the category 'position'"):
        score(nothing, ["a red circle and a blue square"], "position")
    with pytest.raises(UsageError, match="no prompt of the category 'colours'"):
        score(nothing, ["a circle"], "colours")

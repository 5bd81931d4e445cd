"""Words in pictures: read, asked for, and kept apart from shapes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nextset.data.shapes import Lettering, Scene, Shape, Shapes, World
from nextset.data.shapes.grading import agreement, grade, read
from nextset.data.shapes.phrase import parse
from nextset.data.shapes.render import render
from nextset.errors import UsageError

COUNT = 120


@pytest.mark.parametrize("side", [32, 48, 64])
def test_words_are_read_and_are_no_shapes(side: int) -> None:
    data = Shapes("test", side, world=World(letters=5))
    scenes = [data.sample(i).scene for i in range(COUNT)]
    images = data.stack(np.arange(COUNT)).images
    assert set(agreement(images, scenes).means().values()) == {1.0}
    (written,), word = scenes[0].words, read(images[0]).scene.words[0]
    assert (word.text, word.colour) == (written.text, written.colour)
    assert (word.x, word.y, word.height) == pytest.approx((written.x, written.y, written.height))


def test_mild_blur_and_noise_do_no_harm() -> None:
    data = Shapes("test", 32, world=World(letters=5))
    scenes, images = [data.sample(i).scene for i in range(COUNT)], data.stack(np.arange(COUNT)).images
    blurred = np.rint(gaussian_filter(images.astype(np.float64), (0, 0.5, 0.5, 0))).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 16, images.shape)
    for spoilt in (blurred, (images + noise).clip(0, 255).astype(np.uint8)):
        assert agreement(spoilt, scenes).means()["word"] == 1


def test_a_word_that_is_asked_for_must_be_there() -> None:
    shape, word = Shape("circle", "red", 0.5, 0.6, 0.15), Lettering("K9", 16.5 / 32, 4.5 / 32, 7 / 32, "white")
    with_word, without = render([Scene((shape,), words=(word,)), Scene((shape,))], 64).images
    asked = ['a red circle with the word "K9"', 'a red circle with the word "K8"', "a red circle"]
    grades = grade(np.stack([with_word] * 3 + [without]), [*asked, asked[0]])
    assert grades.word.tolist()[:2] == [1.0, 0.0]
    assert np.isnan(grades.word[2])
    assert grades.word[3] == 0
    assert grades.all.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert parse(asked[0]).word == "K9"


def test_textures_are_refused() -> None:
    with pytest.raises(UsageError, match="asks for a texture"):
        grade(np.zeros((1, 32, 32, 3), np.uint8), ["a striped red circle"])

"""The moving picture: which steps it shows, how long, and that it is the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nextset import Model, UsageError
from nextset.sampling import frames, save_gif


def test_frames_end_with_the_picture(model: Model) -> None:
    shown = list(frames(model.stream([1, 2], seed=3)))
    assert len(shown) == 16
    assert torch.equal(shown[-1], model.generate([1, 2], seed=3))
    assert (shown[0][:, :, 1:] == 0).all()  # nothing but the first row can be known after one step
    assert not torch.equal(shown[0], shown[1])


@pytest.mark.parametrize("most", [1, 3, 5, 16, 64])
def test_long_streams_are_thinned(model: Model, most: int) -> None:
    shown = list(frames(model.stream([0]), most))
    assert len(shown) == min(most, 16)
    assert torch.equal(shown[-1], model.generate([0]))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gif_holds_the_frames(tmp_path: Path, channels: int) -> None:
    levels = [torch.full((1, channels, 2, 2), value) for value in (-1.0, 0.0, 1.0)]
    save_gif(levels, tmp_path / "deep" / "x.gif", scale=3, fps=10, hold=1.5)
    with Image.open(tmp_path / "deep" / "x.gif") as file:
        assert (file.n_frames, file.size) == (3, (10, 10))
        durations, centres = [], []
        for index in range(3):
            file.seek(index)
            durations.append(file.info["duration"])
            centres.append(int(np.asarray(file.convert("L"))[5, 5]))
    assert durations == [100, 100, 1500]
    assert centres == [0, 128, 255]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["x.gif"]


def test_what_is_no_gif_is_refused(tmp_path: Path) -> None:
    blank: list[Tensor] = [torch.zeros(1, 1, 2, 2)]
    with pytest.raises(UsageError, match="at least one"):
        save_gif([], tmp_path / "x.gif")
    with pytest.raises(UsageError, match="fps"):
        save_gif(blank, tmp_path / "x.gif", fps=0)
    with pytest.raises(UsageError, match="most"):
        list(frames([], most=0))

"""A time is read or refused."""

from __future__ import annotations

import pytest

from nextset import UsageError
from nextset.arena.duration import duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("1h30m5s", 5405), ("0.5s", 0.5)]
)
def test_times(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "0s", "-5m", "5min", "ten minutes", "1e3s"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="budget must be a time"):
        duration(text)

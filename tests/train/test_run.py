"""A set-up run: what a script that trains sees when somebody stops it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from nextset import catalogue, load
from nextset.train import Recipe, set_up_generator
from nextset.train.phase import Trainee


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_stop_is_not_taken_for_the_end(
    number: int, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is saved, and whoever called is stopped as well; the same run then goes on."""
    system = catalogue.spec("llamagen/digits")
    setup = set_up_generator(system, "digits", Recipe(steps=4, batch=2, warmup=1))
    after = Trainee.after

    def stop(self: Trainee, step: int) -> dict[str, float]:
        if step == 1:
            os.kill(os.getpid(), number)
        return after(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(type(setup.trainee), "after", stop)
        with pytest.raises(raised):
            setup.run(tmp_path / "run", sample_every=0, eval_every=0)
    set_up_generator(system, "digits", Recipe(steps=4, batch=2, warmup=1)).run(
        tmp_path / "run", resume=True, sample_every=0, eval_every=0
    )
    assert load(tmp_path / "run").system == system

"""Which pictures fall to which process. Processes agree by arithmetic alone; they never talk to each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import UsageError


@dataclass(frozen=True)
class Share:
    """Process `rank` of `world`, the `local`-th on its machine. Block k of `batch` pictures belongs to process k mod world.

    That depends on nothing that is on disk, so processes may start and stop at different times.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world or self.local < 0:
            raise UsageError(f"RANK must be in 0..{self.world - 1} and LOCAL_RANK 0 or more, got {self}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Share:
        """What torchrun says in RANK, WORLD_SIZE and LOCAL_RANK; without them the only process."""
        names = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
        try:
            return cls(*(int(environment.get(name, default)) for name, default in names.items()))
        except ValueError as error:
            raise UsageError(f"the environment's {', '.join(names)} must be numbers that fit: {error}") from error

    def own(self, indices: Sequence[int], batch: int) -> list[int]:
        """Those of `indices` that fall to this process."""
        if batch < 1:
            raise UsageError(f"batch must be at least 1, got {batch}")
        return [i for i in indices if i // batch % self.world == self.rank]

    def runs(self, missing: Sequence[int], batch: int) -> list[range]:
        """This process's part of `missing` (increasing) as runs of neighbours inside a block, so of at most `batch`."""
        runs: list[range] = []
        for i in self.own(missing, batch):
            if runs and runs[-1].stop == i and i % batch:
                runs[-1] = range(runs[-1].start, i + 1)
            else:
                runs.append(range(i, i + 1))
        return runs


ALONE = Share()

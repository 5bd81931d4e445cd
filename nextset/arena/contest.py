"""What is the same for all in a contest, and the folder that says it: an entry is made under these terms or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from ..errors import NextsetError, UsageError
from ..files import save_json
from ..spec import Spec
from ..system import System
from .duration import duration

FILE = "contest.json"


@dataclass(frozen=True)
class Contest(Spec):
    """Data, budget and how it is judged. Everything here decides figures; who takes part, and how often, does not."""

    data: str = "digits"
    """digits, shapes, or pictures of one's own: a folder with a sub-folder a class, shards, a .jsonl list."""
    budget: str = "1m"
    """Training of each system: the multiply-adds that the first one does here in this time (90s, 5m, 1h30m)."""
    steps: int = 0
    """Training steps of the first system, in place of a time; 0: as long as the budget says."""
    parameters: int = 450_000
    """Of each network, within 10%: width and depth are chosen for it."""
    batch: int = 64
    """Pictures in a training step."""
    lr: float = 2e-3
    """Peak learning rate."""
    seed: int = 0
    """Of the first run of each system; the others have the seeds that follow."""
    tokenizer_steps: int = 600
    """Training steps of learned tokenizers, each run's own, before the system and apart from its budget."""
    samples: int = 1000
    """Pictures drawn and judged."""
    scales: tuple[float, ...] = (1.0, 1.5, 2.0)
    """Guidance scales to try; pictures are judged at that of the least Frechet distance."""
    tries: int = 200
    """Pictures drawn at each scale to choose it by, others than those that are judged."""
    side: int = 0
    """Pixels a side, of pictures of one's own; 0: as their first picture, in whole eights up to 32."""
    channels: Literal[0, 1, 3] = 0
    """1 to read pictures of one's own in grey, 3 in colour; 0: as their first picture is."""
    extractor: str = "auto"
    """What looks at pictures, as in `nextset evaluate` (digits, shapes, inception, a vision model, tiny-random); auto: the classifier
    of the data, else random weights."""

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("parameters", "batch", "tokenizer_steps")}
        counts |= {"samples (more than 3)": self.samples - 3, "tries (more than 1)": self.tries - 1}
        for name, count in counts.items():
            if count < 1:
                raise UsageError(f"{name} must be at least 1 in {self}")
        for name in ("steps", "side", "seed"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        if not self.lr > 0 or not math.isfinite(self.lr):
            raise UsageError(f"lr must be positive, got {self.lr}")
        if (
            not self.scales
            or len(set(self.scales)) < len(self.scales)
            or not all(0 <= s < math.inf for s in self.scales)
        ):
            raise UsageError(f"scales must be numbers of at least 0, each once, got {self.scales}")
        duration(self.budget)


@dataclass(frozen=True)
class Terms:
    """What was settled when the contest began, by its first system: `compute`, the multiply-adds of everybody's training.

    They are those of `steps` steps of the system `first`; `rate` is how many a second it was measured to do (0: steps were given).
    """

    first: str
    steps: int
    compute: float
    rate: float


@dataclass
class Register:
    """The file of a contest: its terms once they are settled, and who takes part, as `named` and with the width and depth of the budget."""

    contest: Contest
    out: Path
    terms: Terms | None = None
    named: dict[str, System] = field(default_factory=dict)
    entrants: dict[str, System] = field(default_factory=dict)
    misfits: dict[str, str] = field(default_factory=dict)

    @classmethod
    def opened(cls, contest: Contest, out: Path) -> Self:
        """That of the folder `out`, or a new one. Raises UsageError where the folder holds another contest."""
        path = out / FILE
        if not path.is_file():
            return cls(contest, out)
        try:
            held: dict[str, Any] = json.loads(path.read_text())
            found = Contest.from_dict(held["contest"])
            terms = Terms(**held["terms"]) if held["terms"] else None
            named, entrants = (
                {name: System.from_dict(system) for name, system in held[key].items()} for key in ("named", "entrants")
            )
            misfits = dict(held["misfits"])
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise NextsetError(f"{path} is damaged or of another version ({error}); choose another folder") from error
        if found != contest:
            raise UsageError(f"out: {out} holds another contest ({found.changes(contest)}); choose another folder")
        return cls(contest, out, terms, named, entrants, misfits)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "contest": self.contest.to_dict(),
            "terms": dataclasses.asdict(self.terms) if self.terms else None,
            "named": {name: system.to_dict() for name, system in self.named.items()},
            "entrants": {name: system.to_dict() for name, system in self.entrants.items()},
            "misfits": self.misfits,
        }

    def save(self) -> None:
        """Writes the file, atomically."""
        save_json(self.out / FILE, self.to_dict())

    def folder(self, name: str) -> Path:
        """Where an entrant's runs are."""
        return self.out / name.replace("/", "-")

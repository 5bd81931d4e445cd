"""How a figure was measured, and figures that know it: two results are compared only where one protocol made both.

A figure without its protocol means little: the same name covers different splits, crops, references, sample counts, guidance
and extractors. So a protocol is data with an id, every result carries its own, and `compare` refuses what does not match.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import NextsetError, UsageError, nearest
from ..files import save_json
from ..spec import Spec

METRICS = (
    "bits",
    "frechet",
    "sfid",
    "kid",
    "precision-recall",
    "density-coverage",
    "inception-score",
    "accuracy",
    "grade",
)
OF_SAMPLES = METRICS[1:]
OF_FEATURES = ("frechet", "sfid", "kid", "precision-recall", "density-coverage")  # of samples and reference
OF_ALL_FEATURES = OF_FEATURES[2:]  # ... that take the features themselves, not their moments
BALANCES = ("data", "uniform")
CONDITIONS = ("label", "caption")
FORMAT = 1


@dataclass(frozen=True)
class Measured(Spec):
    """Base of what says how figures were measured."""

    @property
    def id(self) -> str:
        """The first 12 hex digits of the SHA-256 of the canonical JSON: equal ids, comparable figures."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Protocol(Measured):
    """All that a figure of samples depends on besides the model.

    `samples` drawn pictures, of classes as `balance` says: "data" takes the labels of the reference, spread evenly over it
    (picture i that of item floor(i reference / samples)), "uniform" class i mod classes; `condition` is what the model is told,
    a "label" or a "caption". `guidance`, `sampling` and `dtype` say in words how it drew, "" where nobody said. `data` ("digits:test"), `reference` (pictures in it), `extractor`
    ("digits-cnn-v1:<hash>"), `statistics` (hashes, where Frechet distances are to stored moments), `channels` and `size` (height, width) are filled in by `evaluate`; pictures are judged after
    `quantisation`.
    """

    metrics: tuple[str, ...] = ("frechet", "precision-recall", "accuracy")
    samples: int = 1000
    seed: int = 0
    balance: str = "data"
    condition: str = "label"
    guidance: str = ""
    sampling: str = ""
    dtype: str = ""
    neighbours: int = 3
    quantisation: str = "uint8: round((x + 1) * 127.5)"
    data: str = ""
    reference: int = 0
    extractor: str = ""
    statistics: str = ""
    channels: int = 0
    size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for metric in self.metrics:
            if metric not in METRICS:
                raise UsageError(f"metrics: there is no {metric!r}{nearest(metric, METRICS)}")
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise UsageError(f"metrics must name at least one of {', '.join(METRICS)}, each once, got {self.metrics}")
        if self.samples < 0 or (self.samples < 1 and set(self.metrics) & set(OF_SAMPLES)):
            raise UsageError(f"samples must be at least 1, got {self.samples}")
        if self.balance not in BALANCES or self.condition not in CONDITIONS:
            raise UsageError(f"balance must be one of {BALANCES} and condition of {CONDITIONS}")
        if self.balance == "uniform" and self.condition == "caption":
            raise UsageError("captions come from the data: condition 'caption' needs balance 'data'")


@dataclass(frozen=True)
class Figure:
    """A measured number, its unit, its standard error where it has one, and whether more of it is better."""

    value: float
    unit: str
    error: float | None = None
    more_is_better: bool = False

    def __str__(self) -> str:
        error = "" if self.error is None else f" +- {self.error:.2g}"
        return f"{self.value:.4g}{error} {self.unit}".rstrip()


@dataclass(frozen=True)
class Result:
    """What an evaluation found: figures by name under one protocol, warnings, and metadata (checkpoint, date, per-class figures)."""

    protocol: Measured
    figures: dict[str, Figure]
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "nextset_result": FORMAT,
            "id": self.protocol.id,
            "protocol": self.protocol.to_dict(),
            "figures": {name: dataclasses.asdict(figure) for name, figure in self.figures.items()},
            "warnings": list(self.warnings),
            "metadata": self.metadata,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Result:
        """The result that `to_dict` wrote. Raises UsageError where the protocol was changed by hand, so that its id is not its own."""
        if not isinstance(data, dict) or data.get("nextset_result") != FORMAT:
            raise UsageError(f"not a result of this version of nextset (format {FORMAT})")
        protocol = Measured.from_dict(data["protocol"])
        if protocol.id != data["id"]:
            raise UsageError(
                f"the protocol has the id {protocol.id}, not {data['id']} as written: it was changed afterwards"
            )
        figures = {name: Figure(**figure) for name, figure in data["figures"].items()}
        return cls(protocol, figures, tuple(data["warnings"]), data["metadata"])

    def save(self, path: str | Path) -> None:
        """Writes JSON, atomically."""
        save_json(Path(path), self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Reads what `save` wrote. Raises UsageError for a missing or foreign file, NextsetError for a damaged one."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text()))
        except FileNotFoundError as error:
            raise UsageError(f"{path} does not exist; give a result that `nextset evaluate` wrote") from error
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise NextsetError(f"{path} is damaged ({error}); evaluate again") from error

    def __str__(self) -> str:
        """One line a figure, then the protocol."""
        lines = [f"{name:<24}{figure}" for name, figure in self.figures.items()]
        return "\n".join(
            [*lines, *(f"warning: {w}" for w in self.warnings), f"protocol {self.protocol.id}: {self.protocol}"]
        )


@dataclass(frozen=True)
class Difference:
    """One figure of two results: `delta` is right - left; `errors` is |delta| in standard errors where both are known."""

    name: str
    left: Figure
    right: Figure

    @property
    def delta(self) -> float:
        """right - left."""
        return self.right.value - self.left.value

    @property
    def errors(self) -> float | None:
        """|delta| over the standard error of a difference of independent figures; None where an error is not known."""
        if self.left.error is None or self.right.error is None:
            return None
        both = math.hypot(self.left.error, self.right.error)
        return abs(self.delta) / both if both else None

    @property
    def better(self) -> str:
        """ "left", "right" or "equal"."""
        if self.delta == 0:
            return "equal"
        return "right" if (self.delta > 0) == self.right.more_is_better else "left"


def compare(left: Result, right: Result) -> list[Difference]:
    """The figures of two results side by side. Raises UsageError naming the fields in which their protocols differ."""
    if type(left.protocol) is not type(right.protocol):
        kinds = (type(result.protocol).__name__ for result in (left, right))
        raise UsageError(f"these two results cannot be compared: {' vs '.join(kinds)}")
    differences = left.protocol.diff(right.protocol)
    if differences:
        named = ", ".join(f"{name} {here!s} vs {there!s}" for name, here, there in differences)
        raise UsageError(f"these two results cannot be compared: {named}")
    return [
        Difference(name, figure, right.figures[name]) for name, figure in left.figures.items() if name in right.figures
    ]

"""Looks at pictures through one extractor, and keeps of them what the metrics that are asked for need.

Legend: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ..errors import UsageError
from .accuracy import Tally
from .features import Extractor
from .frechet import Moments, frechet, kid
from .neighbours import density_coverage, precision_recall
from .protocol import OF_ALL_FEATURES, Figure
from .reference import Statistics
from .score import InceptionScore


class Seen:
    """What is kept of one set of pictures."""

    def __init__(self, extractor: Extractor, metrics: Collection[str]) -> None:
        self.moments = Moments(extractor.dim) if "frechet" in metrics else None
        self.spatial = Moments(extractor.spatial) if "sfid" in metrics else None
        self._kept: list[Tensor] | None = [] if set(metrics) & set(OF_ALL_FEATURES) else None

    @property
    def wanted(self) -> bool:
        """Whether any of it is asked for."""
        return any(part is not None for part in (self.moments, self.spatial, self._kept))

    def add(self, features: Tensor, spatial: Tensor | None) -> None:
        """Takes in features (B, F) and, where they are asked for, spatial ones."""
        if self.moments:
            self.moments.add(features)
        if self.spatial is not None and spatial is not None:
            self.spatial.add(spatial)
        if self._kept is not None:
            self._kept.append(features)

    def all(self) -> Tensor:
        """All features (N, F)."""
        return torch.cat(self._kept or [])


class Eye:
    """The extractor, what it saw of the real pictures and what of those that are judged."""

    def __init__(self, extractor: Extractor, metrics: Collection[str], statistics: Statistics) -> None:
        self.extractor, self.metrics, self.statistics = extractor, set(metrics), statistics
        known = {"frechet"} if statistics.features else set()
        known |= {"sfid"} if statistics.spatial else set()
        self.real, self.drawn = Seen(extractor, self.metrics - known), Seen(extractor, self.metrics)
        self.tally = Tally(extractor.classes) if "accuracy" in self.metrics else None
        self.score = InceptionScore(extractor.classes) if "inception-score" in self.metrics else None

    def features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of images (B, C, H, W) in [-1, 1], with spatial ones where they are asked for."""
        images = images.to(next(self.extractor.parameters()).device)
        return self.extractor.both(images) if self.drawn.spatial else (self.extractor.features(images), None)

    def study(self, images: Tensor) -> None:
        """Takes in real pictures."""
        self.real.add(*self.features(images))

    def see(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Takes in drawn pictures, which are to show these labels."""
        features, spatial = self.features(images)
        self.drawn.add(features, spatial)
        logits = self.extractor.logits(features) if self.tally or self.score else None
        if self.tally and logits is not None and labels is not None:
            self.tally.add(logits, labels)
        if self.score and logits is not None:
            self.score.add(logits)

    def figures(self, neighbours: int) -> dict[str, Figure]:
        """All that is asked for."""
        found: dict[str, Figure] = {}
        for name, (real, drawn) in self.moments().items():
            found[name] = Figure(frechet(real, drawn), "")
        if "kid" in self.metrics:
            found["kid"] = Figure(kid(self.real.all(), self.drawn.all()), "")
        for metric, shares in (("precision-recall", precision_recall), ("density-coverage", density_coverage)):
            if metric in self.metrics:
                pair = zip(metric.split("-"), shares(self.real.all(), self.drawn.all(), neighbours), strict=True)
                found |= {name: Figure(share, "", more_is_better=True) for name, share in pair}
        if self.score:
            found["inception-score"] = Figure(self.score.mean, "", self.score.error, more_is_better=True)
        if self.tally:
            found["accuracy"] = Figure(self.tally.accuracy, "", self.tally.error, more_is_better=True)
        return found

    def moments(self) -> dict[str, tuple[Moments, Moments]]:
        """(real, drawn) by the metric that compares them."""
        pairs = {
            "frechet": (self.statistics.features or self.real.moments, self.drawn.moments),
            "sfid": (self.statistics.spatial or self.real.spatial, self.drawn.spatial),
        }
        return {name: (real, drawn) for name, (real, drawn) in pairs.items() if real is not None and drawn is not None}

    def warnings(self) -> list[str]:
        """What makes the figures doubtful."""
        said = []
        for real, drawn in self.moments().values():
            for what, moments in (("samples", drawn), ("reference pictures", real)):
                if moments.count <= moments.dim:
                    said.append(
                        f"{moments.count} {what} are too few for {moments.dim} features: the covariance is singular and the "
                        "Frechet distance too large"
                    )
        if not self.extractor.comparable:
            said.append(f"extractor {self.extractor.name} has random weights: not comparable with any other figure")
        return said


def check_extractor(extractor: Extractor, metrics: Collection[str], shape: tuple[int, int, int]) -> None:
    """Raises UsageError where `extractor` cannot look at pictures of `shape` (C, H, W), or cannot answer for these metrics."""
    blank = torch.zeros(1, *shape, device=next(extractor.parameters()).device)
    features = extractor.both(blank)[0] if "sfid" in metrics else extractor.features(blank)
    if "inception-score" in metrics:
        extractor.logits(features)
    if "accuracy" in metrics and not (extractor.classes and extractor.aligned):
        why = "has classes of its own, not those of the data" if extractor.classes else "does not classify"
        raise UsageError(f"extractor {extractor.name} {why}; leave accuracy out of metrics")

"""What is lost between a picture and its tokens: the tokenizer alone, on four tasks (after VTBench, Lin et al. 2025, arXiv 2505.13439).

- **reconstruction** of held-out pictures: PSNR, SSIM, LPIPS picture by picture, and the Frechet distance of both sets (rFID under Inception);
- **detail**: what is wrong with gratings, by period;
- **text**: character and word error rates of pages that are read back, beside those of the originals;
- **codes**: share of the codebook in use, its perplexity, bits a pixel; nothing of tokenizers that make vectors.

Pictures are cropped to one size for all that is compared, and everything is rounded to 8 bits first, as it would be written.
Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..data.base import Dataset, Item
from ..data.crop import to_float
from ..data.loader import once
from ..errors import UsageError, nearest
from ..layout import Discrete
from ..nn.perceptual import PerceptualDistance
from ..tokenizers.base import Tokenizer, TokenizerModule
from .codes import CodeUsage
from .eye import Eye, check_extractor
from .features import Extractor
from .gratings import NAME as GRATINGS
from .gratings import Gratings
from .pairs import WINDOW, psnr, ssim
from .protocol import Figure, Measured, Protocol, Result
from .reference import Statistics
from .samples import Samples, check_finite, to_uint8
from .text import TextTest, read_back, text_tests

PAIRED = ("psnr", "ssim", "lpips")
OF_PICTURES = (*PAIRED, "frechet")
OF_ANY_PICTURES = ("detail", "text", "codes")  # need the tokenizer itself
METRICS = (*OF_PICTURES, *OF_ANY_PICTURES)


@dataclass(frozen=True)
class Reconstruction(Measured):
    """All that figures of a tokenizer depend on besides it.

    `pictures` of the data are taken, spread evenly over it (0: all). `data`, `extractor`, `distance` (of LPIPS), `detail` and `text` name what was
    used, with hashes of weights; they, `channels` and `size` (height, width) are filled in by `round_trip`.
    """

    metrics: tuple[str, ...] = METRICS
    pictures: int = 0
    size: tuple[int, int] = (0, 0)
    channels: int = 0
    quantisation: str = Protocol.quantisation
    data: str = ""
    extractor: str = ""
    distance: str = ""
    detail: str = ""
    text: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for metric in self.metrics:
            if metric not in METRICS:
                raise UsageError(f"metrics: there is no {metric!r} of tokenizers{nearest(metric, METRICS)}")
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise UsageError(f"metrics must name at least one of {', '.join(METRICS)}, each once, got {self.metrics}")
        if self.pictures < 0:
            raise UsageError(f"pictures must be at least 1, or 0 for all, got {self.pictures}")

    def on(self, data: Dataset) -> Reconstruction:
        """With the fields that follow from the data. Raises UsageError where it holds too few pictures."""
        if not len(data):
            raise UsageError(f"data {data.name} holds no pictures")
        if self.pictures > len(data):
            raise UsageError(f"pictures: {self.pictures} asked for, data {data.name} holds {len(data)}")
        height, width, channels = data[0].image.shape
        return dataclasses.replace(
            self,
            pictures=self.pictures or len(data),
            size=self.size if any(self.size) else (height, width),
            channels=self.channels or channels,
            data=data.name,
        )


# -- what is judged


class Trip(ABC):
    """Pictures to tokens and back."""

    @abstractmethod
    def again(self, images: Tensor, first: int) -> Tensor:
        """The reconstruction of images (B, C, H, W) in [-1, 1]; they are the pictures first, first + 1, ... of the data."""

    @abstractmethod
    def check(self, protocol: Reconstruction) -> None:
        """Raises UsageError where it cannot take such pictures, or do what the metrics need."""


class ThroughTokens(Trip):
    """A tokenizer; it counts its codes and takes its time on the way."""

    def __init__(self, spec: Tokenizer, module: TokenizerModule) -> None:
        if not spec.paints:
            raise UsageError(f"tokenizer {spec} stands for one that is not at hand; give the tokenizer itself")
        self.spec, self.module = spec, module.eval()
        self.usage = CodeUsage(spec.unit) if isinstance(spec.unit, Discrete) else None
        self.seconds: list[tuple[int, float, float]] = []  # pictures, to encode, to decode

    @property
    def device(self) -> torch.device:
        """Where it works; the CPU for tokenizers without weights."""
        return next((p.device for p in (*self.module.parameters(), *self.module.buffers())), torch.device("cpu"))

    def check(self, protocol: Reconstruction) -> None:
        """Sizes and channels of a blank picture."""
        self.spec.at(protocol.size).layout(protocol.size)
        self.spec.fitting(torch.zeros(1, protocol.channels, *protocol.size))

    @torch.no_grad()
    def again(self, images: Tensor, first: int) -> Tensor:
        """Encoded and decoded."""
        images = images.to(self.device)
        start = self._now()
        tokens = self.module.encode(images)
        middle = self._now()
        found = self.module.decode(tokens)
        self.seconds.append((len(images), middle - start, self._now() - middle))
        if self.usage and not tokens.data.is_floating_point():
            self.usage.add(tokens.data)
        return found.float().cpu()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def speed(self) -> dict[str, Any]:
        """Pictures a second, encoding and decoding; the first batch does not count where there are more."""
        counted = self.seconds[1:] or self.seconds
        count, encoding, decoding = (sum(column) for column in zip(*counted, strict=True))
        rate = lambda seconds: count / seconds if seconds else math.inf
        return {
            "encode_images_per_second": rate(encoding),
            "decode_images_per_second": rate(decoding),
            "device": str(self.device),
        }


class ThroughFiles(Trip):
    """Reconstructions that something else made: file i is that of picture i."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def check(self, protocol: Reconstruction) -> None:
        """One file a picture, of the pictures' size."""
        path, shape = self.samples.path, (*protocol.size, protocol.channels)
        if len(self.samples) != protocol.pictures:
            raise UsageError(
                f"{path} holds {len(self.samples)} pictures for {protocol.pictures} of data {protocol.data}: each needs its reconstruction"
            )
        if self.samples.shape != shape:
            raise UsageError(
                f"{path} holds pictures (H, W, C) = {self.samples.shape}, data {protocol.data} gives {shape}"
            )
        for metric in (m for m in OF_ANY_PICTURES if m in protocol.metrics):
            raise UsageError(f"{metric} needs a tokenizer, and {path} holds finished pictures; leave it out of metrics")

    def again(self, images: Tensor, first: int) -> Tensor:
        """From the files."""
        return self.samples.images(first, first + len(images))


class Spread(Dataset):
    """`count` pictures of a data set, evenly over it: number i is floor(i len / count)."""

    def __init__(self, data: Dataset, count: int) -> None:
        self.data, self.count, self.name, self.classes = data, count, data.name, data.classes

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        return self.data[index * len(self.data) // self.count]


# -- judging


def round_trip(
    protocol: Reconstruction,
    data: Dataset,
    trip: Trip,
    *,
    extractor: Extractor | None = None,
    distance: PerceptualDistance | None = None,
    texts: Sequence[TextTest] = (),
    batch: int = 32,
) -> Result:
    """The figures that `protocol.metrics` names, of pictures of `data` (a test split) that make the trip.

    `extractor` is for "frechet", `distance` (`nn.perceptual.lpips`) for "lpips", `texts` replace the pages that come along for
    "text". Pictures are cropped to `protocol.size` (default: that of the first one) as `data.crop` does. Means have standard errors
    over pictures. Raises UsageError before any work where something does not fit or is missing, NextsetError naming a
    reconstruction that is not finite.
    """
    judge = _Judge(protocol, data, trip, extractor, distance, batch)
    judge.prepare(texts)
    if judge.wants & {*OF_PICTURES, "codes"}:
        judge.pictures()
    judge.own_pictures()
    return Result(judge.protocol, judge.figures, tuple(judge.warnings), judge.metadata)


class _Judge:
    """Figures in the making."""

    def __init__(
        self,
        protocol: Reconstruction,
        data: Dataset,
        trip: Trip,
        extractor: Extractor | None,
        distance: PerceptualDistance | None,
        batch: int,
    ) -> None:
        self.protocol, self.data, self.trip, self.batch = protocol, data, trip, batch
        self.wants = set(protocol.metrics)
        self.extractor = extractor if "frechet" in self.wants else None
        self.distance = distance if "lpips" in self.wants else None
        self.figures: dict[str, Figure] = {}
        self.warnings: list[str] = []
        self.metadata: dict[str, Any] = {}

    def prepare(self, texts: Sequence[TextTest]) -> None:
        """Fills in the protocol, and checks everything."""
        if self.batch < 1:
            raise UsageError(f"batch must be at least 1, got {self.batch}")
        self.protocol = self.protocol.on(self.data)
        self.trip.check(self.protocol)
        for name, given, metric in (("extractor", self.extractor, "frechet"), ("distance", self.distance, "lpips")):
            if given is None and metric in self.wants:
                raise UsageError(f"{name} is needed for {metric}: give it, or leave that out of metrics")
        if self.protocol.pictures < len(self.data):
            self.data = Spread(self.data, self.protocol.pictures)
        size, channels = self.protocol.size, self.protocol.channels
        self.gratings = Gratings(size, channels) if "detail" in self.wants else None
        self.texts = list(texts) or text_tests(size, channels) if "text" in self.wants else []
        self.protocol = dataclasses.replace(
            self.protocol,
            extractor=self.extractor.identity if self.extractor else "",
            distance=self.distance.identity if self.distance else "",
            detail=GRATINGS if self.gratings else "",
            text=tuple(test.identity for test in self.texts),
        )
        self._check()

    def _check(self) -> None:
        protocol, shape = self.protocol, (self.protocol.channels, *self.protocol.size)
        if "ssim" in self.wants and min(protocol.size) < WINDOW:
            raise UsageError(
                f"ssim looks through windows of {WINDOW}x{WINDOW}, pictures are {protocol.size[0]}x{protocol.size[1]}"
            )
        if self.extractor:
            check_extractor(self.extractor, {"frechet"}, shape)
            if len(self.data) < 2:
                raise UsageError(f"frechet needs at least 2 pictures, got {len(self.data)}")
        if self.distance:
            self._distances(*torch.zeros(2, 1, *shape))
        for test in self.texts:
            if tuple(test.pictures.shape[1:]) != shape:
                raise UsageError(
                    f"texts: {test.name} has pictures {tuple(test.pictures.shape[1:])}, the protocol says {shape}"
                )

    def pictures(self) -> None:
        """The task on the data's own pictures."""
        eye = Eye(self.extractor, {"frechet"}, Statistics()) if self.extractor else None
        found: dict[str, list[Tensor]] = {name: [] for name in PAIRED if name in self.wants}
        first = 0
        with tqdm(total=len(self.data), desc="pictures", unit="image", disable=None, leave=False) as bar:
            for part in once(self.data, self.batch, self.protocol.size, self.protocol.channels):
                others = self._again(part.images, first)
                measures = {"psnr": psnr, "ssim": ssim, "lpips": self._distances}
                for name, values in found.items():
                    values.append(measures[name](part.images, others).double().cpu())
                if eye:
                    eye.study(part.images)
                    eye.see(others)
                first += len(part)
                bar.update(len(part))
        for name, values in found.items():
            unit = "dB" if name == "psnr" else ""
            self.figures[name] = _mean(torch.cat(values), unit, more_is_better=name != "lpips")
        if eye:
            self.figures |= eye.figures(0)
            self.warnings += eye.warnings()
        if isinstance(self.trip, ThroughTokens):
            self._codes(self.trip)

    def _again(self, images: Tensor, first: int = 0) -> Tensor:
        """Reconstructions as they would be written."""
        others = self.trip.again(images, first)
        if others.shape != images.shape:
            raise UsageError(
                f"the reconstruction of {tuple(images.shape)} is {tuple(others.shape)}; give a tokenizer for this size"
            )
        check_finite(others, first)
        return to_float(to_uint8(others).cpu().numpy())

    @torch.no_grad()
    def _distances(self, images: Tensor, others: Tensor) -> Tensor:
        assert self.distance is not None, "checked before"
        device = next(self.distance.buffers()).device
        return self.distance(images.to(device), others.to(device))

    def _codes(self, trip: ThroughTokens) -> None:
        """Before the other tasks add theirs."""
        height, width = self.protocol.size
        sites = trip.spec.at(self.protocol.size).layout(self.protocol.size).sites
        self.metadata |= {"tokens_per_image": sites, **trip.speed()}
        if trip.usage is None or "codes" not in self.wants:
            return
        stored, entropy = trip.usage.bits(sites, height * width)
        self.figures |= {
            "code-usage": Figure(trip.usage.usage, "", more_is_better=True),
            "perplexity": Figure(trip.usage.perplexity, f"of {trip.usage.unit.vocab}", more_is_better=True),
            "bits": Figure(stored, "bits/pixel"),
            "entropy": Figure(entropy, "bits/pixel"),
        }
        if trip.usage.count < trip.usage.unit.vocab:
            self.warnings.append(
                f"{trip.usage.count} tokens are too few to use {trip.usage.unit.vocab} codes: usage and perplexity are too low"
            )

    def own_pictures(self) -> None:
        """The tasks on pictures that come along."""
        if self.gratings:
            others = self._all(self.gratings.pictures)
            self.figures["detail/psnr"] = _mean(psnr(self.gratings.pictures, others), "dB", more_is_better=True)
            for period, error in self.gratings.errors(others).items():
                self.figures[f"detail/error-{period}px"] = Figure(error, "")
        for test in self.texts:
            floor, rates = read_back(test, test.pictures), read_back(test, self._all(test.pictures))
            for name, rate in zip(("cer", "wer"), rates, strict=True):
                self.figures[f"{test.name}/{name}"] = Figure(rate, "")
            self.metadata[f"{test.name}/floor"] = list(floor)

    def _all(self, images: Tensor) -> Tensor:
        return torch.cat([self._again(part) for part in images.split(self.batch)])


def _mean(values: Tensor, unit: str, more_is_better: bool) -> Figure:
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Figure(values.mean().item(), unit, None if math.isnan(error) else error, more_is_better)

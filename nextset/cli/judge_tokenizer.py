"""`nextset evaluate-tokenizer`: what is lost between pictures and tokens."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..data.base import Dataset
from ..data.open import open_dataset
from ..digest import fingerprint
from ..errors import UsageError
from ..evaluate import Extractor, Reconstruction, Result, ThroughFiles, ThroughTokens, open_extractor, round_trip
from ..evaluate.classifier import RECIPES
from ..evaluate.gratings import SMALLEST
from ..evaluate.pairs import WINDOW
from ..evaluate.reference import open_reference
from ..evaluate.round_trip import OF_ANY_PICTURES, Trip
from ..evaluate.samples import load_samples
from ..evaluate.text import FEWEST, builtin_font
from ..folders import CONFIG
from ..nn.perceptual import PerceptualDistance, lpips
from ..sampling.output import check_writable
from ..weights import load_tokenizer
from . import command
from .command import Json

Metric = Literal["psnr", "ssim", "lpips", "frechet", "detail", "text", "codes"]
Metrics = Annotated[tuple[Metric, ...], tyro.conf.arg(help="What to measure; by default all that applies.")]
LPIPS = "NEXTSET_LPIPS"
SPEEDS = {"encode_images_per_second": "encode", "decode_images_per_second": "decode"}


@dataclass(frozen=True)
class EvaluateTokenizer:
    """Send pictures through tokenizers and back: reconstruction, fine detail, text, codebook, bits a pixel and speed, in one table.

    A tokenizer is a folder or hub id of ours (a model's as well), official weights such as vq/16, or reconstructions in files that
    something else made (a folder of PNG files, an .npz), in the order of the data.
    """

    data: str
    """Pictures to reconstruct: digits, shapes, a folder, ... as for training, or an .npz of pictures."""
    metrics: Metrics = ()
    count: int | None = None
    """Pictures, spread evenly over the data; all unless given."""
    size: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="H W")] = None
    """Height and width to which all pictures are cropped; those of the first picture unless given."""
    extractor: str | None = None
    """For the Frechet distance, as `nextset evaluate` takes it: inception makes it the rFID."""
    lpips: Path | None = None
    """Folder of LPIPS weights: torchvision's alexnet or vgg16 and the official heads; $NEXTSET_LPIPS unless given."""
    split: Literal["train", "test", "all"] = "test"
    """Part of the data."""
    out: Path | None = None
    """Folder for the results, one JSON file a tokenizer, for compare-results."""
    batch: int = 32
    """Pictures at once; changes only the speed."""
    device: str = "auto"
    """auto (the first CUDA device, else the CPU), cpu, cuda, cuda:1, mps."""
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words: tokenizers first, then options."""
        names = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
        rest = list(words[len(names) :])
        if not names and not {"-h", "--help"} & set(rest):
            raise UsageError(
                "say which tokenizers first, for example: nextset evaluate-tokenizer runs/vq --data shapes"
            )
        return command.parse(cls, "evaluate-tokenizer TOKENIZER [TOKENIZER ...]", rest).run(names)

    def run(self, names: Sequence[str]) -> int:
        """Judges, and says and writes the figures."""
        self._check(names)
        data = open_reference(self.data)[0] if self.data.endswith(".npz") else open_dataset(self.data, self.split)
        trips = [self._trip(name) for name in names]
        distance = self._distance()
        metrics = self.metrics or self._applying(data, trips, distance)
        protocol = Reconstruction(metrics=metrics, pictures=self.count or 0, size=self.size or (0, 0))
        for trip in trips:
            trip.check(protocol.on(data))  # before an extractor is trained
        extractor = self._extractor(data) if "frechet" in metrics else None
        results = []
        for name, trip in zip(names, trips, strict=True):
            result = round_trip(protocol, data, trip, extractor=extractor, distance=distance, batch=self.batch)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            about = {"tokenizer": name, "date": now, **_about(trip)}
            results.append(dataclasses.replace(result, metadata={**about, **result.metadata}))
            if self.out is not None:
                results[-1].save(self.out / f"{len(results)}-{Path(name).stem}.json")
        command.say(self.json, [result.to_dict() for result in results], _told(names, results))
        return 0

    def _check(self, names: Sequence[str]) -> None:
        if self.count is not None and self.count < 1:
            raise UsageError(f"count must be at least 1, got {self.count}")
        if self.out is not None and self.out.is_file():
            raise UsageError(f"out: {self.out} is a file; name a folder")
        for i, name in enumerate(names if self.out is not None else ()):
            check_writable(self.out / f"{i + 1}-{Path(name).stem}.json")  # type: ignore[operator]

    def _trip(self, name: str) -> Trip:
        path = Path(name)
        if path.suffix == ".npz" or (path.is_dir() and not (path / CONFIG).is_file()):
            return ThroughFiles(load_samples(path))
        spec, module = load_tokenizer(name)
        return ThroughTokens(spec, module.to(command.device(self.device)))

    @property
    def _looks(self) -> str | None:
        return self.extractor or (self.data if self.data in RECIPES else None)

    def _distance(self) -> PerceptualDistance | None:
        folder = self.lpips or os.environ.get(LPIPS)
        if folder is None:
            if "lpips" in self.metrics:
                raise UsageError(f"lpips needs its weights: give --lpips FOLDER or set ${LPIPS}")
            return None
        return lpips(folder).to(command.device(self.device)) if not self.metrics or "lpips" in self.metrics else None

    def _extractor(self, data: Dataset) -> Extractor:
        if self._looks is None:
            raise UsageError(
                f"frechet against data {data.name} needs an extractor: give --extractor inception, or leave it out"
            )
        return open_extractor(self._looks, data[0].image.shape[2]).to(command.device(self.device))

    def _applying(
        self, data: Dataset, trips: Sequence[Trip], distance: PerceptualDistance | None
    ) -> tuple[Metric, ...]:
        """All metrics that pictures of this size and all of these tokenizers allow: one protocol for all."""
        height, width = self.size or data[0].image.shape[:2]
        files, side = any(isinstance(trip, ThroughFiles) for trip in trips), min(height, width)
        lines, columns = builtin_font().fits((height, width), 1)
        applies: dict[Metric, bool] = {
            "psnr": True,
            "ssim": side >= WINDOW,
            "lpips": distance is not None and side >= distance.smallest,
            "frechet": self._looks is not None,
            "detail": side >= SMALLEST,
            "text": lines >= 1 and columns >= FEWEST,
            "codes": True,
        }
        return tuple(m for m, fits in applies.items() if fits and not (files and m in OF_ANY_PICTURES))


def _about(trip: Trip) -> dict[str, Any]:
    if isinstance(trip, ThroughTokens):
        return {"spec": str(trip.spec), "hash": fingerprint(trip.module, trip.spec)}
    return {}


def _told(names: Sequence[str], results: Sequence[Result]) -> str:
    """A row a figure, a column a tokenizer, then warnings and the protocol."""
    figures = dict.fromkeys(name for result in results for name in result.figures)
    rows: list[list[str]] = [["figure", *names]]
    for name in figures:
        rows.append([name, *(str(result.figures.get(name, "-")) for result in results)])
    for key, word in SPEEDS.items():
        if any(key in result.metadata for result in results):
            cells = [result.metadata.get(key) for result in results]
            rows.append([word, *("-" if cell is None else f"{cell:.4g} images/s" for cell in cells)])
    warned = [
        f"warning: {name}: {said}" for name, result in zip(names, results, strict=True) for said in result.warnings
    ]
    protocol = results[0].protocol
    return "\n".join([command.table(rows), *warned, f"protocol {protocol.id}: {protocol}"])

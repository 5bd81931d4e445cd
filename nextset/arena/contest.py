"""A contest: systems of one size trained on one data set with one budget, each then drawn from, timed and judged alike.

Every system has a folder of its own below the contest's. What is done is not done again; what fails is reported and the others go on.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import catalogue
from ..account import account
from ..conditions import Unconditional
from ..data.open import open_dataset
from ..decode import Guidance
from ..errors import NextsetError, UsageError
from ..evaluate import Figure, Protocol, evaluate, save_grid, trained
from ..evaluate.classifier import RECIPES
from ..files import save_json
from ..model import Model
from ..objectives.adversarial import TokenizerLoss
from ..sampling import words
from ..spec import Spec
from ..system import System
from ..tokenizers.pixel import Pixel
from ..train import Recipe, Revival, set_up_generator, set_up_tokenizer
from ..train.state import FILE
from .budget import fitted, parameters, training_cost

CONTEST, ENTRY, GRID, MODEL = "contest.json", "entry.json", "samples.png", "model"
GRID_ROWS, BATCH, ALONE = 8, 100, 5


@dataclass(frozen=True)
class Contest(Spec):
    """What is the same for all.

    `data` is "digits" or "shapes". Networks get `parameters` within 10%, and all of them the arithmetic that the first system's
    training of `steps` takes; `batch`, `lr` and `seed` are the recipe's. Learned tokenizers are trained for `tokenizer_steps`
    beforehand. `samples` pictures are drawn and judged at each guidance scale of `scales`; the one with the least Frechet distance counts.
    """

    data: str = "digits"
    parameters: int = 450_000
    steps: int = 800
    batch: int = 64
    lr: float = 2e-3
    seed: int = 0
    tokenizer_steps: int = 600
    samples: int = 1000
    scales: tuple[float, ...] = (1.0, 1.5, 2.0)

    def __post_init__(self) -> None:
        if self.data not in RECIPES:
            raise UsageError(f"data must be one of {', '.join(RECIPES)}, whose classifier judges, got {self.data!r}")
        if not self.scales or min(self.parameters, self.steps, self.batch, self.samples, self.tokenizer_steps) < 1:
            raise UsageError(f"{self}: every count must be at least 1, and scales not empty")


@dataclass(frozen=True)
class Entry:
    """One system in a contest: its `figures` by name, or why it `failed`."""

    name: str
    system: str
    figures: dict[str, float | str]
    failed: str = ""


def run(contest: Contest, names: Sequence[str], out: Path) -> list[Entry]:
    """Trains and judges the systems `names` (of each the size for the data, unless one is named) below `out`.

    Raises UsageError for what cannot begin: unknown names, a folder of another contest.
    """
    if len(set(names)) < max(len(names), 1):
        raise UsageError(f"systems must be at least one, each once, got {' '.join(names) or 'none'}")
    systems = {name: sized(name, contest.data) for name in names}
    _claim(contest, out)
    compute = _compute(contest, next(iter(systems.values())))
    return [_entered(contest, name, system, compute, out / name.replace("/", "-")) for name, system in systems.items()]


def sized(name: str, data: str) -> System:
    """The system of a name; without a size, the one that is made for the data."""
    if "/" in name:
        return catalogue.spec(name)
    if data not in catalogue.sizes(name):
        raise UsageError(f"system {name!r} has no size {data!r}; name one of its sizes, as {name}/SIZE")
    return catalogue.spec(f"{name}/{data}")


def _claim(contest: Contest, out: Path) -> None:
    path = out / CONTEST
    if path.is_file():
        held = Contest.from_dict(json.loads(path.read_text()))
        if held != contest:
            raise UsageError(f"out: {out} holds another contest ({held.changes(contest)}); choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    save_json(path, contest.to_dict())


def _compute(contest: Contest, system: System) -> float:
    """Multiply-adds of the whole training, those of the first system."""
    return training_cost(fitted(system, contest.parameters)) * contest.batch * contest.steps


def _entered(contest: Contest, name: str, system: System, compute: float, folder: Path) -> Entry:
    path = folder / ENTRY
    if path.is_file():
        return Entry(**json.loads(path.read_text()))
    try:
        entry = _Entrant(contest, name, system, compute, folder).entry()
    except (NextsetError, UsageError, RuntimeError, AssertionError) as error:
        return Entry(name, str(system), {}, failed=str(error).splitlines()[0] if str(error) else type(error).__name__)
    save_json(path, dataclasses.asdict(entry))
    return entry


class _Entrant:
    """One system on its way through a contest."""

    def __init__(self, contest: Contest, name: str, system: System, compute: float, folder: Path) -> None:
        self.contest, self.name, self.folder, self.compute = contest, name, folder, compute
        self.tokenizer_seconds = 0.0
        self.system = fitted(system, contest.parameters)

    def entry(self) -> Entry:
        """Trains, measures, and draws the grid."""
        tokenizer = self._tokenizer()
        figures = self._train(tokenizer)
        model = Model.from_pretrained(self.folder / MODEL)
        figures |= self._costs() | self._judged(model) | _latency(model)
        labels = torch.arange(GRID_ROWS * 10) % len(open_dataset(self.contest.data, "test").classes)
        grid = self._drawn(model, labels, 0, _scaled(self.system.guidance, float(figures["guidance"])))
        save_grid(grid, self.folder / GRID, columns=10, scale=4)
        return Entry(self.name, str(self.system), figures)

    def _tokenizer(self) -> str:
        """The folder of the trained tokenizer, "" where there is nothing to train."""
        spec, contest = self.system.tokenizer, self.contest
        if not any(True for _ in spec.build().parameters()):
            return ""
        folder, start = self.folder / "tokenizer", time.perf_counter()
        if not (folder / FILE).exists() or not (folder / "done").exists():
            recipe = Recipe(
                contest.tokenizer_steps, 32, lr=2e-3, weight_decay=0.0, beta2=0.99, ema=0.99, seed=contest.seed
            )
            setup = set_up_tokenizer(
                spec, self.system.size, contest.data, recipe, loss=TokenizerLoss(), revival=Revival()
            )
            setup.run(folder, resume=(folder / FILE).exists(), sample_every=0, eval_every=0)
            (folder / "done").touch()
        self.tokenizer_seconds = time.perf_counter() - start
        return str(folder)

    def _train(self, tokenizer: str) -> dict[str, float | str]:
        contest, folder = self.contest, self.folder / MODEL
        cost = training_cost(self.system)
        steps = max(1, round(self.compute / (cost * contest.batch)))
        recipe = Recipe(steps, contest.batch, lr=contest.lr, ema=0.99, seed=contest.seed)
        start = time.perf_counter()
        setup = set_up_generator(self.system, contest.data, recipe, tokenizer=tokenizer)
        setup.run(folder, resume=(folder / FILE).exists(), sample_every=0, eval_every=0)
        return {
            "parameters": parameters(self.system),
            "train_steps": steps,
            "train_multiply_adds": cost * contest.batch * steps,
            "train_seconds": round(time.perf_counter() - start, 1),
            "tokenizer_seconds": round(self.tokenizer_seconds, 1),
        }

    def _costs(self) -> dict[str, float | str]:
        found = account(self.system)
        return {
            "steps": found.steps,
            "tokens": found.tokens,
            "tokenizer_parameters": found.tokenizer_parameters,
            "multiply_adds": found.multiply_adds + found.decoder_multiply_adds,
            "cache_bytes": found.cache_bytes_float32,
        }

    def _judged(self, model: Model) -> dict[str, float | str]:
        """Likelihood, and the figures at the scale of the least Frechet distance, with those of all scales beside them."""
        guidable = not isinstance(self.system.condition, Unconditional)
        scales = self.contest.scales if guidable else (1.0,)
        found = {scale: self._figures(model, scale) for scale in scales}
        best = min(scales, key=lambda scale: found[scale]["frechet"].value)
        figures: dict[str, float | str] = {name: figure.value for name, figure in found[best].items()}
        for scale in scales:
            figures |= {f"{name}@{scale:g}": found[scale][name].value for name in ("frechet", "accuracy")}
        return figures | {"guidance": best} | self._bits(model)

    def _figures(self, model: Model, scale: float) -> dict[str, Figure]:
        contest, guidance = self.contest, _scaled(self.system.guidance, scale)
        seconds: list[float] = []

        def sample(labels: Tensor, first: int) -> Tensor:
            start = time.perf_counter()
            images = self._drawn(model, labels, first, guidance)
            seconds.append((time.perf_counter() - start) / len(labels))
            return images

        protocol = Protocol(
            ("frechet", "precision-recall", "accuracy"),
            contest.samples,
            contest.seed + 1,
            guidance=words(guidance),
            sampling=words(self.system.pick),
        )
        test = open_dataset(contest.data, "test")
        result = evaluate(protocol, test, sample=sample, extractor=trained(contest.data), batch=BATCH)
        return result.figures | {"seconds_an_image": Figure(sorted(seconds)[len(seconds) // 2], "s")}

    def _bits(self, model: Model) -> dict[str, float | str]:
        """Bits per dimension where tokens are pixels, else per token; what kind of likelihood they are, or why there is none."""
        test, system = open_dataset(self.contest.data, "test"), self.system
        try:
            result = evaluate(
                Protocol(("bits",), samples=0),
                test,
                log_prob=lambda images, labels, first: model.log_prob(images, labels, seed=0, first=first),
                batch=BATCH,
            )
        except UsageError as error:
            return {"likelihood": f"none: {error}"}
        value = result.figures["bits"].value
        kind = "exact" if model.network.plan(0, 2, torch.device("cpu")).perm.ndim == 1 else "bound, one order a picture"
        if isinstance(system.tokenizer, Pixel):
            return {"bits": value, "likelihood": kind}
        dims = system.tokenizer.channels * math.prod(system.size)
        return {"bits_a_token": value * dims / account(system).tokens, "likelihood": f"{kind}, of tokens"}

    def _drawn(self, model: Model, labels: Tensor, first: int, guidance: Guidance) -> Tensor:
        condition = None if isinstance(self.system.condition, Unconditional) else labels
        seed = self.contest.seed + 1
        return model.generate(condition, count=len(labels), seed=seed, first=first, guidance=guidance).cpu()


def _scaled(guidance: Guidance, scale: float) -> Guidance:
    """The system's schedule with another scale; every schedule has one."""
    return dataclasses.replace(guidance, scale=scale)  # type: ignore[call-arg]


def _latency(model: Model) -> dict[str, float | str]:
    """Median seconds of one picture drawn alone."""
    times = []
    for seed in range(ALONE):
        start = time.perf_counter()
        model.generate(count=1, seed=seed, guidance=1.0)
        times.append(time.perf_counter() - start)
    return {"seconds_alone": sorted(times)[ALONE // 2]}


def entries_to_json(contest: Contest, entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything as plain JSON data."""
    return {"contest": contest.to_dict(), "entries": [dataclasses.asdict(entry) for entry in entries]}

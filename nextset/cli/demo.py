"""`nextset demo`: train on real handwritten digits, draw new ones, judge them; the whole path in two to three minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import catalogue
from ..data.loader import once
from ..data.open import open_dataset
from ..decode import Constant
from ..errors import need
from ..evaluate import Protocol, Result, evaluate, save_grid
from ..evaluate import trained as classifier
from ..evaluate.bits import histogram_bits, quantise, uniform_bits
from ..files import save_json, write_atomically
from ..model import Model
from ..sampling import frames, save_gif, words
from ..train import Options, Recipe, set_up_generator
from ..train.journal import read_log
from ..train.state import FILE
from . import command

SYSTEM, DATA, CLASSES, LEVELS = "llamagen/digits", "digits", 10, 17
RECIPE = Recipe(steps=800, batch=64, lr=2e-3, warmup=50, ema=0.99)
GUIDED, UNGUIDED = 1.5, 1.0
DRAWS = 6  # completions of each digit


@dataclass(frozen=True)
class Demo:
    """Train on handwritten digits, draw new ones, complete halves, and judge them."""

    out: Path = Path("demo")
    """Folder for the pictures, the figures and the checkpoint. A run that it holds already is finished, not repeated."""
    steps: int = RECIPE.steps
    """Training steps."""
    samples: int = 1000
    """Drawn digits that are judged."""
    json: command.Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words."""
        return command.parse(cls, "demo", words).run()

    def run(self) -> int:
        """The whole path."""
        start = time.perf_counter()
        signal = self._train()
        if signal:
            return 128 + signal
        trained = time.perf_counter() - start
        model = Model.from_pretrained(self.out / "model").to(command.device("auto"))
        self._draw(model)
        figures = self._judge(model)
        figures["seconds"] = {"training": round(trained, 1), "all": round(time.perf_counter() - start, 1)}
        save_json(self.out / "metrics.json", figures)
        command.say(self.json, figures, _told(figures, self.out))
        return 0

    def _train(self) -> int:
        folder = self.out / "model"
        recipe = replace(RECIPE, steps=self.steps)
        options = Options(folder, resume=(folder / FILE).exists(), sample_every=0, eval_every=100, save_every=200)
        return set_up_generator(catalogue.spec(SYSTEM), DATA, recipe).trainer(options).run()

    def _draw(self, model: Model) -> None:
        labels = [label for label in range(CLASSES) for _ in range(10)]
        save_grid(model.generate(labels, seed=1), self.out / "samples.png", columns=10, scale=6)
        save_gif(frames(model.stream(list(range(CLASSES)), seed=1)), self.out / "writing.gif", scale=8)
        save_grid(_completed(model), self.out / "inpaint.png", columns=2 + DRAWS, scale=6)
        _curve(read_log(self.out / "model"), self.out / "curve.png")

    def _judge(self, model: Model) -> dict[str, Any]:
        return {
            "guided": self._evaluate(model, GUIDED, ("bits", "frechet", "precision-recall", "accuracy")).to_dict(),
            "unguided": self._evaluate(model, UNGUIDED, ("frechet", "precision-recall", "accuracy")).to_dict(),
            "bits_uniform": uniform_bits(LEVELS),
            "bits_histogram": histogram_bits(_levels("train"), _levels("test"), LEVELS).mean,
        }

    def _evaluate(self, model: Model, guidance: float, metrics: tuple[str, ...]) -> Result:
        return evaluate(
            Protocol(metrics, self.samples, 2, guidance=words(Constant(guidance)), sampling=words(model.system.pick)),
            open_dataset(DATA, "test"),
            sample=lambda labels, first: model.generate(labels, seed=2, first=first, guidance=guidance).cpu(),
            log_prob=lambda images, labels, first: model.log_prob(images, labels, first=first).cpu(),
            extractor=classifier(DATA),
            batch=250,
        )


def _completed(model: Model) -> Tensor:
    """For one test digit a class: the original, its upper half, and completions of it; (B, C, H, W)."""
    batch = next(once(open_dataset(DATA, "test"), 360, model.system.size, 1))
    picks = [int((batch.labels == label).nonzero()[0]) for label in range(CLASSES)]
    mask = torch.zeros(model.system.size, dtype=torch.bool)
    mask[mask.shape[0] // 2 :] = True
    rows = []
    for pick in picks:
        image = batch.images[pick]
        label = int(batch.labels[pick])
        drawn = model.edit(image.expand(DRAWS, *image.shape), mask, [label] * DRAWS, seed=3).cpu()
        rows += [image[None], image.masked_fill(mask, 0)[None], drawn]
    return torch.cat(rows)


def _levels(split: str) -> Tensor:
    """All digits of a split as grey levels (B, C, H, W)."""
    images = [batch.images for batch in once(open_dataset(DATA, split), 256, (8, 8), 1)]
    return quantise(torch.cat(images), LEVELS)


def _curve(log: list[dict[str, float]], path: Path) -> None:
    """Loss and held-out loss in bits per pixel over the steps."""
    need("matplotlib", "train")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in (("loss", "training batch"), ("held_out_loss", "held-out digits")):
        points = [(entry["step"], entry[name] / math.log(2)) for entry in log if name in entry]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="o" if name != "loss" else "")
    axes.set(xlabel="step", ylabel="bits per pixel", title=f"{SYSTEM} on handwritten digits")
    axes.legend()
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=120))


def _told(figures: dict[str, Any], out: Path) -> str:
    """What was achieved, in plain words."""
    guided, unguided = figures["guided"]["figures"], figures["unguided"]["figures"]
    judge = figures["guided"]["metadata"]["classifier_accuracy"]
    return "\n".join(
        [
            f"A model has learned to draw handwritten digits ({figures['seconds']['training']:.0f} s of training just now).",
            f"It describes digits it has never seen with {guided['bits']['value']:.2f} bits a pixel; guessing takes "
            f"{figures['bits_uniform']:.2f}, knowing how often each pixel has each grey {figures['bits_histogram']:.2f}.",
            f"A classifier that is right on {judge:.1%} of real digits recognises {guided['accuracy']['value']:.1%} of the drawn "
            f"ones as what was asked for with guidance {GUIDED:g}, {unguided['accuracy']['value']:.1%} without.",
            f"Look at {out}/samples.png, writing.gif, inpaint.png, curve.png; the model is {out}/model, the figures metrics.json.",
        ]
    )

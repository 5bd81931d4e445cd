"""One system from one seed on its way through a contest: tokenizer, training, judging, pictures. All of it goes on where it was stopped."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..account import account
from ..files import save_json
from ..model import Model
from ..objectives.adversarial import TokenizerLoss
from ..system import System
from ..train import Recipe, Revival, set_up_generator, set_up_tokenizer, state
from ..train.journal import read_log
from ..train.run import Setup
from .budget import parameters, training_cost
from .contest import Contest
from .entry import MODEL, PLAN, TIMES, Run
from .judging import Judge
from .pictures import save_pictures

TOKENIZER, SPENT = "tokenizer", "spent.json"
JUDGEMENTS = 8  # of held-out pictures during a training, or fewer where they would take more than a tenth of its time


@dataclass(frozen=True)
class Entrant:
    """`system`, with the width and depth of the budget, from `seed`, given `compute` multiply-adds, in a folder of its own."""

    contest: Contest
    system: System
    seed: int
    compute: float
    folder: Path

    def run(self) -> Run:
        """Trains, judges, draws what a report shows; returns the figures, and writes nothing of them."""
        torch.manual_seed(self.seed)
        plan = self._plan()
        tokenizer = self._tokenizer()
        self._train(tokenizer, plan["train_steps"])
        judge = self.judge()
        with self._spending("judging"):
            scale, tried = judge.best_scale()
            result = judge.samples(scale)
            likelihood, prompts = judge.bits(), judge.prompts(scale)
        save_pictures(judge, scale, self.folder)
        figures: dict[str, float | str] = {
            **plan,
            **self._costs(),
            **{f"{k}_seconds": v for k, v in self._spent.items()},
        }
        figures |= {name: figure.value for name, figure in result.figures.items()}
        figures |= {**tried, "guidance": scale, **likelihood, **prompts}
        return Run(self.seed, figures, result.metadata.get("accuracy_per_class", []), list(result.warnings))

    def judge(self) -> Judge:
        """The judge of the trained model, on the device that there is."""
        model = Model.from_pretrained(self.folder / MODEL)
        return Judge(self.contest, model.to("cuda" if torch.cuda.is_available() else "cpu"), self.seed)

    def _plan(self) -> dict[str, Any]:
        """How many steps its share of arithmetic is; written for whoever looks on."""
        if not (self.folder / PLAN).is_file():
            step = training_cost(self.system) * self.contest.batch
            steps = max(1, round(self.compute / step))
            plan = {"train_steps": steps, "train_multiply_adds": step * steps, "parameters": parameters(self.system)}
            save_json(self.folder / PLAN, plan)
        return dict(json.loads((self.folder / PLAN).read_text()))

    def _tokenizer(self) -> str:
        """The folder of the trained tokenizer, "" where there is nothing to train."""
        spec, contest = self.system.tokenizer, self.contest
        if not any(True for _ in spec.build().parameters()):
            return ""
        steps = contest.tokenizer_steps
        recipe = Recipe(steps, 32, lr=2e-3, weight_decay=0.0, beta2=0.99, ema=0.99, seed=self.seed)
        setup = set_up_tokenizer(spec, self.system.size, contest.data, recipe, loss=TokenizerLoss(), revival=Revival())
        self._run(setup, TOKENIZER, 0)
        return str(self.folder / TOKENIZER)

    def _train(self, tokenizer: str, steps: int) -> None:
        contest = self.contest
        recipe = Recipe(steps, contest.batch, lr=contest.lr, ema=0.99, seed=self.seed)
        setup = set_up_generator(self.system, contest.data, recipe, tokenizer=tokenizer)
        rounds = setup.held_out.schedule.rounds if setup.held_out else 0
        self._run(setup, MODEL, max(steps // JUDGEMENTS, 10 * rounds // 3, 1))  # a forward pass is a third of a step

    def _run(self, setup: Setup, name: str, eval_every: int) -> None:
        """Trains what is not trained yet."""
        folder, steps = self.folder / name, setup.recipe.steps
        begun = (folder / state.FILE).exists()
        if begun and state.read(folder)[1]["step"] == steps:
            return
        often = {"log_every": max(1, min(10, steps // 20)), "save_every": max(50, steps // 10)}
        with self._spending("tokenizer" if name == TOKENIZER else "train"):
            setup.run(folder, resume=begun, sample_every=0, eval_every=eval_every, **often)

    def _costs(self) -> dict[str, float]:
        found = account(self.system)
        return {
            "steps": found.steps,
            "tokens": found.tokens,
            "tokenizer_parameters": found.tokenizer_parameters,
            "multiply_adds": found.multiply_adds + found.decoder_multiply_adds,
            "cache_bytes": found.cache_bytes_float32,
        }

    # -- seconds, over all attempts

    @property
    def _spent(self) -> dict[str, float]:
        path = self.folder / SPENT
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    @contextlib.contextmanager
    def _spending(self, on: str) -> Iterator[None]:
        start, before = time.perf_counter(), self._spent
        try:
            yield
        finally:
            save_json(self.folder / SPENT, before | {on: before.get(on, 0.0) + time.perf_counter() - start})


def clocked(entrant: Entrant, scale: float, folder: Path) -> None:
    """Measures the times of a trained model at this guidance and writes them into the system's `folder`."""
    save_json(folder / TIMES, entrant.judge().times(scale))


def stage(folder: Path, tokenizer_steps: int) -> str:
    """What goes on in the folder of a run, in a few words."""
    if not (folder / PLAN).is_file():
        return "starts"
    steps = json.loads((folder / PLAN).read_text())["train_steps"]
    for name, of in ((MODEL, steps), (TOKENIZER, tokenizer_steps)):
        log = read_log(folder / name)
        if log:
            what = f"{name} {log[-1]['step']}/{of}" if name == TOKENIZER else f"{log[-1]['step']}/{of}"
            return "judged" if name == MODEL and log[-1]["step"] == of else what
    return "starts"

"""How a trained model is judged: likelihood, samples at the guidance that suits it best, and times."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..account import account
from ..conditions import Unconditional
from ..data.open import open_dataset
from ..decode import Guidance
from ..errors import UsageError
from ..evaluate import Extractor, Protocol, Result, evaluate, grade_shapes, open_extractor, prompt_score
from ..evaluate.classifier import RECIPES
from ..evaluate.eye import check_extractor
from ..model import Model
from ..noise import mix
from ..sampling import words
from ..tokenizers.pixel import Pixel
from .contest import Contest

RANDOM = "tiny-random"
A_CATEGORY = 10  # one prompt of each of six categories for so many samples
BATCH, ALONE, TOGETHER = 100, 5, 3  # pictures at once; repetitions that are timed, of one picture and of a batch


def looks(contest: Contest, shape: tuple[int, int, int]) -> Extractor:
    """What looks at the pictures (channels, height, width) of a contest. Raises UsageError where it cannot."""
    own = contest.data if contest.data in RECIPES else RANDOM
    found = open_extractor(own if contest.extractor == "auto" else contest.extractor, shape[0])
    check_extractor(found, {"frechet"}, shape)
    return found


@dataclass(frozen=True)
class Judge:
    """Judges `model`, whose run has `seed`."""

    contest: Contest
    model: Model
    seed: int

    def guided(self, scale: float) -> Guidance:
        """The system's schedule with another scale; every schedule has one."""
        return dataclasses.replace(self.model.system.guidance, scale=scale)  # type: ignore[call-arg]

    @property
    def captioned(self) -> bool:
        """Whether the model is told captions."""
        said = self.model.system.condition.of(torch.zeros(1, dtype=torch.int64), ("a picture",))
        return said is not None and not isinstance(said, Tensor)

    def draw(self, condition: Any, first: int, seed: int, guidance: Guidance) -> Tensor:
        """Pictures of these labels or captions (B, C, H, W)."""
        said = None if isinstance(self.model.system.condition, Unconditional) else condition
        return self.model.generate(said, count=len(condition), seed=seed, first=first, guidance=guidance).cpu()

    def best_scale(self) -> tuple[float, dict[str, float]]:
        """The guidance scale of the least Frechet distance, with the distances at all scales by name."""
        scales = (1.0,) if isinstance(self.model.system.condition, Unconditional) else self.contest.scales
        if len(scales) == 1:
            return scales[0], {}
        seed = mix(self.seed, "scales")
        found = {scale: self._result(("frechet",), self.contest.tries, seed, scale) for scale in scales}
        distances = {scale: result.figures["frechet"].value for scale, result in found.items()}
        return min(scales, key=lambda s: distances[s]), {f"frechet@{s:g}": value for s, value in distances.items()}

    def samples(self, scale: float) -> Result:
        """Everything that is about drawn pictures."""
        system = self.model.system
        labelled = not self.captioned and not isinstance(system.condition, Unconditional)
        metrics = ["frechet", "precision-recall"]
        classified = self.contest.data in RECIPES and self.contest.extractor in ("auto", self.contest.data)
        metrics += ["accuracy"] if labelled and classified else []
        metrics += ["grade"] if self.captioned and self.contest.data.startswith("shapes") else []
        return self._result(tuple(metrics), self.contest.samples, mix(self.seed, "samples"), scale)

    def prompts(self, scale: float) -> dict[str, float]:
        """How often pictures show what prompts of each category ask for, of models that are told captions of shapes."""
        if not (self.captioned and self.contest.data.startswith("shapes")):
            return {}
        seed, guidance = mix(self.seed, "prompts"), self.guided(scale)
        sample = lambda captions, first: self.draw(captions, first, seed, guidance)
        found = prompt_score(sample, max(1, self.contest.samples // A_CATEGORY), batch=BATCH)
        return {name.replace("grade/", "prompt/"): figure.value for name, figure in found.figures.items()}

    def _result(self, metrics: tuple[str, ...], samples: int, seed: int, scale: float) -> Result:
        system, guidance = self.model.system, self.guided(scale)
        protocol = Protocol(
            metrics,
            samples,
            seed,
            condition="caption" if self.captioned else "label",
            guidance=words(guidance),
            sampling=words(system.pick),
            channels=system.tokenizer.channels,
            size=system.size,
        )
        return evaluate(
            protocol,
            open_dataset(self.contest.data, "test"),
            sample=lambda condition, first: self.draw(condition, first, seed, guidance),
            extractor=looks(self.contest, (system.tokenizer.channels, *system.size)),
            grader=grade_shapes,
            batch=BATCH,
        )

    def bits(self) -> dict[str, float | str]:
        """Bits per dimension where tokens are pixels, else per token; what kind of likelihood they are, or why there is none."""
        model, system = self.model, self.model.system
        if self.captioned:
            return {"likelihood": "none: it is told captions"}
        labelled = not isinstance(system.condition, Unconditional)
        try:
            result = evaluate(
                Protocol(("bits",), samples=0, channels=system.tokenizer.channels, size=system.size),
                open_dataset(self.contest.data, "test"),
                log_prob=lambda images, labels, first: model.log_prob(
                    images, labels if labelled else None, seed=self.seed, first=first
                ),
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

    def times(self, scale: float) -> dict[str, float]:
        """Median seconds of a picture at this scale, in a batch and alone."""
        labels, guidance = torch.zeros(BATCH, dtype=torch.int64), self.guided(scale)
        said: Any = [open_dataset(self.contest.data, "test")[0].caption] * BATCH if self.captioned else labels
        together = _median(lambda seed: self.draw(said, 0, seed, guidance), TOGETHER)
        return {
            "seconds_an_image": together / BATCH,
            "seconds_alone": _median(lambda seed: self.draw(said[:1], 0, seed, guidance), ALONE),
        }


def _median(run: Callable[[int], Any], times: int) -> float:
    """Seconds of a call, the first apart."""
    found = []
    for seed in range(times + 1):
        start = time.perf_counter()
        run(seed)
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])

"""The prompt score of a sampler: GenEval's categories (Ghosh et al. 2023, arXiv 2310.11513) on the world of shapes.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
import math

from tqdm import tqdm

from ..data.shapes.grading.prompts import CATEGORIES, overall, prompts
from ..errors import UsageError
from .accuracy import GradeTally, grade_category
from .protocol import Figure, Protocol, Result
from .request import Sampler
from .samples import Samples, check_finite

PLAIN = Protocol(metrics=("grade",), condition="caption")


def prompt_list(per_category: int = 100, seed: int = 0) -> list[tuple[str, str]]:
    """(category, caption) of every picture that `prompt_score` asks for, in its order."""
    return [(name, str(prompt)) for name in CATEGORIES for prompt in prompts(name, per_category, seed)]


def prompt_score(
    sample: Sampler | Samples, per_category: int = 100, seed: int = 0, batch: int = 64, protocol: Protocol = PLAIN
) -> Result:
    """Draws `per_category` pictures for the prompts of each category and grades them: "grade/<category>", and "grade/overall", the
    mean of the six.

    `sample(captions, first) -> (B, 3, S, S)` draws in [-1, 1] for a list of captions, the pictures first, first + 1, ...; or it is
    what `load_samples` opened, with the pictures of `prompt_list` in its order. `seed` chooses the prompts. `protocol` says how it
    draws; the fields that follow from the prompts are filled in. Raises UsageError before any work for what does not fit,
    NextsetError naming a sample that is not finite.
    """
    asked = prompt_list(per_category, seed)
    if batch < 1:
        raise UsageError(f"batch must be at least 1, got {batch}")
    if isinstance(sample, Samples) and len(sample) != len(asked):
        raise UsageError(
            f"samples: {sample.path} holds {len(sample)} pictures, the prompts are {len(asked)}: one a prompt, in their order"
        )
    figures: dict[str, Figure] = {}
    size = protocol.size
    with tqdm(total=len(asked), desc="prompts", unit="image", disable=None, leave=False) as bar:
        for place, category in enumerate(CATEGORIES):
            tally = GradeTally(grade_category(category))
            for first in range(place * per_category, (place + 1) * per_category, batch):
                captions = [caption for _, caption in asked[first : min(first + batch, (place + 1) * per_category)]]
                stop = first + len(captions)
                images = sample.images(first, stop) if isinstance(sample, Samples) else sample(captions, first)
                if images.ndim != 4 or len(images) != len(captions):
                    raise UsageError(f"sample returned images {tuple(images.shape)} for {len(captions)} captions")
                check_finite(images, first)
                tally.add(images, captions)
                size = (images.shape[2], images.shape[3])
                bar.update(len(captions))
            figures |= tally.figures()
    protocol = dataclasses.replace(
        protocol, samples=len(asked), data=f"shapes-prompts:{per_category}:{seed}", channels=3, size=size
    )
    return Result(protocol, figures | {"grade/overall": _overall(figures)})


def _overall(figures: dict[str, Figure]) -> Figure:
    errors = [figure.error or 0.0 for figure in figures.values()]
    value = overall({name: figure.value for name, figure in figures.items()})
    return Figure(value, "", math.hypot(*errors) / len(errors), more_is_better=True)

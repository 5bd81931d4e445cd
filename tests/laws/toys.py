"""Small systems with lively weights, on which laws can be checked exactly."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from nextset import Model, System, catalogue
from nextset.layout import Discrete
from nextset.tokenizers.pixel import Pixel

SYSTEMS = catalogue.names()
LEVELS, SIDE = 3, 2


def tiny(name: str) -> System:
    """What the tests build of a system."""
    return catalogue.spec(f"{name}/tiny")


def toy(name: str) -> System:
    """The tiny system on 2 x 2 sites of 3 tokens: 81 images, few enough to enumerate."""
    return replace(tiny(name), tokenizer=Pixel(LEVELS), size=(SIDE, SIDE))


def excite(model: Model, seed: int = 0, std: float = 0.4) -> Model:
    """Gives every weight a random value, so that no law holds merely because a layer starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std + (parameter.ndim == 1))
    return model.eval()


def lively(system: System, double: bool = False) -> Model:
    """The excited model of a system, in float64 where exactness is asked."""
    torch.manual_seed(0)
    model = excite(system.build())
    return model.double() if double else model


def all_images() -> Tensor:
    """The 81 images of a toy as ids (81, 4)."""
    return torch.tensor(list(itertools.product(range(LEVELS), repeat=SIDE * SIDE)))


def random_tokens(model: Model, batch: int, seed: int = 0) -> Tensor:
    """Random tokens (B, N, ...) of the model's alphabet."""
    generator = torch.Generator().manual_seed(seed)
    unit, sites = model.system.tokenizer.unit, model.system.layout.sites
    if isinstance(unit, Discrete):
        shape = (batch, sites) if unit.codes == 1 else (batch, sites, unit.codes)
        return torch.randint(unit.vocab, shape, generator=generator)
    return torch.randn(batch, sites, unit.dim, generator=generator, dtype=next(model.network.parameters()).dtype)


def conditions(model: Model, batch: int) -> Tensor:
    """Prepared conditions that differ along the batch where the system has any."""
    part = model.network.condition
    wanted = model.system.condition.of(torch.arange(batch) % 2, ["a circle"] * batch)
    return part.prepare(wanted, batch, torch.device("cpu"))

"""What a system costs, counted on the meta device: no weights are made and nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from .layout import Discrete
from .system import System


@dataclass(frozen=True)
class Account:
    """Figures of one system. `multiply_adds` are those of drawing one unguided image: the network's, the decoder's apart."""

    parameters: int
    tokenizer_parameters: int
    sites: int
    tokens: int
    steps: int
    multiply_adds: int
    decoder_multiply_adds: int


def count(module: nn.Module) -> int:
    """Parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def account(system: System) -> Account:
    """All figures of a system."""
    with torch.device("meta"):
        network, tokenizer = system.network().eval(), system.tokenizer.build().eval()
    unit, sites = system.tokenizer.unit, system.layout.sites
    return Account(
        parameters=count(network),
        tokenizer_parameters=count(tokenizer),
        sites=sites,
        tokens=sites * (unit.codes if isinstance(unit, Discrete) else 1),
        steps=len(system.order.sizes(system.layout)),
        multiply_adds=drawing(network),
        decoder_multiply_adds=decoding(system, tokenizer),
    )

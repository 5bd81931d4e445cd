"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """A shadow of a module's parameters; buffers are taken as they are."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.shadow = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """shadow = decay * shadow + (1 - decay) * weights."""
        for name, parameter in self.module.named_parameters():
            self.shadow[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module with the averaged weights inside the block, and with its own again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def take(self) -> None:
        """Makes the module's present weights the average."""
        for name, parameter in self.module.named_parameters():
            self.shadow[name].copy_(parameter)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self.module.named_parameters():
            own = parameter.detach().clone()
            parameter.copy_(self.shadow[name])
            self.shadow[name].copy_(own)

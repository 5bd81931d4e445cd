"""Objectives that get into trouble, for systems of a contest; processes import them from here."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import torch
from torch import Tensor

from nextset.layout import Tokens
from nextset.objectives import NextSet, Objective
from nextset.objectives.base import Scorer


@dataclass(frozen=True)
class Troubled(Objective):
    """The plain loss, until `trouble` comes half-way: "raises", "killed", or "diverges"."""

    trouble: str

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """Before a training it is only counted, on meta or eight times on the CPU; `progress` then is no whole step."""
        found = NextSet().loss(network, tokens, condition, seed, progress)
        if progress == 0.5 and network.training:
            if self.trouble == "raises":
                raise RuntimeError("it exploded <here>\nand there")
            if self.trouble == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            found["loss"] = found["loss"] * torch.tensor(float("nan"))
        return found

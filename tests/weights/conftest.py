"""Small models whose weights are written as the official code of their family writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, System
from nextset.conditions import Label
from nextset.official import llamagen, vq
from nextset.systems.llamagen import llamagen as system
from nextset.tokenizers.vq import VQ
from tests.laws.toys import lively

CODES = VQ(16, 4, 8, (1, 2), blocks=1, latent=8, groups=4)
SMALL: System = system(2, 2, 16, image=8, tokenizer=CODES, classes=3, hidden_multiple=16)
CONFIG = {"n_head": 2, "block_size": 16, "multiple_of": 16}


@dataclass(frozen=True)
class Official:
    """A model, and the files of its two parts in the official layout."""

    model: Model
    network: Path
    tokenizer: Path

    @property
    def files(self) -> dict[str, Path]:
        return {"network": self.network, "tokenizer": self.tokenizer}

    @property
    def config(self) -> dict[str, Any]:
        """What shapes do not show, of both."""
        return {"network": CONFIG, "tokenizer": {"num_groups": CODES.groups}}

    def state(self) -> dict[str, Tensor]:
        """The generator's official state dict."""
        found: dict[str, Tensor] = torch.load(self.network)["model"]
        return found

    def rewrite(self, **changes: Tensor | None) -> None:
        """The generator's file with other tensors, or without some."""
        state = {**self.state(), **changes}
        torch.save({"model": {key: value for key, value in state.items() if value is not None}}, self.network)


@pytest.fixture
def official(tmp_path: Path) -> Official:
    """LlamaGen with its tokenizer."""
    assert isinstance(SMALL.condition, Label)
    model = lively(SMALL)
    network, tokenizer = tmp_path / "gpt.pt", tmp_path / "tokens.pt"
    torch.save({"model": llamagen.KEYS.to_theirs(model.network.state_dict()), "steps": 3}, network)
    torch.save({"model": vq.KEYS.to_theirs(model.tokenizer.state_dict())}, tokenizer)
    return Official(model, network, tokenizer)

"""NPP's published weights have LlamaGen's layout: every size against the keys and shapes in LlamaGen's manifest.

The manifest lies in the folder that NEXTSET_PARITY names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from nextset.official.next_patch import KEYS
from nextset.systems.next_patch import PUBLISHED, SIZES

FILE = (
    Path(os.environ.get("NEXTSET_PARITY", Path(__file__).parents[3] / "shared" / "parity"))
    / "llamagen_c2i/published.json"
)
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"{FILE} is absent: set NEXTSET_PARITY to the recordings")


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_key_and_shape(name: str) -> None:
    entry = json.loads(FILE.read_text())[f"GPT-{name.upper()}"]
    theirs = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    with torch.device("meta"):
        state = SIZES[name].network().state_dict()
    assert {key: tuple(value.shape) for key, value in KEYS.to_theirs(state).items()} == theirs
    back = KEYS.to_ours({key: torch.empty(shape, device="meta") for key, shape in theirs.items()})
    assert {key: value.shape for key, value in back.items()} == {key: value.shape for key, value in state.items()}
    assert PUBLISHED[name] == (f"c2i_{name.upper()}_{SIZES[name].size[0]}.pt",)

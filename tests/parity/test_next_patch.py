"""NPP's published weights have LlamaGen's layout: every size against the keys and shapes in LlamaGen's manifest.

The manifest lies in the folder that NEXTSET_PARITY names.
"""

from __future__ import annotations

import pytest

from nextset.official.next_patch import KEYS
from nextset.systems.next_patch import PUBLISHED, SIZES

from .recordings import Recordings, assert_published

LLAMAGEN = Recordings("llamagen_c2i")
pytestmark = LLAMAGEN.needed


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_key_and_shape(name: str) -> None:
    entry = LLAMAGEN.published[f"GPT-{name.upper()}"]
    assert_published(SIZES[name].network, KEYS, entry["state_dict"])
    assert PUBLISHED[name] == (f"c2i_{name.upper()}_{SIZES[name].size[0]}.pt",)

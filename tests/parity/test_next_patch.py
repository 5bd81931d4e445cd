"""NPP's published weights have LlamaGen's layout: every size against the keys and shapes in LlamaGen's manifest.

The manifest lies in the folder that NEXTSET_PARITY names.
"""

from __future__ import annotations

import pytest

from nextset.official.next_patch import FAMILY, KEYS, PUBLISHED
from nextset.systems.next_patch import SIZES

from .recordings import Recordings, assert_published, assert_read, numbers

LLAMAGEN = Recordings("llamagen_c2i")
pytestmark = LLAMAGEN.needed


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_key_and_shape(name: str) -> None:
    entry = LLAMAGEN.published[f"GPT-{name.upper()}"]
    assert_published(SIZES[name].network, KEYS, entry["state_dict"])
    sites = {"block_size": SIZES[name].layout.sites}
    assert_read(FAMILY, entry, numbers(entry["constructor"]) | sites, SIZES[name])
    assert PUBLISHED[name].network.endswith(f":c2i_{name.upper()}_{SIZES[name].size[0]}.pt")

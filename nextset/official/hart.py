"""The official weights of HART's tokenizer (Tang et al. 2024, arXiv 2410.10812): those of VAR's, for the module within."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from ..family import Arguments, Coder, Published
from ..keymap import Keys, State, Within
from ..systems.var import VAE
from ..tokenizers.hybrid import HybridVQ
from . import multiscale

HITS = "vq.hits"


@dataclass(frozen=True)
class OfficialKeys:
    """VAR's names for the module within, and back, for so many `scales`: hits of another number of them start afresh.

    So the official code loads them: one tokenizer is used on other sides than it was trained on.
    """

    within: Keys
    scales: int

    def to_ours(self, state: Mapping[str, Tensor]) -> State:
        """An official state dict under our names."""
        ours = Within(self.within, "vq.").to_ours(state)
        hits = ours.get(HITS)
        if hits is not None and len(hits) != self.scales:
            ours[HITS] = hits.new_zeros(self.scales, *hits.shape[1:])
        return ours

    def to_theirs(self, state: Mapping[str, Tensor]) -> State:
        """A state dict of `HybridVQModule` under the official names."""
        return Within(self.within, "vq.").to_theirs(state)


def keys(spec: HybridVQ) -> OfficialKeys:
    """Those of a spec's weights."""
    return OfficialKeys(multiscale.CODER.keys(spec.base), len(spec.base.sides))


def read(args: Arguments) -> HybridVQ:
    """As of VAR's tokenizer. Raises UsageError for one that is not hybrid, and for one with a second decoder."""
    args.must("quantizer_type", "var_hybrid")
    args.must("double_decoder", False)
    return HybridVQ(multiscale.read(args))


SIDES = (1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64)  # of 1024 x 1024 pixels, as the paper has them
SIZES = {"256": HybridVQ(VAE), "1024": HybridVQ(replace(VAE, sides=SIDES))}
# a folder, whose own config is said to decide the sides; what its files are called is stated nowhere
PUBLISHED = {"1024": Published(tokenizer="mit-han-lab/hart-0.7b-1024px:tokenizer")}
CODER = Coder(read, keys, SIZES, PUBLISHED, licence="MIT")

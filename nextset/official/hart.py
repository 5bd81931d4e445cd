"""HART's tokenizer (Tang et al. 2024, arXiv 2410.10812): its constructor's arguments, and the names of its weights, those of VAR's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import UsageError
from ..tokenizers.hybrid import HybridVQ
from ..tokenizers.multiscale import MultiScaleVQ, OfficialKeys, official_keys

DEFAULTS: Mapping[str, Any] = {  # of HARTAutoEncoderConfig
    "vocab_size": 4096,
    "z_channels": 32,
    "ch": 160,
    "ch_mult": (1, 1, 2, 2, 4),
    "v_patch_nums": (1, 2, 3, 4, 5, 6, 8, 10, 13, 16),
    "beta": 0.25,
    "using_znorm": False,
    "quant_conv_ks": 3,
    "quant_resi": 0.5,
    "share_quant_resi": 4,
    "default_qresi_counts": 0,
    "quantizer_type": "var",
    "double_decoder": False,
}


def tokenizer_of(config: Mapping[str, Any], blocks: int = 2) -> HybridVQ:
    """The spec of a `HARTAutoEncoderConfig`'s arguments; what it leaves out has the official default. `blocks` is no argument there.

    Raises UsageError for a tokenizer without the rest (`quantizer_type` "var": that is `MultiScaleVQ`) and for a second decoder.
    """
    official = {**DEFAULTS, **config}
    if official["quantizer_type"] != "var_hybrid":
        raise UsageError(f"quantizer_type={official['quantizer_type']!r} is not hybrid: it must be 'var_hybrid'")
    if official["double_decoder"]:
        raise UsageError("double_decoder=True: a hybrid tokenizer has one decoder for ids and for the rest")
    sides, shared = tuple(official["v_patch_nums"]), official["share_quant_resi"]
    base = MultiScaleVQ(
        vocab=official["vocab_size"],
        dim=official["z_channels"],
        sides=sides,
        width=official["ch"],
        multipliers=tuple(official["ch_mult"]),
        blocks=blocks,
        beta=official["beta"],
        phis=shared or official["default_qresi_counts"] or len(sides),
        blend=abs(official["quant_resi"]),
        kernel=official["quant_conv_ks"],
        angle=official["using_znorm"],
    )
    return HybridVQ(base)


@dataclass(frozen=True)
class Keys:
    """Names of the module within, and back."""

    within: OfficialKeys
    prefix: str = "vq."

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """An official state dict under our names."""
        return {self.prefix + key: value for key, value in self.within.to_ours(state).items()}

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of `HybridVQModule` under the official names."""
        return self.within.to_theirs({key.removeprefix(self.prefix): value for key, value in state.items()})


def keys_of(config: Mapping[str, Any]) -> Keys:
    """The key map of a `HARTAutoEncoderConfig`'s arguments."""
    return Keys(official_keys(config.get("share_quant_resi", DEFAULTS["share_quant_resi"])))

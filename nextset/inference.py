"""Models for drawing alone: the same weights packed, narrower or compiled (`Model.for_inference`).

What the same words mean depends on the device, because what is fast does:

    dtype      on a GPU: everything in that dtype. On a CPU linear layers in the layout that the kernels want, and everything
               between them in float32: float32 is the same numbers; float16 is weights of 16 bits, widened to be multiplied,
               the fastest for a picture or two; bfloat16 is products in bfloat16, the fastest for many, where the CPU has them
               (pixels are then decoded in bfloat16 too), and elsewhere the same as float16.
    quantize   "int8": whole numbers with a scale a row (`nn.packed`). Where FBGEMM is missing only memory is saved.
    compile    torch.compile of the decoder of pixels, of norms and of feed-forward layers; the first pictures wait for it.
    keeping    how attention keeps keys and values (`mixers.keeping`)
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from .errors import UsageError, nearest
from .mixers import EXACT, Keeping
from .nn.conv import Decoder
from .nn.feedforward import GEGLUModule, MLPModule, SwiGLU
from .nn.norm import LayerNorm, RMSNorm
from .nn.packed import (
    BFloat16Linear,
    Float16Linear,
    Float32Linear,
    Int8Linear,
    Int8Weights,
    PackedLinear,
    has_fbgemm,
    pack,
)
from .nn.plain_conv import PlainDecoder
from .spec import Spec
from .system import Network
from .tokenizers.base import TokenizerModule
from .tokenizers.slotted import SlotDecoder

Kind = TypeVar("Kind", bound=nn.Module)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZED = ("int8",)
# weights of a layer; caches hold smaller ones, and calling packed kernels then costs more than it saves
WORTH = 1 << 17
COMPILED = (SwiGLU, MLPModule, GEGLUModule, RMSNorm, LayerNorm, Decoder, PlainDecoder, SlotDecoder)


@dataclass(frozen=True)
class Inference(Spec):
    """What `Model.for_inference` was asked for."""

    dtype: str = "float32"
    quantize: str | None = None
    compile: bool = False
    keeping: Keeping = EXACT

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(
                f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}{nearest(self.dtype, DTYPES)}"
            )
        if self.quantize is not None and self.quantize not in QUANTIZED:
            raise UsageError(f"quantize must be {' or '.join(QUANTIZED)}, or None, got {self.quantize!r}")

    def apply(self, network: Network, tokenizer: TokenizerModule) -> tuple[Network, TokenizerModule]:
        """A network and a decoder of pixels in their place. They may share tensors with these, which stay as they are."""
        network, painter = sharing(network).eval(), tokenizer
        on_cpu, narrow = next(network.parameters()).device.type == "cpu", DTYPES[self.dtype]
        layer = packing(self.dtype) if on_cpu else None
        network.keeping = self.keeping
        if self.quantize:
            pack(network, Int8Linear if on_cpu and has_fbgemm() else Int8Weights, WORTH)
        if layer is not None:
            pack(network, layer, WORTH)
        elif narrow != torch.float32:
            network = copy.deepcopy(network).to(narrow)  # parameters are cast where they are
        if narrow != torch.float32 and (layer is None or layer is BFloat16Linear):
            painter = _channels_last(copy.deepcopy(tokenizer).to(narrow))
        if self.compile:
            painter = sharing(painter)
            for module in (*network.modules(), *painter.modules()):
                _compile(module)
        return network, painter


def packing(dtype: str) -> type[PackedLinear] | None:
    """How linear layers are packed on this CPU; None where they are best cast."""
    onednn = torch.backends.mkldnn.is_available()
    if dtype == "float32":
        return Float32Linear if onednn else None
    if dtype == "bfloat16" and onednn and has_bfloat16():
        return BFloat16Linear
    return Float16Linear if has_fbgemm() else None


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself (AVX-512 or AMX), so that it is fast."""
    found: bool = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return found


def _compile(module: nn.Module) -> None:
    """Compiles what knows neither states nor steps. Packed products are no more than they are, and not to be looked into."""
    if isinstance(module, COMPILED):
        module.forward = torch.compile(module.forward)  # type: ignore[method-assign]
    elif isinstance(module, PackedLinear):
        module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign]


def sharing(module: Kind) -> Kind:
    """A copy of the modules on the same parameters and buffers."""
    memo: dict[int, object] = {id(t): t for t in itertools.chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, memo)


def _channels_last(tokenizer: TokenizerModule) -> TokenizerModule:
    for module in tokenizer.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return tokenizer

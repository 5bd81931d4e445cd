"""Models for drawing alone: the same weights packed, narrower or compiled (`Model.for_inference`).

What the same words mean depends on the device, because what is fast does:

    dtype      on a GPU, or a CPU that multiplies bfloat16 itself: weights and activations in that dtype. On other CPUs weights of
               16 bits, kept as float16 whichever was asked for, and activations in float32: nearer to the original, and faster.
               float32 on a CPU: the same numbers in the layout that the kernels want.
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
from .nn.packed import Float16Linear, Float32Linear, Int8Linear, Int8Weights, PackedLinear, has_fbgemm, pack
from .nn.plain_conv import PlainDecoder
from .spec import Spec
from .system import Network
from .tokenizers.base import TokenizerModule
from .tokenizers.slotted import SlotDecoder

Kind = TypeVar("Kind", bound=nn.Module)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZED = ("int8",)
WORTH = (
    1 << 17
)  # weights of a layer; caches hold smaller ones, and calling packed kernels then costs more than it saves
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
        device = next(network.parameters()).device.type
        narrow, fbgemm = DTYPES[self.dtype], device == "cpu" and has_fbgemm()
        native = narrow != torch.float32 and (not fbgemm or (narrow == torch.bfloat16 and has_bfloat16()))
        network.keeping = self.keeping
        if self.quantize:
            pack(network, Int8Linear if fbgemm else Int8Weights, WORTH)
        if native and not (self.quantize and fbgemm):  # FBGEMM takes activations in float32 alone
            network = copy.deepcopy(network).to(narrow)  # parameters are cast where they are
        elif narrow != torch.float32:
            pack(network, Float16Linear, WORTH)
        elif device == "cpu" and torch.backends.mkldnn.is_available():
            pack(network, Float32Linear, WORTH)
        if native:
            painter = _channels_last(copy.deepcopy(tokenizer).to(narrow))
        if self.compile:
            painter = sharing(painter)
            for module in (*network.modules(), *painter.modules()):
                _compile(module)
        return network, painter


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

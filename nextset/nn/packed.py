"""Linear layers whose weights were packed for a CPU: for inference alone, with activations in float32.

Drawing one picture reads every weight once a step for one or two rows, and `F.linear` on a plain float32 matrix is far from the
memory's rate there. What is packed lies as the kernels want it, or is narrower, or both:

    float32   oneDNN's own layout; the same products up to rounding
    bfloat16  oneDNN's own layout; activations are rounded to bfloat16 as well, sums are in float32
    float16   FBGEMM: 16 bits of weight, widened on the way into float32 products
    int8      FBGEMM: rows of weights w ~ s q, of activations x ~ t p, with s and t from their largest element; q and p whole numbers

Each row of activations has a scale of its own, so that no sample depends on which others are in the batch.

Legend: D inputs, E outputs.
"""

from __future__ import annotations

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .borrowed import Borrowed

FLOAT16_MAX = 65504.0
ROWS = 2  # how many rows oneDNN lays weights out for: a guided picture
# FBGEMM adds pairs of products in 16 bits where a CPU has no VNNI: activations then have 7 bits, lest these overflow
LEVELS, ZERO = 63, 64


class PackedLinear(nn.Module, ABC):
    """A linear map (..., D) to (..., E) on packed weights. It cannot be trained, saved or moved.

    `weight` is an empty stand-in on the meta device that tells shape and dtype.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = torch.empty(weight.shape, device="meta")
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., E)."""
        return self.product(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], len(self.weight))

    @abstractmethod
    def product(self, x: Tensor) -> Tensor:
        """(n, D) float32 to (n, E)."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedLinear:
        moved = fn(torch.empty(0))
        if moved.device.type != "cpu" or moved.dtype != torch.float32:
            raise UsageError("packed weights stay on the CPU as they are; move the model, then call for_inference()")
        return self


class Float32Linear(PackedLinear):
    """oneDNN's layout."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)

    def product(self, x: Tensor) -> Tensor:
        """(n, D) to (n, E)."""
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return found


class Float16Linear(PackedLinear):
    """FBGEMM with weights of 16 bits. Raises UsageError for weights that float16 cannot hold."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        if not float(weight.detach().abs().max()) <= FLOAT16_MAX:
            raise UsageError(
                f"a matrix {tuple(weight.shape)} holds weights beyond {FLOAT16_MAX:.0f}; use dtype=float32"
            )
        with _fbgemm():
            self.packed = torch.ops.quantized.linear_prepack_fp16(weight.detach(), self.bias)

    def product(self, x: Tensor) -> Tensor:
        """(n, D) to (n, E)."""
        found: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
        return found


class BFloat16Linear(PackedLinear):
    """oneDNN's layout of bfloat16 weights, for a CPU that multiplies those itself; the result has the precision of bfloat16."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().bfloat16(), ROWS)

    def product(self, x: Tensor) -> Tensor:
        """(n, D) to (n, E)."""
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self.packed, None, "none", [], "")
        return found.float() if self.bias is None else found + self.bias


class Int8Linear(PackedLinear):
    """FBGEMM with whole numbers on both sides."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        scales = row_scales(weight.detach(), 127).double()
        with _fbgemm(), warnings.catch_warnings():
            # quantized tensors are old-fashioned; the kernels are still torch's fastest
            warnings.simplefilter("ignore")
            whole = torch.quantize_per_channel(
                weight.detach(), scales, torch.zeros(len(scales), dtype=torch.int64), 0, torch.qint8
            )
            self.packed = torch.ops.quantized.linear_prepack(whole, None)

    def product(self, x: Tensor) -> Tensor:
        """(n, D) to (n, E)."""
        size = row_scales(x, 1)[:, None]
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        found: Tensor = product(x / size, 1 / LEVELS, ZERO, self.packed)
        return found * size if self.bias is None else torch.addcmul(self.bias, found, size)


class Int8Weights(nn.Module):
    """Weights as whole numbers with a scale a row, widened at every use: for devices without FBGEMM; a quarter of the memory."""

    whole: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        scale = row_scales(weight.detach(), 127)
        self.register_buffer("whole", (weight.detach() / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """A stand-in on the meta device, of the dtype that the layer was last cast to."""
        return torch.empty(self.whole.shape, dtype=self.scale.dtype, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., E)."""
        found = nn.functional.linear(x, self.whole.to(x.dtype)) * self.scale
        return found if self.bias is None else found + self.bias


def row_scales(x: Tensor, levels: int) -> Tensor:
    """The largest size in each row of (n, D), over `levels`; never 0."""
    return x.abs().amax(-1).clamp_min(torch.finfo(x.dtype).tiny * levels) / levels


@contextlib.contextmanager
def _fbgemm() -> Iterator[None]:
    """What is packed inside is packed for FBGEMM."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def has_fbgemm() -> bool:
    """Whether this build of torch and this CPU have FBGEMM."""
    return "fbgemm" in torch.backends.quantized.supported_engines


Packing = Callable[[Tensor, Tensor | None], nn.Module]


def pack(module: nn.Module, packing: Packing, least: int = 1) -> None:
    """Replaces every linear layer inside `module` that has at least `least` weights by `packing(weight, bias)`."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            weight, bias = child.weight, child.bias
        elif isinstance(child, Borrowed):
            weight, bias = child.matrix, None
        else:
            pack(child, packing, least)
            continue
        if weight.numel() >= max(least, 1):
            setattr(module, name, packing(weight, bias))

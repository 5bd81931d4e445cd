"""PatchGAN: a small convolutional net that judges overlapping patches of an image (pix2pix, arXiv 1611.07004; VQGAN)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError

GROUPS = 16


class PatchDiscriminator(nn.Module):
    """`layers` halvings, so that a judgement sees 70 pixels a side for 3 layers, 34 for 2, 16 for 1.

    GroupNorm takes the place of pix2pix's BatchNorm: its statistics are those of one image, so the judgement of an image does
    not depend on the rest of a small batch, real and fake batches cannot be told apart by them, and processes have none to share.
    """

    def __init__(self, channels: int, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        if layers < 1 or width < 1 or width % min(GROUPS, width):
            raise UsageError(
                f"a discriminator needs layers of at least 1 and a width that {GROUPS} divides, got {layers}, {width}"
            )
        self.layers = layers
        widths = [width * min(2**i, 8) for i in range(layers + 1)]
        strides = [2] * (layers - 1) + [1]
        self.first = nn.Conv2d(channels, width, 4, 2, padding=1)
        pairs = zip(widths, widths[1:], strides, strict=False)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 4, stride, padding=1, bias=False) for a, b, stride in pairs)
        self.norms = nn.ModuleList(nn.GroupNorm(min(GROUPS, b), b) for b in widths[1:])
        self.last = nn.Conv2d(widths[-1], 1, 4, 1, padding=1)
        self.apply(_start)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, h, w), positive for real; H and W must be at least 3 * 2^layers."""
        least = 3 * 2**self.layers
        if min(images.shape[-2:]) < least:
            size = "x".join(map(str, images.shape[-2:]))
            raise UsageError(
                f"images of {size} are too small for a discriminator of {self.layers} layers ({least}); use fewer gan_layers"
            )
        x = F.leaky_relu(self.first(images), 0.2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        return self.last(x)[:, 0]


def _start(module: nn.Module) -> None:
    # pix2pix, section 6.2: N(0, 0.02) for convolutions
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

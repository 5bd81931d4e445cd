"""What image tokenizers minimise beside the pixel error: a perceptual distance and a patch adversary.

VQGAN's terms (Esser et al. 2021, arXiv 2012.09841) with LlamaGen's constants (arXiv 2406.06525): hinge loss, weight 0.5, the
adversary idle until step 20,000, no adaptive weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import UsageError
from ..nn.discriminator import PatchDiscriminator
from ..nn.perceptual import PerceptualDistance, lpips
from ..spec import Spec


class TokenizerLossModule(nn.Module):
    """The adversary and the perceptual distance. Its trainable parameters are the adversary's, for an optimiser of their own."""

    def __init__(
        self, spec: TokenizerLoss, patches: PatchDiscriminator | None, distance: PerceptualDistance | None
    ) -> None:
        super().__init__()
        self.spec, self.patches, self.distance = spec, patches, distance

    def active(self, step: int) -> bool:
        """Whether the adversary takes part at `step`, counted from 0."""
        return self.patches is not None and step >= self.spec.gan_start

    def generator(self, images: Tensor, reconstruction: Tensor, step: int) -> dict[str, Tensor]:
        """What to add to the tokenizer's loss under "loss", beside its parts: "perceptual", "gan" (-mean D, unweighted).

        Gradients reach `reconstruction` but never the adversary.
        """
        parts: dict[str, Tensor] = {}
        loss = torch.zeros((), device=reconstruction.device)
        if self.distance is not None:
            parts["perceptual"] = self.distance(images, reconstruction).mean()
            loss = loss + self.spec.perceptual_weight * parts["perceptual"]
        if self.patches is not None and self.active(step):
            frozen = {name: p.detach() for name, p in self.patches.named_parameters()}
            parts["gan"] = -functional_call(self.patches, frozen, (reconstruction,)).float().mean()
            loss = loss + self.spec.gan_weight * parts["gan"]
        return {"loss": loss} | {name: part.detach() for name, part in parts.items()}

    def discriminator(self, images: Tensor, reconstruction: Tensor, step: int) -> dict[str, Tensor]:
        """What the adversary minimises, weighted, under "loss", beside its mean logits: "real", "fake".

        The hinge loss (mean max(0, 1 - D(x)) + mean max(0, 1 + D(x'))) / 2. While idle the loss is a zero that still gives every
        parameter a gradient, so that wrappers such as DDP need no special case. Raises UsageError without an adversary.
        """
        if self.patches is None:
            raise UsageError("this tokenizer loss has no adversary to train; set gan=True")
        if not self.active(step):
            return {"loss": 0.0 * torch.stack([p.float().sum() for p in self.patches.parameters()]).sum()}
        real = self.patches(images.detach()).float()
        fake = self.patches(reconstruction.detach()).float()
        hinge = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        return {"loss": self.spec.gan_weight * hinge, "real": real.detach().mean(), "fake": fake.detach().mean()}

    def forward(self, images: Tensor, reconstruction: Tensor, step: int) -> dict[str, Tensor]:
        """`discriminator`: what wrappers such as DDP call."""
        return self.discriminator(images, reconstruction, step)


@dataclass(frozen=True)
class TokenizerLoss(Spec):
    """`gan` switches the adversary on, from step `gan_start`.

    Its patches are 70 pixels a side for 3 `gan_layers`, 34 for 2, 16 for 1. `perceptual` is "" for none, or the path of LPIPS
    weights (see `nextset.nn.perceptual.lpips`).
    """

    gan: bool = False
    gan_weight: float = 0.5
    gan_start: int = 20_000
    gan_layers: int = 3
    gan_width: int = 64
    perceptual: str = ""
    perceptual_weight: float = 1.0

    def __post_init__(self) -> None:
        if min(self.gan_weight, self.gan_start, self.perceptual_weight) < 0:
            raise UsageError(f"{self}: gan_weight, gan_start and perceptual_weight must not be negative")

    def build(self, channels: int, features: nn.Module | None = None) -> TokenizerLossModule:
        """The module for images of `channels`.

        `features`, a module that turns images into a list of maps (B, C, H, W), such as those of a classifier, is frozen and
        takes the place of LPIPS. Raises UsageError where a file is missing.
        """
        if features is not None and self.perceptual:
            raise UsageError("give either features or a perceptual path, not both")
        distance = PerceptualDistance(features) if features is not None else None
        if self.perceptual:
            distance = lpips(self.perceptual)
        patches = PatchDiscriminator(channels, self.gan_width, self.gan_layers) if self.gan else None
        return TokenizerLossModule(self, patches, distance)

"""What does training minimise?"""

from .any_order import AnyOrder
from .base import Objective, Scorer
from .captioned import Captioned
from .denoising import CleanContext, NoisyContext
from .masked_diffusion import MaskedDiffusion
from .masked_share import MaskedShare
from .masked_tokens import MaskedTokens
from .next_patch import NextPatch
from .next_set import NextSet
from .self_correction import SelfCorrection

__all__ = [
    "AnyOrder",
    "Captioned",
    "CleanContext",
    "MaskedDiffusion",
    "MaskedShare",
    "MaskedTokens",
    "NextPatch",
    "NextSet",
    "NoisyContext",
    "Objective",
    "Scorer",
    "SelfCorrection",
]

"""What is the distribution of one token?"""

from .base import Ask, Head, HeadModule, Noisy, Picker
from .categorical import Categorical
from .depth import DepthTransformer
from .diffusion import Diffusion
from .epsilon import Epsilon
from .flow import Flow
from .independent import Independent
from .staged import Staged
from .tied import Tied

__all__ = [
    "Ask",
    "Categorical",
    "DepthTransformer",
    "Diffusion",
    "Epsilon",
    "Flow",
    "Head",
    "HeadModule",
    "Independent",
    "Noisy",
    "Picker",
    "Staged",
    "Tied",
]

"""What computes?"""

from .base import Backbone, BackboneModule
from .bert import Bert
from .llama import Llama
from .masked import MaskedAutoencoder
from .readouts import Readouts
from .stacked import Stacked
from .transformer import Transformer
from .two_pass import TwoPass
from .twofold import Twofold
from .uvit import UViT

__all__ = [
    "Backbone",
    "BackboneModule",
    "Bert",
    "Llama",
    "MaskedAutoencoder",
    "Readouts",
    "Stacked",
    "Transformer",
    "TwoPass",
    "Twofold",
    "UViT",
]

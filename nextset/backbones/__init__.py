"""What computes?"""

from .base import Backbone, BackboneModule
from .llama import Llama
from .masked import MaskedAutoencoder
from .transformer import Transformer

__all__ = [
    "Backbone",
    "BackboneModule",
    "Llama",
    "MaskedAutoencoder",
    "Transformer",
]

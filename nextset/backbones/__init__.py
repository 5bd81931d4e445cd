"""What computes?"""

from .base import Backbone, BackboneModule
from .llama import Llama
from .transformer import Transformer

__all__ = [
    "Backbone",
    "BackboneModule",
    "Llama",
    "Transformer",
]

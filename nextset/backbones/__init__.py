"""What computes?"""

from .base import Backbone, BackboneModule
from .llama import Llama
from .readouts import Readouts
from .transformer import Transformer

__all__ = [
    "Backbone",
    "BackboneModule",
    "Llama",
    "Readouts",
    "Transformer",
]

"""What computes?"""

from .base import Backbone, BackboneModule
from .llama import Llama
from .transformer import Transformer
from .twofold import Twofold

__all__ = [
    "Backbone",
    "BackboneModule",
    "Llama",
    "Transformer",
    "Twofold",
]

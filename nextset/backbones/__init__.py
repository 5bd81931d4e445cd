"""What computes?"""

from .base import Backbone, BackboneModule
from .llama import Llama
from .transformer import Transformer
from .two_pass import TwoPass

__all__ = [
    "Backbone",
    "BackboneModule",
    "Llama",
    "Transformer",
    "TwoPass",
]

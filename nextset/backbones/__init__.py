"""What computes?"""

from .base import Backbone, BackboneModule
from .llama import Llama

__all__ = ["Backbone", "BackboneModule", "Llama"]

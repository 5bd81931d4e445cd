"""Training: one loop for generators and tokenizers, on one device or many."""

from .recipe import Options, Recipe
from .run import set_up_generator, set_up_tokenizer
from .tokenizer import Revival
from .trainer import Trainer

__all__ = ["Options", "Recipe", "Revival", "Trainer", "set_up_generator", "set_up_tokenizer"]

"""The door for weights: of nextset's own folders and of published checkpoints, from a file, a folder, the hub, or by a name."""

from .convert import convert, convert_back
from .door import load, load_tokenizer
from .families import known, published
from .official import load_official

__all__ = ["convert", "convert_back", "known", "load", "load_official", "load_tokenizer", "published"]

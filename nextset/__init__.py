"""nextset: next-set prediction, the field of autoregressive visual generation in one library."""

from .catalogue import names, spec
from .decode import Pick
from .engine import Engine
from .errors import NextsetError, UsageError
from .layout import Layout, Tokens
from .model import Model
from .system import System
from .weights import load, load_official

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "Layout",
    "Model",
    "NextsetError",
    "Pick",
    "System",
    "Tokens",
    "UsageError",
    "load",
    "load_official",
    "names",
    "spec",
]

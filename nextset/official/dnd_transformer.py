"""The official weights of DnD-Transformer (Chen et al. 2024, arXiv 2410.01912)."""

from __future__ import annotations

from typing import NoReturn

from ..conditions import Label
from ..errors import UsageError
from ..family import Arguments, Family, Published
from ..keymap import KeyMap, Squeezed
from ..system import System
from ..tokenizers.base import Tokenizer
from . import rqvae
from .llamagen import KEYS as LLAMAGEN

NAMES = {ours: name for ours, name in LLAMAGEN.names.items() if ours.startswith(("wiring", "backbone.blocks"))} | {
    "backbone.norms.{}.weight": "norm.{}.weight",
    "head.projects.{}.weight": "output.{}.weight",
}
KEYS = KeyMap(NAMES | {"condition.embed.weight": "cls_embedding.embedding_table.weight"})
KEYS_FREE = KeyMap(NAMES | {"condition.start": Squeezed("cls_embedding.embedding_table.weight")})  # one class


def keys(system: System) -> KeyMap:
    """A table of classes, or of the one that all pictures have."""
    return KEYS if isinstance(system.condition, Label) else KEYS_FREE


def read(args: Arguments, tokenizer: Tokenizer | None) -> NoReturn:
    """Raises UsageError: after which layers codes are read is recorded nowhere, so only the sizes that are known can be loaded."""
    raise UsageError(
        f"{args.source} does not say after which layers codes are read; name a published size, such as dnd-transformer/xxl"
    )


HOME = "leonardPKU/DnD-Transformer"
PUBLISHED = {
    size: Published(f"{HOME}:trained_dnd_transformer_{folder}", f"{HOME}:{tokenizer}")
    for size, folder, tokenizer in (
        ("xxl", "imagenet_2layer/XXL", "2d_tokenzier_imagenet"),  # so spelt there
        ("xxxl", "imagenet_2layer/XXXL", "2d_tokenzier_imagenet"),
        ("text", "text_image_1layer/XXL", "2d_tokenizer_text_image"),
        ("arxiv", "arxiv_image_8layer/XXL", "2d_tokenizer_arxiv_image"),
    )
}
FAMILY = Family(read, keys, rqvae.CODER, PUBLISHED, wrapper="model")

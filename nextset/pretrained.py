"""Tokenizers on disk and on the hub: folders of their own, or the tokenizer inside a model's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from . import folders
from .blueprint import blueprints
from .errors import UsageError
from .tokenizers.base import Tokenizer, TokenizerModule

INSIDE = "tokenizer."  # the prefix of its keys in a model's folder


def save_tokenizer(
    folder: str | Path, spec: Tokenizer, state: Mapping[str, Tensor], about: Mapping[str, Any] | None = None
) -> Path:
    """Writes config.json and model.safetensors of a tokenizer into `folder`, each atomically; `about` says where they came from."""
    return folders.save_folder(Path(folder), {"tokenizer": spec.to_dict(), **(about or {})}, state, str(spec))


def load_tokenizer(source: str | Path, revision: str | None = None) -> tuple[Tokenizer, TokenizerModule]:
    """The tokenizer of a folder that `save_tokenizer` or `Model.save_pretrained` wrote, here or on the hub; in evaluation mode.

    Raises UsageError where `source` holds neither or other weights than its config says.
    """
    config, state = folders.load_folder(source, revision)
    if isinstance(config.get("system"), dict):
        config = config["system"]
        state = {key.removeprefix(INSIDE): value for key, value in state.items() if key.startswith(INSIDE)}
    if "tokenizer" not in config:
        raise UsageError(f"{source} holds neither a tokenizer nor a model of nextset")
    spec = Tokenizer.from_dict(config["tokenizer"])
    with blueprints():
        module = spec.build()
    folders.load_exactly(module, state, str(source))
    return spec, module.eval().requires_grad_(False)

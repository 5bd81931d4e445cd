"""Folders that describe themselves, on disk and on the hub.

A folder holds `config.json` (what to build) and `model.safetensors`. Nothing is ever unpickled here.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import NextsetError, UsageError
from .files import save_json, write_atomically

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
VERSION = 1


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file atomically."""
    flat = {key: value.detach().contiguous() for key, value in tensors.items()}
    write_atomically(path, lambda p: save_file(flat, p))


def save_folder(folder: Path, config: dict[str, Any], state: Mapping[str, Tensor], card: str) -> Path:
    """Writes a self-describing folder; the weights first, so a folder with a config is whole."""
    save_tensors(folder / WEIGHTS, state)
    if not (folder / CARD).exists():
        text = f"---\nlibrary_name: nextset\ntags: [autoregressive, image-generation]\n---\n\n```python\n{card}\n```\n"
        write_atomically(folder / CARD, lambda p: p.write_text(text))
    save_json(folder / CONFIG, {"nextset": VERSION, **config})
    return folder


def load_folder(source: str | Path, revision: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a folder, or of a hub repository `owner/name`."""
    folder = find_folder(source, revision)
    return load_config(folder), load_tensors(folder / WEIGHTS)


def load_config(folder: Path) -> dict[str, Any]:
    """What a folder says that it holds. Raises UsageError where it was not saved by nextset, or by a newer one."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        assert isinstance(config, dict)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{folder} has no {CONFIG}, so it is not a folder saved by nextset") from error
    except (ValueError, AssertionError) as error:
        raise NextsetError(f"{folder / CONFIG} is not readable JSON ({error}); save the model again") from error
    if config.get("nextset", 0) > VERSION:
        raise UsageError(f"{folder} was written by a newer nextset (format {config['nextset']}); upgrade nextset")
    return config


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises NextsetError naming a missing or damaged one."""
    if not path.is_file():
        raise NextsetError(f"{path} is missing")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise NextsetError(f"{path} is damaged or cut short ({error}); copy or download it again") from error


def find_folder(source: str | Path, revision: str | None = None) -> Path:
    """The local folder of `source`, downloaded from the hub where it is no folder here."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UsageError(f"{source} is a file; give the folder that save_pretrained wrote")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        raise UsageError(f"{source!r} is neither a folder here nor a hub id of the form owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD]))
    except (HFValidationError, OSError) as error:  # all that the hub itself says is an OSError
        raise UsageError(
            f"{str(source)!r} is no folder here and could not be had from the hub: {reason(error)}"
        ) from error


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Makes `state` the weights of `module`, which may be on the meta device: specs never make tensors outside its state dict.

    Raises UsageError with a sentence per kind of misfit; nothing is loaded then.
    """
    own = module.state_dict()
    shapes = [
        f"{k} is {tuple(v.shape)}, not {tuple(own[k].shape)}"
        for k, v in state.items()
        if k in own and v.shape != own[k].shape
    ]
    problems = {
        "missing": own.keys() - state.keys(),
        "unexpected": state.keys() - own.keys(),
        "misshapen": shapes,
    }
    said = [f"{len(names)} {kind} ({few(names)})" for kind, names in problems.items() if names]
    if said:
        raise UsageError(f"{source} does not fit this model: {'; '.join(said)}")
    module.load_state_dict(dict(state), assign=True)


def few(names: Iterable[str], most: int = 3) -> str:
    """Some names, and how many more."""
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def push(save: Callable[[Path], Path], repo: str, private: bool, token: str | None) -> str:
    """Uploads the folder that `save` writes. Raises UsageError for a name that the hub does not take, NextsetError where it refuses."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    api = HfApi(token=token)
    folder = Path(tempfile.mkdtemp())
    try:
        save(folder)
        api.create_repo(repo, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo, folder_path=folder))
    except HFValidationError as error:
        raise UsageError(f"repo must be a hub id of the form owner/name, got {repo!r}") from error
    except OSError as error:
        raise NextsetError(f"the hub did not take {repo} ({reason(error)}); log in with `hf auth login`") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reason(error: Exception) -> str:
    """The first line of what a library says."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__

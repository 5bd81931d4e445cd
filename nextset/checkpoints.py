"""Checkpoint files of other projects: read without executing anything, and unwrapped.

Takes what users have: `.pt`, `.pth`, `.bin`, `.ckpt` (tensors only, `weights_only=True`), `.safetensors`, and folders of either, in
shards with an index or in one file.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import NextsetError, UsageError
from .folders import load_tensors

AVERAGED = ("model_ema", "ema", "state_dict_ema", "ema_state_dict")
WRAPPERS = (*AVERAGED, "model", "state_dict", "module", "vae", "net", "weights")
TRAINERS = {"network": ("var_wo_ddp", "gpt_fsdp"), "tokenizer": ("vae_local",)}
PREFIXES = ("module.", "_orig_mod.")
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
WHOLE = ("model.safetensors", "pytorch_model.bin", "diffusion_pytorch_model.safetensors", "model.pt", "model.pth")


def read_checkpoint(path: str | Path, role: str = "network") -> dict[str, Tensor]:
    """The state dict in a file or folder, without wrappers and the prefixes of DDP and torch.compile.

    Of weights and their average the average is taken; `role` ("network" or "tokenizer") chooses where a trainer's file holds both.
    Raises UsageError for what is no checkpoint or wants to run code, NextsetError for a damaged file.
    """
    path = Path(path)
    data = _folder(path) if path.is_dir() else _file(path)
    return _without_prefixes(_unwrapped(data, role, path))


def _folder(folder: Path) -> Any:
    for name in sorted(folder.glob("*.index.json")):
        shards = sorted(set(json.loads(name.read_text())["weight_map"].values()))
        missing = [shard for shard in shards if not (folder / shard).is_file()]
        if missing:
            raise NextsetError(
                f"{folder} lacks the shards {', '.join(missing)} that {name.name} lists; download them again"
            )
        return {key: value for shard in shards for key, value in _file(folder / shard).items()}
    found = [folder / name for name in WHOLE if (folder / name).is_file()]
    found = found or sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES)
    if len(found) != 1:
        listed = ", ".join(p.name for p in found) or "none"
        raise UsageError(f"{folder} must hold one checkpoint or an index of shards, found {listed}; name the file")
    return _file(found[0])


def _file(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        return load_tensors(path)
    if path.suffix in (".gz", ".tar", ".tgz", ".zip"):
        raise UsageError(f"{path} is an archive; unpack it and name the checkpoint inside")
    return _unpickled(path)


def _unpickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # training arguments, which run nothing
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted is None:
            raise NextsetError(f"{path} is damaged or no checkpoint; download it again") from error
        raise UsageError(
            f"{path} holds more than tensors ({wanted[1]}), which would run code when it is read; if you trust it, save its tensors "
            "alone: torch.save(torch.load(path, weights_only=False)['model'], 'tensors.pth')"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError) as error:
        raise NextsetError(f"{path} is damaged or cut short ({_first(error)}); copy or download it again") from error


def _unwrapped(data: Any, role: str, path: Path) -> dict[str, Tensor]:
    """The first dict of tensors inside."""
    while isinstance(data, Mapping):
        tensors = {key: value for key, value in data.items() if isinstance(value, Tensor)}
        inner = _inner(data, role)
        if inner is not None:
            data = inner
        elif tensors:
            return tensors
        else:
            names = ", ".join(map(str, list(data)[:6])) or "nothing"
            raise UsageError(f"{path} holds no weights of a {role} that are known by name; it holds {names}")
    raise UsageError(f"{path} holds a {type(data).__name__}, not a dict of tensors; save the state_dict of the model")


def _inner(data: Mapping[str, Any], role: str) -> Any:
    if isinstance(data.get("trainer"), Mapping):
        data = data["trainer"]
        names: tuple[str, ...] = TRAINERS[role]
    else:
        names = WRAPPERS
    return next((data[name] for name in names if isinstance(data.get(name), Mapping) and data[name]), None)


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    found = next((prefix for prefix in PREFIXES if state and all(key.startswith(prefix) for key in state)), None)
    if found is None:
        return state
    return _without_prefixes({key.removeprefix(found): value for key, value in state.items()})


def _first(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0][:160] if said else type(error).__name__

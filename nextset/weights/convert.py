"""From official files to folders of ours, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..family import Coder, Published, basename
from ..files import write_atomically
from ..folders import load_config, save_tensors
from ..model import Model
from ..pretrained import load_tokenizer, save_tokenizer
from .door import about, identify, paired
from .families import named
from .official import load_official, load_official_tokenizer


def convert(
    files: Sequence[str | Path], to: str | Path, name: str = "", config: Mapping[str, Any] | None = None
) -> Path:
    """Writes the folder of the model (or of the tokenizer alone) that official `files` hold, in any order; returns it.

    `name` and `config` are as for `load_official`; without a name the files' own names or tensors must tell. The folder records
    each file's SHA-256. Raises UsageError where `to` holds something already.
    """
    folder = Path(to)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose another folder")
    word, roles = _roles([Path(file) for file in files], name)
    if "network" not in roles:
        spec, module = load_official_tokenizer(word, roles, config)
        return save_tokenizer(folder, spec, module.state_dict(), about(word, roles))
    model = load_official(word, roles, config)
    assert isinstance(model, Model)
    model.about = about(word, roles)
    return model.save_pretrained(folder)


def convert_back(source: str | Path, to: str | Path, name: str = "") -> list[Path]:
    """Writes the weights of a folder of ours in the official layout, as the official scripts read them; returns the files.

    The family is what the folder was converted from, or `name`. Files have their published names where the folder is of a published size, else
    those of the family. Raises UsageError where the weights have no official layout.
    """
    config = load_config(Path(source))
    word = name or config.get("family", "")
    if not word:
        raise UsageError(f"{source} does not say from which family it came; say the name, such as llamagen")
    of = named(word)
    place = of.family.published.get(of.size, Published())
    if isinstance(of.family, Coder):
        spec, module = load_tokenizer(source)
        state = of.family.keys(spec).to_theirs(module.state_dict())
        return [_save(state, of.family.wrapper, _file(to, place.tokenizer, f"{of.name}.pt"))]
    model = Model.from_pretrained(source)
    family, system = of.family, model.system
    states = {"network": family.keys(system).to_theirs(model.network.state_dict())}
    if family.coder and system.tokenizer.paints:
        states["tokenizer"] = family.coder.keys(system.tokenizer).to_theirs(model.tokenizer.state_dict())
    if family.inside:
        whole = {family.inside[role] + key: value for role, state in states.items() for key, value in state.items()}
        return [_save(whole, family.wrapper, _file(to, place.network, f"{of.name}.pt"))]
    names = {"network": (place.network, f"{of.name}.pt"), "tokenizer": (place.tokenizer, f"{of.name}_tokenizer.pt")}
    paths = {role: _file(to, *names[role]) for role in states}
    wrappers = {"network": family.wrapper, "tokenizer": family.coder.wrapper if family.coder else ""}
    return [_save(state, wrappers[role], paths[role]) for role, state in states.items()]


def _file(to: str | Path, place: str, otherwise: str) -> Path:
    path = Path(to) / (basename(place) if Path(basename(place)).suffix else otherwise)
    if path.exists():
        raise UsageError(f"{path} exists already; choose another folder")
    return path


def _save(state: Mapping[str, Tensor], wrapper: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_tensors(path, state)
        return path
    # clones, since views would bring along all that they are views of
    state = {key: value.detach().clone() for key, value in state.items()}
    write_atomically(path, lambda p: torch.save({wrapper: state} if wrapper else state, p))
    return path


def _roles(files: Sequence[Path], name: str) -> tuple[str, dict[str, Path]]:
    """What the files are together, and which is which."""
    if len(files) == 2:
        return paired(files[0], files[1], name)
    if len(files) != 1:
        raise UsageError(f"files: give a generator, its tokenizer, or both, not {len(files)}")
    word, role = identify(files[0], name)
    return word, {role: files[0]}

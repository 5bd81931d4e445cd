"""`load`: a model from wherever it is, and `load_tokenizer`: a tokenizer alone.

load("runs/mine")                                   a folder that nextset wrote
load("owner/name")                                  the same on the hub
load("llamagen/b")                                  a published size, from the hub
load("FoundationVision/LlamaGen:c2i_B_256.pt")      the same, by its file on the hub
load("hp-l33/aim-base")                             the one published generator of a repository
load("downloads/c2i_B_256.pt")                      the same, from a file here
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import pretrained
from ..checkpoints import SUFFIXES, read_checkpoint
from ..errors import UsageError
from ..family import Coder, Family, Published, basename
from ..folders import CONFIG
from ..model import Model
from ..tokenizers.base import Tokenizer, TokenizerModule
from .families import known, named, recognised
from .hub import PLACE, digest, fetch
from .official import load_official, load_official_tokenizer

Source = str | Path


def load(
    source: Source, *, name: str = "", config: Mapping[str, Any] | None = None, revision: str | None = None
) -> Model:
    """The model at `source`, in evaluation mode on the CPU; the forms that it may have are in this module's text.

    `name` says the family (and size) of an official checkpoint where its file name does not, `config` its constructor's arguments; both
    as for `load_official`. `revision` is a branch, tag or commit on the hub. A checkpoint here brings its published tokenizer where
    that lies beside it; without it the model works on tokens alone, and a warning says so. Raises UsageError where nothing is found.
    """
    if not (name or config or _official(source)):
        return Model.from_pretrained(source, revision=revision)
    word, files = _found(str(source), name, revision)
    model = load_official(word, files, config)
    if not isinstance(model, Model):
        raise UsageError(f"{source} is a tokenizer; use load_tokenizer")
    if not model.system.tokenizer.paints:
        place = _place(word)
        there = "" if not place.tokenizer or PLACE.fullmatch(place.tokenizer) else f" (from {place.home})"
        warnings.warn(
            f"{source} came without its tokenizer, so the model works on tokens alone; put "
            f"{basename(place.tokenizer) or 'the file'}{there} beside it, or use load_official with both files",
            stacklevel=2,
        )
    model.about = about(word, files)
    return model


def load_tokenizer(source: Source, *, name: str = "", revision: str | None = None) -> tuple[Tokenizer, TokenizerModule]:
    """The tokenizer at `source`, in evaluation mode: a folder of ours (a model's as well), or official weights such as "vq/16".

    Raises UsageError where nothing is found.
    """
    if not (name or _official(source)):
        return pretrained.load_tokenizer(source, revision)
    word, files = _found(str(source), name, revision, alone=True)
    return load_official_tokenizer(word, files)


def about(word: str, files: Mapping[str, Path]) -> dict[str, Any]:
    """What a folder records of where its weights came from: the family, and the name and SHA-256 of every file."""
    return {"family": word, "origin": [{"file": path.name, "sha256": digest(path)} for path in files.values()]}


def identify(path: Path, name: str = "") -> tuple[str, str]:
    """NAME/SIZE or NAME, and the role, of an official file or folder: by its own name, else by its tensors.

    Of `name` only the role is found. Raises UsageError where neither tells, or where there are several answers.
    """
    if name and isinstance(named(name).family, Coder):
        return name, "tokenizer"
    said = _named_so().get(path.name, [])
    if len(said) == 1 and not name:
        return said[0]
    found = recognised(read_checkpoint(path))
    if name:
        return name, "tokenizer" if _roles_among(found, name) == {"tokenizer"} else "network"
    choices = [(word, role) for word, role in said if (word.partition("/")[0], role) in found] or _narrowed(found)
    if len(choices) != 1:
        what = f"could be of {' or '.join(word for word, _ in choices)}" if choices else "is of no family that is known"
        raise UsageError(f"{path} {what}; say which it is: name={choices[0][0] if choices else 'llamagen'!r}")
    return choices[0]


def paired(first: Path, second: Path, name: str = "") -> tuple[str, dict[str, Path]]:
    """NAME/SIZE or NAME, and the files by role, of a generator and its tokenizer in any order. Raises UsageError for two of a kind."""
    roles = {path: _roles_among(recognised(read_checkpoint(path)), name) for path in (first, second)}
    generators = [path for path, found in roles.items() if "network" in found]
    if len(generators) != 1 or first == second:
        raise UsageError(f"files: of {first} and {second} one must be a generator, the other its tokenizer")
    (network,) = generators
    return identify(network, name)[0], {"network": network, "tokenizer": second if network == first else first}


def _roles_among(found: list[tuple[str, str]], name: str) -> set[str]:
    """The roles that a file may have, of a family or of any."""
    return {role for family, role in found if not name or family == named(name).name}


def _narrowed(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Generators before tokenizers, and of those the ones that are known alone."""
    generators = [pair for pair in found if pair[1] == "network"]
    alone = [pair for pair in found if isinstance(known()[pair[0]], Coder)]
    return generators or alone or found


def _named_so() -> dict[str, list[tuple[str, str]]]:
    """Every published size, as NAME/SIZE, and its role, by its file's own name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, family in known().items():
        for size, place in family.published.items():
            file, role = (place.network, "network") if isinstance(family, Family) else (place.tokenizer, "tokenizer")
            found.setdefault(basename(file), []).append((f"{name}/{size}", role))
    return found


def _official(source: Source) -> bool:
    """Whether it can only be official: a file, a folder without a config of ours, a place on the hub, a name."""
    path, word = Path(source), str(source)
    if path.is_dir():
        return not _describes_itself(path) and any(file.suffix in SUFFIXES for file in path.iterdir())
    return path.is_file() or PLACE.fullmatch(word) is not None or word.partition("/")[0] in known() or bool(_only(word))


def _only(repo: str) -> str:
    """NAME/SIZE of the one published size whose generator lies in a repository; empty where there is none, or more."""
    found = [
        f"{name}/{size}"
        for name, family in known().items()
        for size, place in family.published.items()
        if place.network.startswith(f"{repo}:")
    ]
    return found[0] if len(found) == 1 else ""


def _describes_itself(folder: Path) -> bool:
    """Whether its config is ours, or so damaged that whoever reads it must say so."""
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        return not isinstance(error, FileNotFoundError)
    return not isinstance(config, dict) or "nextset" in config


def _found(source: str, name: str, revision: str | None, alone: bool = False) -> tuple[str, dict[str, Path]]:
    """What to load and from which files, by role; of the tokenizer alone, or of both."""
    if Path(source).exists():
        return _here(Path(source), name, alone)
    word, places = _there(source, name)
    if alone:
        places = {role: place for role, place in places.items() if role == "tokenizer"}
    if not places:
        raise UsageError(f"{source} has no tokenizer of its own")
    return word, {role: fetch(place, revision if place == source else None) for role, place in places.items()}


def _here(path: Path, name: str, alone: bool) -> tuple[str, dict[str, Path]]:
    """A file or folder on this machine, with the tokenizer beside it."""
    word, role = identify(path, name)
    found = {role: path}
    beside = path.parent / basename(_place(word).tokenizer)
    if role == "network" and beside.is_file() and not alone:
        found["tokenizer"] = beside
    return word, found


def _there(source: str, name: str) -> tuple[str, dict[str, str]]:
    """NAME/SIZE and the places by role of something on the hub: of a published size, or by its file."""
    if not PLACE.fullmatch(source):
        of = named(_only(source) or source)
        size = of.size or next(iter(of.family.published), "")
        if size not in of.family.published:
            sizes = ", ".join(of.family.published) or "none"
            raise UsageError(f"there are no published weights of {source}; sizes that have some: {sizes}")
        return f"{of.name}/{size}", _by_role(of.family.published[size])
    for family, found in known().items():
        for size, place in found.published.items():
            if source in place.files and (not name or named(name).name == family):
                return name or f"{family}/{size}", _by_role(place)
    if not name:
        raise UsageError(f"{source} is not among the published files that are known; say the family: name='llamagen'")
    return name, {"tokenizer" if isinstance(named(name).family, Coder) else "network": source}


def _by_role(place: Published) -> dict[str, str]:
    """What can be fetched. Raises UsageError where that is not even the generator."""
    found = {role: file for role, file in (("network", place.network), ("tokenizer", place.tokenizer)) if file}
    here = {role: file for role, file in found.items() if PLACE.fullmatch(file)}
    if next(iter(found), "") not in here:
        files = ", ".join(found.values())
        raise UsageError(
            f"{files}: not on the hub; download from {place.home}, unpack, and load the files from one folder"
        )
    return here


def _place(word: str) -> Published:
    """Where NAME/SIZE lies; of NAME alone, its first size."""
    of = named(word)
    return of.family.published.get(of.size) or next(iter(of.family.published.values()), Published())

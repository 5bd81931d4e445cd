"""Families by name, and those that a file may be of."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import catalogue, official
from ..blueprint import blueprints
from ..errors import UsageError, nearest
from ..family import Coder, Family, Published
from ..keymap import Keys
from ..system import System
from ..tokenizers.base import Tokenizer

ALSO = {  # other words for the same
    "llamagen-c2i": "llamagen",
    "llamagen-t2i": "llamagen",
    "llamagen-vq": "vq",
    "llamagen-vq16": "vq",
    "imagebert": "maskgit",
    "uvitbert": "maskgit",
    "maskgit-vq16": "maskgit-vq",
    "rqtransformer": "rqvae",
    "rq-transformer": "rqvae",
    "npp": "next-patch",
    "dnd": "dnd-transformer",
    "infinity-vae": "bsq",
    "titok-vq8k": "titok",
    "titok-vae": "titok",
}


@functools.cache
def known() -> dict[str, Family | Coder]:
    """Every family of official weights by its name; the file `maskgit_vq` is `maskgit-vq`."""
    found = {}
    for module in pkgutil.iter_modules(official.__path__):
        there = importlib.import_module(f"{official.__name__}.{module.name}")
        family = getattr(there, "FAMILY", None) or getattr(there, "CODER", None)
        if family is not None:
            found[module.name.replace("_", "-")] = family
    return found


def published(system: str) -> Mapping[str, Published]:
    """Where the weights of a system's sizes lie, by size; empty where none are published."""
    family = known().get(system)
    return family.published if isinstance(family, Family) else {}


@dataclass(frozen=True)
class Named:
    """A family, and the size of it that was asked for, if any."""

    name: str
    family: Family | Coder
    size: str

    @property
    def sizes(self) -> Mapping[str, System | Tokenizer]:
        """Its published sizes."""
        if isinstance(self.family, Coder):
            return self.family.sizes
        return {size: catalogue.spec(f"{self.name}/{size}") for size in self.family.published}

    def spec(self, size: str) -> System | Tokenizer:
        """One of its sizes. Raises UsageError for one that there is not."""
        if isinstance(self.family, Family):
            return catalogue.spec(f"{self.name}/{size}")
        if size not in self.family.sizes:
            raise UsageError(f"{self.name!r} has no size {size!r}{nearest(size, self.family.sizes)}")
        return self.family.sizes[size]


def named(word: str) -> Named:
    """The family of NAME or NAME/SIZE. Raises UsageError with the nearest name."""
    name, _, size = word.lower().partition("/")
    name = name.replace("_", "-")
    name = ALSO.get(name, name)
    if name not in known():
        raise UsageError(f"there are no official weights of {word!r}{nearest(name, known())}")
    found = Named(name, known()[name], size)
    if size:
        found.spec(size)
    return found


# -- by content


@functools.lru_cache(maxsize=256)
def blueprint(spec: System | Tokenizer) -> dict[str, Tensor]:
    """The state dict of a network or tokenizer on the meta device."""
    with blueprints():
        return (spec.network() if isinstance(spec, System) else spec.build()).state_dict()


def recognised(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Families whose published files have tensors of these names, each with the role: "network" or "tokenizer".

    Numbers in names (of layers) do not count, and neither do shapes.
    """
    with torch.device("meta"):
        empty = {key: torch.empty(value.shape) for key, value in state.items()}
    return [
        (name, role)
        for name, role, keys, specs in _candidates()
        if any(_alike(keys, spec, _part(empty, name)) for spec in {_kind(spec): spec for spec in specs}.values())
    ]


def _part(state: Mapping[str, Tensor], name: str) -> Mapping[str, Tensor]:
    """Of a file that also holds the tokenizer the generator's tensors, which tell the family."""
    family = known()[name]
    prefix = family.inside.get("network", "") if isinstance(family, Family) else ""
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return inside or state


def _candidates() -> Iterator[tuple[str, str, Callable[[Any], Keys], Sequence[System | Tokenizer]]]:
    """Of every family and role the specs whose tensors have all the names that there are, the small ones last."""
    for name, family in known().items():
        published = list(Named(name, family, "").sizes.values())
        if isinstance(family, Coder):
            yield name, "tokenizer", family.keys, published
            continue
        yield name, "network", family.keys, list(catalogue.sizes(name).values())
        if family.coder:
            coded = [spec.tokenizer for spec in published if isinstance(spec, System)]
            yield name, "tokenizer", family.coder.keys, coded


def _kind(spec: System | Tokenizer) -> str:
    """What two specs have in common whose tensors have the same names: everything but sizes."""
    return str(_unsized(spec.to_dict()))


def _unsized(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unsized(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted({str(_unsized(inner)) for inner in value})
    return value if isinstance(value, str) else bool(value)


def _alike(keys: Callable[[Any], Keys], spec: System | Tokenizer, empty: Mapping[str, Tensor]) -> bool:
    try:
        ours = keys(spec).to_ours(empty)
    except (RuntimeError, ValueError, IndexError):
        return False
    if 2 * len(ours.keys() & empty.keys()) > len(empty):  # names that it does not know, and so no need to look closer
        return False
    return _templates(ours) == _templates(blueprint(spec))


def _templates(keys: Iterable[str]) -> set[str]:
    return {re.sub(r"\d+", "{}", key) for key in keys}

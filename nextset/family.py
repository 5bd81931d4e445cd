"""What is known of an official implementation: how its files are read, which sizes it published, and what lies where.

A `Coder` is that of a tokenizer, a `Family` that of a generator on one. Both read a checkpoint through `Arguments`: sizes come
from the shapes of its tensors, and what shapes do not show from the constructor's arguments, under their official names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import UsageError
from .keymap import Keys, matches
from .layout import Unit
from .system import System
from .tokenizers.absent import Absent, stand_in
from .tokenizers.base import Tokenizer
from .tokenizers.convolutional import Convolutional

Shape = tuple[int, ...]
UNSAID: Any = object()


class Arguments:
    """Sizes of an official checkpoint, under the names of the official constructor.

    `seen` reads what the shapes show and refuses a config that says otherwise, `asked` what they do not show, `must` what we
    can do in one way only. `source` names the file in messages, `role` the part of a config for several files.
    """

    def __init__(
        self, source: str, shapes: Mapping[str, Shape], config: Mapping[str, Any] | None = None, role: str = ""
    ) -> None:
        self.source, self.shapes, self.role = source, shapes, role
        self._said = _flat(config or {})

    def __contains__(self, key: str) -> bool:
        return key in self.shapes

    def shape(self, key: str) -> Shape:
        """That of one tensor. Raises UsageError where there is none: the file is of another family, or not whole."""
        if key not in self.shapes:
            found = ", ".join(sorted(self.shapes)[:3])
            raise UsageError(
                f"{self.source} has no tensor {key}: it is incomplete, or of another family (it holds {found}, ...)"
            )
        return self.shapes[key]

    def size(self, key: str, axis: int = 0) -> int:
        """One axis of one tensor. Raises UsageError where it has no such axis."""
        shape = self.shape(key)
        if not -len(shape) <= axis < len(shape):
            raise UsageError(f"{self.source}: {key} is {shape}, which is the shape of another family")
        return shape[axis]

    def count(self, template: str) -> int:
        """How many numbers stand in the place of the one `{}`, as in "layers.{}.*". Raises UsageError where there is none, or a gap."""
        found = sorted({int(parts[0]) for parts in matches(template, self.shapes)})
        if not found:
            self.shape(template.replace("{}", "0"))
        if found != list(range(len(found))):
            gap = next(i for i in range(len(found)) if found[i] != i)
            raise UsageError(f"{self.source} is incomplete: it has no {template.format(gap)}, but later ones")
        return len(found)

    def square(self, name: str, sites: int) -> int:
        """Sites a side of a square image of so many, which are `name` there. Raises UsageError where they make no square."""
        if sites < 1 or math.isqrt(sites) ** 2 != sites:
            raise UsageError(f"{name}={sites} is no square, so the images of {self.source} are none")
        return math.isqrt(sites)

    def seen(self, name: str, value: Any) -> Any:
        """`value`, which the shapes show. Raises UsageError where the config gives `name` another one."""
        said = self._said.get(name, UNSAID)
        if said is not UNSAID and said is not None and _plain(said) != _plain(value):
            raise UsageError(
                f"config says {name}={said}, but the tensors of {self.source} say {value}; correct one of them"
            )
        return value

    def asked(self, name: str, default: Any = UNSAID, hint: str = "") -> Any:
        """What the shapes do not show: of the config, else the default. Raises UsageError that asks for it by name."""
        found = self._said.get(name, default)
        if found is UNSAID:
            raise UsageError(
                f"the tensors of {self.source} do not show {name}{f' ({hint})' if hint else ''}; "
                f"pass it: config={self._shown(name)}, or name a published size"
            )
        return tuple(found) if isinstance(found, list) else found

    def _shown(self, name: str) -> str:
        asked = f"{{{name!r}: ...}}"
        return f"{{{self.role!r}: {asked}}}" if self.role else asked

    def must(self, name: str, *allowed: Any) -> None:
        """Raises UsageError where the config gives `name` a value that is not allowed: what has no counterpart here."""
        said = self._said.get(name, allowed[0])
        if said not in allowed:
            ways = " or ".join(map(str, allowed))
            raise UsageError(f"config: {name}={said} has no counterpart here; only {ways} has")

    def without(self, *names: str) -> Arguments:
        """The same, but for what the config says of `names`."""
        rest = Arguments(self.source, self.shapes, role=self.role)
        rest._said = {name: value for name, value in self._said.items() if name not in names}
        return rest

    def fitting(self, tokenizer: Tokenizer | None, unit: Unit, stride: int = 16, line: int = 0) -> Tokenizer:
        """The tokenizer that a generator of these units has. Without one a stand-in, from whose tokens nobody can paint.

        The stand-in's sites cover `stride` pixels a side, or are `line` in all. Raises UsageError where the two do not fit.
        """
        if tokenizer is None:
            return stand_in(unit, stride, line)
        if tokenizer.unit != unit:
            raise UsageError(
                f"the tokenizer does not belong to the generator in {self.source}: its tokens are {tokenizer.unit}, "
                f"those of the generator {unit}"
            )
        return tokenizer


def pixels(tokenizer: Tokenizer, side: int) -> int:
    """How many a side an image of `side` x `side` sites has. Raises UsageError where the tokenizer's sites are no squares."""
    if not isinstance(tokenizer, Convolutional | Absent):
        raise UsageError(f"tokenizer {type(tokenizer).__name__} makes no grid of {side} x {side} sites")
    return side * tokenizer.stride


def hidden(args: Arguments, key: str, dim: int, share: float = 1.0) -> int:
    """The inner width of feed-forwards at width `dim`, the rows of tensor `key`; 0 where it is the usual 4 dim `share`.

    Raises UsageError where `mlp_ratio` dim `share`, which is rounded somehow, says otherwise.
    """
    rows = args.size(key)
    ratio = rows / (dim * share)
    if abs(args.asked("mlp_ratio", ratio) * dim * share - rows) >= 1:
        args.seen("mlp_ratio", ratio)
    return 0 if rows == int(4 * dim * share) else rows


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every value under its name, and under its dotted path; names that stand for several values are left out."""
    flat: dict[str, Any] = {}
    clashes: set[str] = set()

    def walk(path: tuple[str, ...], value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk((*path, str(key)), inner)
            return
        for start in range(len(path)):
            name = ".".join(path[start:])
            if name in flat and flat[name] != value:
                clashes.add(name)
            flat[name] = value

    walk((), config)
    own = {name: value for name, value in config.items() if not isinstance(value, Mapping)}
    return {name: value for name, value in flat.items() if name not in clashes} | own


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class Published:
    """Where the weights of a size lie: "owner/name:path" on the hub, or, without an owner, a file that has another home.

    `tokenizer` is empty where its weights are in the same file, or are not needed. `home` is where files come from that are not on the hub.
    """

    network: str = ""
    tokenizer: str = ""
    home: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(file for file in (self.network, self.tokenizer) if file)


def basename(place: str) -> str:
    """The file's own name of "owner/name:path", or of a path."""
    return place.replace(":", "/").rpartition("/")[2]


@dataclass(frozen=True)
class Coder:
    """A tokenizer's official weights: its spec from what a file shows, and the names.

    `sizes` are those that were published, with their files in `published`; `wrapper` and `licence` as in `Family`.
    """

    read: Callable[[Arguments], Tokenizer]
    keys: Callable[[Any], Keys]
    sizes: Mapping[str, Tokenizer] = field(default_factory=dict)
    published: Mapping[str, Published] = field(default_factory=dict)
    wrapper: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Family:
    """A generator's official weights, and those of the tokenizer that it comes with.

    `read` makes the system from what a file shows, with the tokenizer or None, which comes only to those that can do without
    (`alone`). `published` goes by the sizes of the system of the same name. Where one file holds both, `inside` gives the prefixes
    of the keys of "network" and "tokenizer". `wrapper` is the key under which the official scripts expect the weights. `licence` is
    what the official repository states, of its code unless it says more; empty where it states none.
    """

    read: Callable[[Arguments, Tokenizer | None], System]
    keys: Callable[[Any], Keys]
    coder: Coder | None = None
    published: Mapping[str, Published] = field(default_factory=dict)
    inside: Mapping[str, str] = field(default_factory=dict)
    alone: bool = True
    wrapper: str = ""
    licence: str = ""

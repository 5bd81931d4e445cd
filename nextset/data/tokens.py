"""Token caches: encode once, train many times.

A cache is a folder of safetensors shards and `index.json`, which holds the tokenizer's spec and the hash of its weights, so
that tokens are never mixed with another tokenizer. Legend: B items, N sites, Q codes per site, D latent channels.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import NextsetError, UsageError
from ..layout import Layout, Tokens
from ..noise import mix
from .batch import Batch, Batches
from .schedule import Schedule

INDEX = "index.json"
VERSION = 1


@dataclass(frozen=True)
class Header:
    """What `index.json` says: `size` is (H, W), `shard` the items of a shard, `mirrored` whether each is there mirrored too."""

    tokenizer: dict[str, Any]
    fingerprint: str
    layout: dict[str, Any]
    data: str
    size: tuple[int, int]
    channels: int
    count: int
    shard: int
    dtype: str
    mirrored: bool
    classes: tuple[str, ...]
    version: int = VERSION

    @property
    def shards(self) -> int:
        """Files of the cache."""
        return -(-self.count // self.shard)

    def span(self, number: int) -> range:
        """The items of a shard."""
        return range(number * self.shard, min((number + 1) * self.shard, self.count))

    @classmethod
    def read(cls, folder: Path) -> Header:
        """The header of a cache. Raises UsageError where there is none, NextsetError where it is damaged."""
        try:
            data = json.loads((folder / INDEX).read_text())
            newer = data["version"] > VERSION
            header = None if newer else cls(**data | {name: tuple(data[name]) for name in ("size", "classes")})
        except FileNotFoundError as error:
            raise UsageError(
                f"{folder} has no {INDEX}, so it is no token cache; write one with `nextset data encode`"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise NextsetError(f"{folder / INDEX} is damaged ({error}); write the cache again") from error
        if header is None:
            raise UsageError(f"{folder} was written by a newer nextset (format {data['version']}); upgrade nextset")
        return header


def shard_path(folder: Path, number: int) -> Path:
    """The file of shard `number`."""
    return folder / f"{number:05d}.safetensors"


@dataclass(frozen=True)
class Shard:
    """One file, mapped into memory: tokens (n, N), (n, N, Q) or (n, N, D), labels (n,), and captions end to end in UTF-8."""

    tokens: Tensor
    mirrored: Tensor | None
    labels: Tensor
    ends: Tensor
    text: Tensor

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Maps the file. Raises NextsetError naming it where it is missing or damaged."""
        try:
            with safe_open(path, framework="pt") as file:
                held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            return cls(held["tokens"], held.get("mirrored"), held["labels"], held["ends"], held["text"])
        except FileNotFoundError as error:
            raise NextsetError(f"{path} is missing: the cache is unfinished; encode it again to complete it") from error
        except (SafetensorError, OSError, KeyError) as error:
            raise NextsetError(f"{path} is damaged ({error}); delete it and encode again to replace it") from error

    def caption(self, row: int) -> str:
        """The caption of a row."""
        start = int(self.ends[row - 1]) if row else 0
        return bytes(self.text[start : int(self.ends[row])].numpy()).decode()


class TokenCache:
    """The tokens in a folder. Raises UsageError where it is no cache, NextsetError naming a missing or damaged file."""

    def __init__(self, path: str | Path) -> None:
        self.folder = Path(path)
        self.header = Header.read(self.folder)
        self.layout = Layout.from_dict(self.header.layout)
        self.name, self.classes = self.header.data, self.header.classes
        self._shards: dict[int, Shard] = {}
        for number in range(self.header.shards):
            if not shard_path(self.folder, number).is_file():
                raise NextsetError(
                    f"{shard_path(self.folder, number)} is missing: encode {self.folder} again to complete it"
                )

    def __len__(self) -> int:
        return self.header.count

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_shards": {}}  # other processes map the files themselves

    def check_tokenizer(self, fingerprint: str) -> None:
        """Raises UsageError where another tokenizer, or the same with other weights, made the cache."""
        if fingerprint != self.header.fingerprint:
            kind = str(self.header.tokenizer.get("type", "")).rpartition(".")[2]
            raise UsageError(
                f"cache {self.folder} was made by another tokenizer ({kind} {self.header.fingerprint[:12]}) than the model's "
                f"({fingerprint[:12]}): encode again, or use the tokenizer of the cache"
            )

    def read(
        self, index: np.ndarray | Sequence[int], mirror: np.ndarray | None = None
    ) -> tuple[Tokens, Tensor, tuple[str, ...]]:
        """Tokens, labels (B,) and captions of the items `index` (B,), mirrored where `mirror` (B,) says so."""
        rows = [self._row(int(i)) for i in index]
        chosen = np.zeros(len(rows), dtype=bool) if mirror is None else mirror
        data = torch.stack([_pick(shard, row, bool(m)) for (shard, row), m in zip(rows, chosen, strict=True)])
        labels = torch.stack([shard.labels[row] for shard, row in rows])
        return Tokens(_widened(data), self.layout), labels, tuple(shard.caption(row) for shard, row in rows)

    def _row(self, index: int) -> tuple[Shard, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        number, row = divmod(index, self.header.shard)
        if number not in self._shards:
            self._shards[number] = self._open(number)
        return self._shards[number], row

    def _open(self, number: int) -> Shard:
        shard = Shard.open(shard_path(self.folder, number))
        if len(shard.labels) != len(self.header.span(number)) or len(shard.tokens) != len(shard.labels):
            raise NextsetError(
                f"{shard_path(self.folder, number)} holds {len(shard.labels)} items, not as many as it should; encode again"
            )
        return shard


def _pick(shard: Shard, row: int, mirror: bool) -> Tensor:
    return shard.mirrored[row] if mirror and shard.mirrored is not None else shard.tokens[row]


def _widened(data: Tensor) -> Tensor:
    return data.float() if data.is_floating_point() else data.long()


@dataclass(frozen=True)
class TokenLoader(Batches):
    """Batches of cached tokens, `batch` items over all `world` processes; like `Loader`, a pure function of (seed, step).

    Where the cache holds mirrored items, training sees each as it is or mirrored, seeded by (seed, epoch, index).
    """

    cache: TokenCache
    batch: int
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        _ = self.schedule  # says now what is wrong with batch, rank or world

    @functools.cached_property
    def schedule(self) -> Schedule:
        """Which items make which batch."""
        return Schedule(len(self.cache), self.batch, self.seed, self.shuffle, self.rank, self.world)

    def gather(self, index: np.ndarray, epochs: np.ndarray | None) -> Batch:
        """The items `index` (B,), mirrored as their `epochs` (B,) decide."""
        mirror = None
        if epochs is not None and self.cache.header.mirrored:
            draws = [mix("mirror", self.seed, int(e), int(i)) for e, i in zip(epochs, index, strict=True)]
            mirror = np.array(draws) % 2 == 1
        tokens, labels, captions = self.cache.read(index, mirror)
        images = torch.empty(len(index), self.cache.header.channels, 0, 0)
        return Batch(images, labels, captions, torch.from_numpy(index), tokens.data)


def differences(old: Header, new: Header) -> list[str]:
    """The fields in which two headers differ."""
    return [f.name for f in dataclasses.fields(Header) if getattr(old, f.name) != getattr(new, f.name)]

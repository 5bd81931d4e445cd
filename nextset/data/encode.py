"""Writing token caches: every picture encoded once, shard by shard, to be continued where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ..digest import fingerprint
from ..errors import NextsetError, UsageError
from ..files import save_json, write_atomically
from ..layout import Discrete, Layout, Tokens, Unit
from .base import Dataset
from .batch import Batch
from .loader import Loader
from .tokens import INDEX, Header, Shard, TokenCache, differences, shard_path


class TokenizerSpec(Protocol):
    """What a cache needs to know of a tokenizer's spec (`tokenizers.base.Tokenizer` has it)."""

    @property
    def channels(self) -> int:
        """Channels of its images."""

    @property
    def unit(self) -> Unit:
        """The alphabet of one site."""

    def layout(self, size: tuple[int, int]) -> Layout:
        """The sites of an image of `size`."""

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON."""


@dataclass(frozen=True)
class Encoding:
    """How a cache is written; all but `batch`, `workers`, `rank` and `world` are part of its header."""

    batch: int = 64
    """Images encoded at once."""
    shard: int = 8192
    """Items of a file."""
    mirror: bool = False
    """Encode each picture mirrored too, for training that flips."""
    latents: Literal["float16", "float32"] = "float16"
    """Precision of latent tokens; ids take the smallest integers that hold them."""
    workers: int = 0
    """Processes that read pictures."""
    rank: int = 0
    """Which of the processes that write together this is."""
    world: int = 1
    """Processes that write together, each every `world`-th shard."""


def write_cache(
    path: str | Path,
    dataset: Dataset,
    module: nn.Module,
    spec: TokenizerSpec,
    size: tuple[int, int],
    how: Encoding = Encoding(),
) -> TokenCache | None:
    """Encodes `dataset` at `size` (H, W) with `module` (built from `spec`, on its own device) into the folder `path`.

    Whole shards that are there already are kept, so a run that was stopped continues. Returns the cache, or None where
    other processes still have shards to write. Raises UsageError where the folder holds another cache or the size does
    not fit the tokenizer, NextsetError where a picture or the disk fails.
    """
    folder = Path(path)
    header = _header(dataset, module, spec, size, how)
    _claim(folder, header)
    pending = [n for n in range(how.rank, header.shards, how.world) if not _is_whole(folder, header, n)]
    loader = Loader(dataset, how.batch, size, header.channels, workers=how.workers)
    cuts = {n: _cuts(header.span(n), how.batch) for n in pending}
    batches = loader.read((index, None) for n in pending for index in cuts[n])
    progress = tqdm(total=header.count, initial=_done(header, pending), desc="encoding", unit="image", disable=None)
    with progress, _evaluating(module):
        for number in pending:
            encoded = _encoded(module, itertools.islice(batches, len(cuts[number])), header, progress.update)
            write_atomically(shard_path(folder, number), functools.partial(save_file, encoded))
    whole = all(shard_path(folder, n).is_file() for n in range(header.shards))
    return TokenCache(folder) if whole else None


def _header(dataset: Dataset, module: nn.Module, spec: TokenizerSpec, size: tuple[int, int], how: Encoding) -> Header:
    if len(dataset) == 0 or how.shard < 1 or not 0 <= how.rank < how.world:
        raise UsageError(f"a cache needs pictures, shard >= 1 and rank < world, got {len(dataset)} pictures and {how}")
    return Header(
        tokenizer=spec.to_dict(),
        fingerprint=fingerprint(module, spec),
        layout=spec.layout(size).to_dict(),
        data=dataset.name,
        size=size,
        channels=spec.channels,
        count=len(dataset),
        shard=how.shard,
        dtype=_smallest(spec.unit.vocab) if isinstance(spec.unit, Discrete) else how.latents,
        mirrored=how.mirror,
        classes=tuple(dataset.classes),
    )


def _smallest(vocab: int) -> str:
    """The smallest integers that hold ids below `vocab`."""
    limits = {"uint8": 1 << 8, "int16": 1 << 15, "int32": 1 << 31}
    return next((name for name, limit in limits.items() if vocab <= limit), "int64")


def _claim(folder: Path, header: Header) -> None:
    if (folder / INDEX).exists():
        differing = differences(Header.read(folder), header)
        if differing:
            raise UsageError(
                f"{folder} holds another cache (it differs in {', '.join(differing)}); choose another folder or delete it"
            )
        return
    save_json(folder / INDEX, dataclasses.asdict(header))


def _is_whole(folder: Path, header: Header, number: int) -> bool:
    with contextlib.suppress(NextsetError):
        return len(Shard.open(shard_path(folder, number)).labels) == len(header.span(number))
    return False


def _cuts(span: range, batch: int) -> list[np.ndarray]:
    return [np.arange(at, min(at + batch, span.stop)) for at in range(span.start, span.stop, batch)]


def _done(header: Header, pending: list[int]) -> int:
    return header.count - sum(len(header.span(number)) for number in pending)


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


@torch.no_grad()
def _encoded(module: Any, batches: Iterator[Batch], header: Header, tick: Callable[[int], Any]) -> dict[str, Tensor]:
    """The tensors of one shard."""
    plain, mirrored, labels, captions = [], [], [], []
    for batch in batches:
        plain.append(_tokens(module, batch.images, header))
        if header.mirrored:
            mirrored.append(_tokens(module, batch.images.flip(-1), header))
        labels.append(batch.labels)
        captions += [caption.encode() for caption in batch.captions]
        tick(len(batch))
    tensors = {"tokens": torch.cat(plain), "labels": torch.cat(labels)}
    tensors["ends"] = torch.tensor([len(caption) for caption in captions], dtype=torch.int64).cumsum(0)
    tensors["text"] = torch.from_numpy(np.frombuffer(b"".join(captions), dtype=np.uint8).copy())
    return tensors | ({"mirrored": torch.cat(mirrored)} if mirrored else {})


def _tokens(module: Any, images: Tensor, header: Header) -> Tensor:
    weight = next(itertools.chain(module.parameters(), module.buffers()), images)
    tokens: Tokens = module.encode(images.to(weight.device))
    if tokens.layout.to_dict() != header.layout:
        raise UsageError(f"tokenizer gave tokens on {tokens.layout}, and its spec promised {header.layout['blocks']}")
    stored = tokens.data.cpu().to(getattr(torch, header.dtype))
    if stored.is_floating_point() and not torch.isfinite(stored).all():
        raise NextsetError(f"latents do not fit {header.dtype} or are not numbers; encode with latents='float32'")
    if not stored.is_floating_point() and not torch.equal(stored.long(), tokens.data.cpu().long()):
        raise NextsetError(f"ids up to {int(tokens.data.max())} do not fit the vocabulary of the tokenizer's spec")
    return stored

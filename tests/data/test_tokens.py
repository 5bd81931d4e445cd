from __future__ import annotations

import itertools
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from nextset.data.base import Dataset, Item
from nextset.data.digits import Digits
from nextset.data.encode import Encoding, write_cache
from nextset.data.loader import Loader
from nextset.data.open import open_dataset
from nextset.data.shapes import Shapes
from nextset.data.tokens import TokenCache, TokenLoader, shard_path
from nextset.digest import fingerprint
from nextset.errors import NextsetError, UsageError
from nextset.layout import Continuous, Discrete, Layout, Tokens, Unit, grid
from nextset.tokenizers.base import Tokenizer, TokenizerModule


class HalvesModule(TokenizerModule):
    """Levels of the means of 2 x 2 pixels, shifted by a weight so that weights matter."""

    def __init__(self, levels: int, latent: bool) -> None:
        super().__init__()
        self.levels, self.latent = levels, latent
        self.shift = nn.Parameter(torch.zeros(1))
        self.calls = 0

    def encode(self, images: Tensor) -> Tokens:
        self.calls += 1
        assert not self.training
        means = nn.functional.avg_pool2d(images + self.shift, 2)
        layout = grid(*means.shape[-2:])
        if self.latent:
            return Tokens(means.flatten(2).transpose(1, 2), layout)
        levels = ((means.clamp(-1, 1) + 1) / 2 * (self.levels - 1)).round().long()
        return Tokens(levels[:, 0].flatten(1), layout)

    def decode(self, tokens: Tokens) -> Tensor:
        raise NotImplementedError

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError


@dataclass(frozen=True)
class Halves(Tokenizer):
    """The spec of it."""

    levels: int = 200
    channels: int = 1
    latent: bool = False

    @property
    def unit(self) -> Unit:
        return Continuous(self.channels) if self.latent else Discrete(self.levels)

    def layout(self, size: tuple[int, int]) -> Layout:
        if size[0] % 2 or size[1] % 2:
            raise UsageError(f"size {size} must be even")
        return grid(size[0] // 2, size[1] // 2)

    def build(self) -> HalvesModule:
        return HalvesModule(self.levels, self.latent)


SIZE = (8, 8)


def written(path: Path, spec: Halves = Halves(), dataset: Dataset | None = None, **how: object) -> TokenCache:
    how = {"shard": 500, "batch": 100} | how
    cache = write_cache(path, dataset or Digits("test"), spec.build(), spec, SIZE, Encoding(**how))  # type: ignore[arg-type]
    assert cache is not None
    return cache


def direct(spec: Halves, dataset: Dataset) -> Tensor:
    images = torch.cat([batch.images for batch in Loader(dataset, 100, SIZE, spec.channels).once()])
    return spec.build().eval().encode(images).data


@pytest.mark.parametrize(
    ("levels", "dtype"),
    [(200, torch.uint8), (256, torch.uint8), (257, torch.int16), (32768, torch.int16), (32769, torch.int32)],
)
def test_ids_come_back_from_the_smallest_integers(tmp_path: Path, levels: int, dtype: torch.dtype) -> None:
    spec = Halves(levels)
    cache = written(tmp_path, spec, shard=130)  # 360 items: three files
    with safe_open(shard_path(tmp_path, 2), framework="pt") as file:
        assert file.get_tensor("tokens").dtype == dtype
        assert len(file.get_tensor("tokens")) == 100
    tokens, labels, captions = cache.read(np.arange(360))
    assert tokens.data.dtype == torch.int64
    assert torch.equal(tokens.data, direct(spec, Digits("test")))
    assert tokens.layout == grid(4, 4)
    assert labels.tolist() == [Digits("test")[i].label for i in range(360)]
    assert captions == tuple(Digits("test")[i].caption for i in range(360))
    assert (len(cache), cache.name, cache.classes) == (360, "digits:test", Digits("test").classes)


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_latents_come_back(tmp_path: Path, precision: str) -> None:
    spec = Halves(channels=3, latent=True)
    cache = written(tmp_path, spec, Shapes("test", count=20), latents=precision)
    found = cache.read([3, 19])[0].data
    expected = direct(spec, Shapes("test", count=20))[[3, 19]]
    # float16 keeps 11 bits: half a unit in the last place of values below 1
    assert (found - expected).abs().max() <= (2**-12 if precision == "float16" else 0)


def test_latents_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    spec = Halves(latent=True)
    module = spec.build()
    module.shift.data += 1e5
    with pytest.raises(NextsetError, match="latents='float32'"):
        write_cache(tmp_path, Digits("test"), module, spec, SIZE)


def test_a_stopped_run_continues(tmp_path: Path) -> None:
    class Interrupted(Dataset):
        name, classes = "digits:test", Digits("test").classes

        def __len__(self) -> int:
            return 360

        def __getitem__(self, index: int) -> Item:
            if index == 250:
                raise NextsetError("disk.png is gone")
            return Digits("test")[index]

    with pytest.raises(NextsetError, match=r"disk\.png"):
        written(tmp_path, dataset=Interrupted(), shard=100)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["00000.safetensors", "00001.safetensors", "index.json"]
    with pytest.raises(NextsetError, match=r"00002\.safetensors is missing"):
        TokenCache(tmp_path)
    before = shard_path(tmp_path, 0).stat().st_mtime_ns
    shard_path(tmp_path, 1).write_bytes(shard_path(tmp_path, 1).read_bytes()[:-50])  # as a crashed copy leaves it
    module = Halves().build()
    cache = write_cache(tmp_path, Digits("test"), module, Halves(), SIZE, Encoding(shard=100, batch=100))
    assert cache is not None
    assert module.calls == 3
    assert shard_path(tmp_path, 0).stat().st_mtime_ns == before
    assert torch.equal(cache.read(np.arange(360))[0].data, direct(Halves(), Digits("test")))


def test_processes_share_the_shards(tmp_path: Path) -> None:
    how = [Encoding(shard=100, rank=rank, world=2) for rank in range(2)]
    assert write_cache(tmp_path, Digits("test"), Halves().build(), Halves(), SIZE, how[1]) is None
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == ["00001.safetensors", "00003.safetensors"]
    cache = write_cache(tmp_path, Digits("test"), Halves().build(), Halves(), SIZE, how[0])
    assert cache is not None
    assert torch.equal(cache.read(np.arange(360))[0].data, direct(Halves(), Digits("test")))


def test_workers_write_the_same(tmp_path: Path) -> None:
    alone, helped = written(tmp_path / "a"), written(tmp_path / "b", workers=2)
    assert torch.equal(alone.read(np.arange(360))[0].data, helped.read(np.arange(360))[0].data)


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    cache, module = written(tmp_path), Halves().build()
    cache.check_tokenizer(fingerprint(module, Halves()))
    for spec, shift in ((Halves(), 1e-3), (Halves(199), 0.0)):
        other = spec.build()
        other.shift.data += shift
        with pytest.raises(UsageError, match=r"another tokenizer \(Halves"):
            cache.check_tokenizer(fingerprint(other, spec))
        with pytest.raises(UsageError, match="differs in .*fingerprint"):
            write_cache(tmp_path, Digits("test"), other, spec, SIZE)
    with pytest.raises(UsageError, match="differs in data, count"):
        written(tmp_path, dataset=Digits("train"))


def test_fingerprints_follow_weights_only() -> None:
    first, second = Halves().build(), Halves().build().double().float()
    assert fingerprint(first, Halves()) == fingerprint(second, Halves())
    assert fingerprint(first, Halves()) != fingerprint(Halves().build().double(), Halves())


# loading


def test_token_batches_follow_the_loader(tmp_path: Path) -> None:
    cache = written(tmp_path, shard=77)
    tokens, pictures = TokenLoader(cache, 32, seed=3), Loader(Digits("test"), 32, SIZE, 1, seed=3)
    module = Halves().build().eval()
    for left, right in itertools.islice(zip(tokens.batches(9), pictures.batches(9), strict=True), 4):
        assert torch.equal(left.index, right.index)
        assert torch.equal(left.labels, right.labels)
        assert left.captions == right.captions
        assert left.tokens is not None
        assert torch.equal(left.tokens, module.encode(right.images).data)
        assert left.images.shape == (32, 1, 0, 0)
        assert len(left.to("cpu").split(4)) == 4
    assert sum(len(batch) for batch in tokens.once()) == 360


@pytest.mark.parametrize("workers", [0, 2])
def test_token_batches_resume_and_travel(tmp_path: Path, workers: int) -> None:
    cache = pickle.loads(pickle.dumps(written(tmp_path, shard=77, mirror=True)))
    reference = list(itertools.islice(TokenLoader(cache, 32).batches(), 6))
    for expected, found in zip(reference[3:], TokenLoader(cache, 32, workers=workers).batches(3), strict=False):
        assert expected.tokens is not None
        assert found.tokens is not None
        assert torch.equal(expected.tokens, found.tokens)


def test_mirrored_tokens_are_those_of_mirrored_pictures(tmp_path: Path) -> None:
    cache = written(tmp_path, mirror=True)
    plain = direct(Halves(), Digits("test"))
    flipped = plain.unflatten(1, (4, 4)).flip(-1).flatten(1)
    mirror = np.arange(360) % 2 == 1
    found = cache.read(np.arange(360), mirror)[0].data
    assert torch.equal(found[~mirror], plain[~mirror])
    assert torch.equal(found[mirror], flipped[mirror])
    batch = TokenLoader(cache, 360, shuffle=False).at(0)
    assert batch.tokens is not None
    share = (batch.tokens == flipped).all(1).float().mean()
    assert 0.4 < share < 0.6  # 360 fair coins within 4 standard deviations
    once = next(TokenLoader(cache, 360).once())
    assert once.tokens is not None
    assert torch.equal(once.tokens, plain)


# what is wrong


def test_wrong_sizes_are_refused_before_work(tmp_path: Path) -> None:
    module = Halves().build()
    with pytest.raises(UsageError, match="must be even"):
        write_cache(tmp_path, Digits("test"), module, Halves(), (7, 8))
    assert module.calls == 0
    assert not list(tmp_path.iterdir())


def test_damaged_caches_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no token cache"):
        TokenCache(tmp_path)
    written(tmp_path)
    path = shard_path(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(NextsetError, match=r"00000\.safetensors is damaged"):
        TokenCache(tmp_path).read([0])
    header = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(header | {"version": 99}))
    with pytest.raises(UsageError, match="newer nextset"):
        TokenCache(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(NextsetError, match=r"index\.json is damaged"):
        TokenCache(tmp_path)


def test_a_cache_is_no_picture_data(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(UsageError, match="is a token cache"):
        open_dataset(str(tmp_path))


def test_progress_is_silent_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    assert capsys.readouterr().err == ""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from nextset.data.base import Dataset, Item
from nextset.data.batch import Batch, Stack
from nextset.data.digits import Digits
from nextset.data.loader import Loader, once, to_image
from nextset.errors import NextsetError, UsageError


class Noisy(Dataset):
    """RGB pictures of various sizes."""

    name = "noisy"
    classes = ("a", "b")

    def __init__(self, count: int, broken: int = -1) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        if index == self.broken:
            raise NextsetError("photo.jpg is cut short")
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (int(rng.integers(20, 60)), int(rng.integers(20, 60)), 3), dtype=np.uint8)
        return Item(image, index % 2, f"picture {index}")


def noisy(**changes: object) -> Loader:
    return Loader(**({"dataset": Noisy(23), "batch": 6, "size": (16, 16), "channels": 3} | changes))  # type: ignore[arg-type]


def whole(digits: Digits) -> Stack:
    return digits.stack(np.arange(len(digits)))


def same(left: Batch, right: Batch) -> bool:
    return torch.equal(left.images, right.images) and torch.equal(left.index, right.index)


@pytest.mark.parametrize("split", ["train", "test"])
def test_digits_are_the_stored_levels(split: str) -> None:
    digits = Digits(split)
    assert len(digits) == {"train": 1437, "test": 360}[split]
    item = digits[7]
    assert item.image.shape == (8, 8, 1)
    assert item.image.dtype == np.uint8
    assert item.caption.startswith("a handwritten ")
    levels = {round(level * 255 / 16) for level in range(17)}
    assert set(np.unique(whole(digits).images)) == levels
    # stratified: every digit is 9 to 11% of the split
    share = np.bincount(whole(digits).labels, minlength=10) / len(digits)
    assert share.min() > 0.09
    assert share.max() < 0.11


def test_digits_splits_are_disjoint_and_complete() -> None:
    everything, parts = Digits("all"), [Digits("train"), Digits("test")]
    stacked = np.concatenate([whole(part).images for part in parts])
    assert sorted(i.tobytes() for i in stacked) == sorted(i.tobytes() for i in whole(everything).images)
    with pytest.raises(UsageError, match="split"):
        Digits("valid")


@pytest.mark.parametrize("augment", [False, True])
def test_a_batch_is_a_function_of_seed_and_step(augment: bool) -> None:
    stream = list(itertools.islice(noisy(augment=augment).batches(), 9))
    for start in (0, 2, 5):  # 3 steps an epoch
        for step, batch in enumerate(itertools.islice(noisy(augment=augment).batches(start), 3), start):
            assert same(batch, stream[step])
    other = noisy(augment=augment, seed=1).at(0)
    assert not same(other, stream[0])


def test_an_epoch_shows_no_item_twice_and_epochs_differ() -> None:
    loader = noisy()
    epochs = [[int(i) for k in range(3) for i in loader.at(3 * epoch + k).index] for epoch in range(2)]
    assert all(len(set(epoch)) == 18 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [int(i) for i in noisy(shuffle=False).at(4).index] == [6, 7, 8, 9, 10, 11]


def test_a_small_set_wraps_around() -> None:
    loader = noisy(dataset=Noisy(4))
    seen = torch.cat([loader.at(step).index for step in range(2)])  # 12 places, 3 epochs of 4
    assert all(sorted(part.tolist()) == [0, 1, 2, 3] for part in seen.split(4))


def test_augmentation_changes_with_the_epoch_and_not_with_the_batch() -> None:
    loader = noisy(augment=True, dataset=Noisy(6), shuffle=False)
    assert not torch.equal(loader.at(0).images, loader.at(1).images)
    halves = noisy(augment=True, dataset=Noisy(6), shuffle=False, batch=3)
    assert torch.equal(loader.at(1).images, torch.cat([halves.at(2).images, halves.at(3).images]))
    assert same(next(loader.once()), next(noisy(dataset=Noisy(6)).once()))  # evaluation sees pictures as they are


@pytest.mark.parametrize("augment", [False, True])
def test_workers_change_nothing(augment: bool) -> None:
    alone, helped = noisy(augment=augment), noisy(augment=augment, workers=2)
    for left, right in itertools.islice(zip(alone.batches(2), helped.batches(2), strict=True), 4):
        assert same(left, right)
        assert left.captions == right.captions
    assert all(same(a, b) for a, b in zip(alone.once(), helped.once(), strict=True))


def test_ranks_share_a_batch() -> None:
    whole = noisy().at(4)
    parts = [noisy(rank=rank, world=3).at(4) for rank in range(3)]
    assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
    seen = [int(i) for rank in range(3) for b in noisy(rank=rank, world=3).once() for i in b.index]
    assert sorted(seen) == list(range(23))


def test_once_shows_everything_in_order() -> None:
    batches = list(once(Noisy(23), 6, (16, 16), 1))
    assert [len(b) for b in batches] == [6, 6, 6, 5]
    assert torch.cat([b.index for b in batches]).tolist() == list(range(23))
    assert batches[3].images.shape == (5, 1, 16, 16)
    assert batches[3].captions[4] == "picture 22"
    assert batches[3].labels.tolist() == [0, 1, 0, 1, 0]


def test_stacks_give_the_same_batches_as_items() -> None:
    fast = Loader(Digits(), 16, (8, 8), 1).at(3)
    slow = torch.stack([to_image(Digits()[int(i)], (8, 8), 1) for i in fast.index])
    assert torch.equal(fast.images, slow)
    assert fast.captions == tuple(Digits()[int(i)].caption for i in fast.index)
    assert Loader(Digits(), 4, (12, 12), 3).at(0).images.shape == (4, 3, 12, 12)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_is_named(workers: int) -> None:
    loader = noisy(dataset=Noisy(8, broken=7), workers=workers, batch=8)
    with pytest.raises(NextsetError, match=r"^photo\.jpg is cut short$"):
        next(loader.batches())


@pytest.mark.parametrize(
    "changes", [{"batch": 0}, {"batch": 6, "world": 4}, {"world": 2, "rank": 2}, {"dataset": Noisy(0)}]
)
def test_wrong_shares_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"batch|rank|dataset"):
        noisy(**changes)


def test_batches_split_and_move() -> None:
    batch = noisy(batch=7).at(0)
    parts = batch.to("cpu").split(3)
    assert [len(p) for p in parts] == [3, 2, 2]
    assert torch.equal(torch.cat([p.images for p in parts]), batch.images)
    assert sum((p.captions for p in parts), ()) == batch.captions
    tokens = Batch(torch.empty(4, 3, 0, 0), batch.labels[:4], ("",) * 4, batch.index[:4], torch.arange(8).view(4, 2))
    assert [p.tokens.tolist() for p in tokens.split(2) if p.tokens is not None] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


# to_image


def picture(height: int, width: int, channels: int = 3) -> Item:
    return Item(np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8))


def test_a_picture_that_fits_is_untouched() -> None:
    item = picture(16, 16)
    image = to_image(item, (16, 16), 3)
    assert image.dtype == torch.float32
    assert torch.equal(((image + 1) * 127.5).round().byte().movedim(0, -1), torch.from_numpy(item.image))


def test_crops_follow_the_evaluation_protocol() -> None:
    item = picture(75, 133)
    # 75 x 133 is halved once by box filter (37 x 66 still covers 16 twice, so again: 18 x 33), then bicubic, then cut
    expected = Image.fromarray(item.image).resize((66, 37), Image.Resampling.BOX).resize((33, 18), Image.Resampling.BOX)
    expected = expected.resize((round(33 * 16 / 18), 16), Image.Resampling.BICUBIC)
    left = (expected.width - 16) // 2
    pixels = np.asarray(expected)[:, left : left + 16]
    found = ((to_image(item, (16, 16), 3) + 1) * 127.5).round().byte().movedim(0, -1)
    assert np.array_equal(found.numpy(), pixels)


@pytest.mark.parametrize("shape", [(20, 90), (90, 20), (5, 7), (64, 64)])
@pytest.mark.parametrize("size", [(16, 16), (16, 24), (24, 16)])
@pytest.mark.parametrize("crop", ["center", "random"])
def test_any_shape_gives_the_size(shape: tuple[int, int], size: tuple[int, int], crop: str) -> None:
    for channels, wanted in ((1, 3), (3, 1), (3, 3), (1, 1)):
        rng = np.random.default_rng(1)
        image = to_image(picture(*shape, channels), size, wanted, crop, True, rng)  # type: ignore[arg-type]
        assert image.shape == (wanted, *size)
        assert image.min() >= -1
        assert image.max() <= 1


def test_flips_mirror_half_of_the_time() -> None:
    item, rng = picture(8, 8), np.random.default_rng(0)
    plain = to_image(item, (8, 8), 3)
    flipped = [torch.equal(to_image(item, (8, 8), 3, "center", True, rng), plain.flip(-1)) for _ in range(200)]
    assert 70 < sum(flipped) < 130  # 200 fair coins stay within 4 standard deviations (28)


def test_grey_is_luma_and_back() -> None:
    red = Item(np.full((4, 4, 3), (255, 0, 0), dtype=np.uint8))
    assert torch.allclose(to_image(red, (4, 4), 1), torch.tensor(76 / 127.5 - 1))  # 0.299 * 255
    grey = to_image(picture(4, 4, 1), (4, 4), 3)
    assert torch.equal(grey[0], grey[2])


@pytest.mark.parametrize(
    ("channels", "crop", "word"), [(4, "center", "channels"), (3, "middle", "crop"), (3, "random", "rng")]
)
def test_wrong_views_are_refused(channels: int, crop: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        to_image(picture(8, 8), (4, 4), channels, crop)  # type: ignore[arg-type]

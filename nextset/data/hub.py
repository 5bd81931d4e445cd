"""Data sets of the Hugging Face hub, through the package `datasets`: "hf:owner/name", or "hf:owner/name:configuration"."""

from __future__ import annotations

from typing import Any

from ..errors import NextsetError, UsageError, need
from .base import Dataset, Item
from .picture import pixels
from .stored import HELD_OUT, HELD_OUT_NAMES, SPLITS

CAPTIONS = ("caption", "text", "prompt", "sentence")


class HubImages(Dataset):
    """The pictures of the first image column; labels of the first class column, captions of the first column in CAPTIONS.

    "test" is the data set's validation or test split; where it has neither, 5% of "train" drawn with seed 0. Raises UsageError
    where the package, the data set or an image column is missing.
    """

    def __init__(self, source: str, split: str = "train") -> None:
        if split not in SPLITS:
            raise UsageError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        name, _, configuration = source.removeprefix("hf:").partition(":")
        self.name = f"{name}:{split}"
        self._rows = _split(need("datasets", "data"), name, configuration or None, split)
        features = self._rows.features
        kinds = {column: type(feature).__name__ for column, feature in features.items()}
        self._image = _column(kinds, "Image")
        if self._image is None:
            raise UsageError(f"data {source!r} has no column of images, only {', '.join(kinds)}")
        self._label = _column(kinds, "ClassLabel")
        self._caption = next((column for column in CAPTIONS if column in kinds), None)
        self.classes = tuple(features[self._label].names) if self._label else ()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Item:
        """Item `index`. Raises NextsetError naming the row where its picture cannot be read."""
        try:
            row = self._rows[index]
            image = pixels(row[self._image])
        except (OSError, ValueError, SyntaxError) as error:
            raise NextsetError(
                f"{self.name}: row {index} cannot be read ({error}); download the data set again"
            ) from error
        label = row[self._label] if self._label else None
        caption = row[self._caption] if self._caption else ""
        # some sets give several captions, of which the first is taken, or leave labels out
        caption = caption[0] if isinstance(caption, list) and caption else caption
        return Item(image, -1 if label is None else int(label), str(caption or ""))


def _column(kinds: dict[str, str], kind: str) -> str | None:
    return next((column for column, name in kinds.items() if name == kind), None)


def _split(datasets: Any, name: str, configuration: str | None, split: str) -> Any:
    try:
        parts = datasets.load_dataset(name, configuration)
    except Exception as error:  # the package raises its own and its transport's errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"data 'hf:{name}' could not be had from the hub: {reason}") from error
    train = parts["train"] if "train" in parts else next(iter(parts.values()))
    test = next((parts[part] for part in HELD_OUT_NAMES if part in parts and parts[part] is not train), None)
    if test is None and len(train) < 2:
        if split == "test":
            raise UsageError(f"data 'hf:{name}' holds {len(train)} pictures, too few to hold some out for 'test'")
        return train
    if test is None:
        divided = train.train_test_split(test_size=HELD_OUT, seed=0)
        train, test = divided["train"], divided["test"]
    return datasets.concatenate_datasets([train, test]) if split == "all" else {"train": train, "test": test}[split]

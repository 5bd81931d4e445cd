"""Weights on disk and on the hub: self-describing folders, and key maps to other layouts.

A folder holds `config.json` (what to build) and `model.safetensors`. Nothing is ever unpickled here.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import NextsetError, UsageError
from .files import save_json, write_atomically

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
VERSION = 1


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file atomically."""
    flat = {key: value.detach().contiguous() for key, value in tensors.items()}
    write_atomically(path, lambda p: save_file(flat, p))


def save_folder(folder: Path, config: dict[str, Any], state: Mapping[str, Tensor], card: str) -> Path:
    """Writes a self-describing folder; the weights first, so a folder with a config is whole."""
    save_tensors(folder / WEIGHTS, state)
    if not (folder / CARD).exists():
        text = f"---\nlibrary_name: nextset\ntags: [autoregressive, image-generation]\n---\n\n```python\n{card}\n```\n"
        write_atomically(folder / CARD, lambda p: p.write_text(text))
    save_json(folder / CONFIG, {"nextset": VERSION, **config})
    return folder


def load_folder(source: str | Path, revision: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a folder, or of a hub repository `owner/name`."""
    folder = find_folder(source, revision)
    return load_config(folder), load_tensors(folder / WEIGHTS)


def load_config(folder: Path) -> dict[str, Any]:
    """What a folder says that it holds. Raises UsageError where it was not saved by nextset, or by a newer one."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        assert isinstance(config, dict)
    except FileNotFoundError as error:
        raise UsageError(f"{folder} has no {CONFIG}, so it is not a folder saved by nextset") from error
    except (ValueError, AssertionError) as error:
        raise NextsetError(f"{folder / CONFIG} is not readable JSON ({error}); save the model again") from error
    if config.get("nextset", 0) > VERSION:
        raise UsageError(f"{folder} was written by a newer nextset (format {config['nextset']}); upgrade nextset")
    return config


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises NextsetError naming a missing or damaged one."""
    if not path.is_file():
        raise NextsetError(f"{path} is missing")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise NextsetError(f"{path} is damaged or cut short ({error}); copy or download it again") from error


def find_folder(source: str | Path, revision: str | None = None) -> Path:
    """The local folder of `source`, downloaded from the hub where it is no folder here."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UsageError(f"{source} is a file; give the folder that save_pretrained wrote")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        raise UsageError(f"{source!r} is neither a folder here nor a hub id of the form owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD]))
    except (HFValidationError, OSError) as error:  # all that the hub itself says is an OSError
        raise UsageError(
            f"{str(source)!r} is no folder here and could not be had from the hub: {_reason(error)}"
        ) from error


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Makes `state` the weights of `module`, which may be on the meta device: specs never make tensors outside its state dict.

    Raises UsageError with a sentence per kind of misfit; nothing is loaded then.
    """
    own = module.state_dict()
    shapes = [
        f"{k} is {tuple(v.shape)}, not {tuple(own[k].shape)}"
        for k, v in state.items()
        if k in own and v.shape != own[k].shape
    ]
    problems = {
        "missing": own.keys() - state.keys(),
        "unexpected": state.keys() - own.keys(),
        "misshapen": shapes,
    }
    said = [f"{len(names)} {kind} ({_few(names)})" for kind, names in problems.items() if names]
    if said:
        raise UsageError(f"{source} does not fit this model: {'; '.join(said)}")
    module.load_state_dict(dict(state), assign=True)


def _few(names: Iterable[str], most: int = 3) -> str:
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def push(save: Callable[[Path], Path], repo: str, private: bool, token: str | None) -> str:
    """Uploads the folder that `save` writes. Raises UsageError for a name that the hub does not take, NextsetError where it refuses."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    api = HfApi(token=token)
    folder = Path(tempfile.mkdtemp())
    try:
        save(folder)
        api.create_repo(repo, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo, folder_path=folder))
    except HFValidationError as error:
        raise UsageError(f"repo must be a hub id of the form owner/name, got {repo!r}") from error
    except OSError as error:
        raise NextsetError(f"the hub did not take {repo} ({_reason(error)}); log in with `hf auth login`") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reason(error: Exception) -> str:
    """The first line of what a library says."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


class Rule(ABC):
    """How one tensor of ours is made of theirs, and back."""

    theirs: tuple[str, ...]
    stacks: bool = False  # whether all numbers of theirs go into one of ours, which has one `{}` less

    @abstractmethod
    def join(self, pieces: list[Tensor]) -> Tensor:
        """Ours of theirs."""

    @abstractmethod
    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """Theirs of ours."""


@dataclass(frozen=True)
class Joined(Rule):
    """One of theirs as it is, or several along the first axis, in equal parts."""

    theirs: tuple[str, ...]

    def join(self, pieces: list[Tensor]) -> Tensor:
        """One after another."""
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """Equal parts."""
        return (whole,) if len(self.theirs) == 1 else whole.chunk(len(self.theirs))


@dataclass(frozen=True)
class Squeezed(Rule):
    """One of theirs has axes of size 1 that ours lacks."""

    name: str
    axes: tuple[int, ...]

    @property
    def theirs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The name."""
        return (self.name,)

    def join(self, pieces: list[Tensor]) -> Tensor:
        """Without these axes."""
        return pieces[0].squeeze(self.axes)

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """With them."""
        for axis in sorted(self.axes):
            whole = whole.unsqueeze(axis)
        return (whole,)


@dataclass(frozen=True)
class Permuted(Rule):
    """Part i along the first axis of ours is part order[i] of theirs."""

    name: str
    order: tuple[int, ...]

    @property
    def theirs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The name."""
        return (self.name,)

    def join(self, pieces: list[Tensor]) -> Tensor:
        """In our order."""
        parts = pieces[0].chunk(len(self.order))
        return torch.cat([parts[i] for i in self.order])

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """In theirs."""
        parts = whole.chunk(len(self.order))
        return (torch.cat([parts[self.order.index(i)] for i in range(len(parts))]),)


@dataclass(frozen=True)
class Stacked(Rule):
    """Row n of ours is the one of theirs with number n, of shape (1, 1, parts, D), its parts in our order and flat."""

    name: str
    order: tuple[int, ...]
    stacks = True

    @property
    def theirs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The name."""
        return (self.name,)

    def join(self, pieces: list[Tensor]) -> Tensor:
        """(depth, parts D)."""
        return torch.stack([piece[0, 0, list(self.order)].flatten() for piece in pieces])

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """One a row."""
        back = [self.order.index(i) for i in range(len(self.order))]
        return [row.unflatten(0, (len(back), -1))[back][None, None] for row in whole]


@dataclass(frozen=True)
class KeyMap:
    """Names of another layout for ours: `{ours: theirs}`, where `{}` stands for one number, in order of appearance.

    Several of theirs under one of ours are joined along the first axis, in equal parts; a `Rule` says what else may differ.
    `made` are theirs that say nothing (masks, zeros): not read, and written as what a function makes of another of theirs.
    """

    names: Mapping[str, str | tuple[str, ...] | Rule]
    made: Mapping[str, tuple[str, Callable[[Tensor], Tensor]]] = field(default_factory=dict)

    def _rules(self) -> Iterator[tuple[str, Rule]]:
        for mine, rule in self.names.items():
            yield mine, rule if isinstance(rule, Rule) else Joined((rule,) if isinstance(rule, str) else rule)

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames a state dict of the other layout. Keys that no rule names are kept under their own name, to be reported."""
        told = {template.format(*numbers) for template in self.made for numbers in _numbers(template, state)}
        left = {key: value for key, value in state.items() if key not in told}
        ours: dict[str, Tensor] = {}
        for mine, rule in self._rules():
            found = sorted(_numbers(rule.theirs[0], state), key=lambda numbers: [int(n) for n in numbers])
            for group in [found] if rule.stacks and found else [[numbers] for numbers in found]:
                keys = [part.format(*numbers) for numbers in group for part in rule.theirs]
                if all(key in left for key in keys):
                    ours[mine if rule.stacks else mine.format(*group[0])] = rule.join([left.pop(key) for key in keys])
        return ours | left

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The way back. Raises UsageError for a key without a rule."""
        theirs: dict[str, Tensor] = {}
        left = dict(state)
        for mine, rule in self._rules():
            for numbers in _numbers(mine, state):
                pieces = rule.cut(left.pop(mine.format(*numbers)))
                if rule.stacks:
                    keys = [rule.theirs[0].format(row) for row in range(len(pieces))]
                else:
                    keys = [part.format(*numbers) for part in rule.theirs]
                theirs |= dict(zip(keys, pieces, strict=True))
        if left:
            raise UsageError(f"no name in the other layout for {_few(left)}")
        for template, (source, make) in self.made.items():
            theirs |= {template.format(*n): make(theirs[source.format(*n)]) for n in _numbers(source, theirs)}
        return theirs


def _numbers(template: str, keys: Iterable[str]) -> list[tuple[str, ...]]:
    pattern = re.compile(re.escape(template).replace(r"\{\}", r"(\d+)"))
    return [match.groups() for match in map(pattern.fullmatch, keys) if match]

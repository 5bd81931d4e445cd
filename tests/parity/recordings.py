"""Recordings of official implementations: where they lie, how tests wait for them, and what every comparison does alike.

A test module says `RECORDED = Recordings("nar")` and `pytestmark = RECORDED.needed`; the fixtures `config` and `io` then open that folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from nextset import Layout, Model
from nextset.family import Arguments, Family, Published
from nextset.keymap import Keys
from nextset.nn.rotary import Rotary
from nextset.noise import Noise
from nextset.orders import Order, Plan
from nextset.system import System
from nextset.weights import load_official

USUAL = Path(__file__).parents[3] / "shared" / "parity"
ROOT = Path(os.environ.get("NEXTSET_PARITY", USUAL))
DROPOUTS = (
    "token_dropout_p",
    "attn_dropout_p",
    "resid_dropout_p",
    "ffn_dropout_p",
    "drop_path_rate",
    "class_dropout_prob",
)
UNDROPPED = dict.fromkeys(DROPOUTS, 0.0)


class Tensors(dict[str, Tensor]):
    """What was recorded, by name. Asking for a tensor that another instance of a family lacks skips the test, and says which.

    The usual recordings have all that tests ask for, so there it is an error, as a misspelt name must be.
    """

    def __missing__(self, name: str) -> Tensor:
        if ROOT.resolve() == USUAL.resolve():
            raise KeyError(name)
        pytest.skip(f"{name} is not recorded")


@dataclass(frozen=True)
class Recordings:
    """One folder below the one that NEXTSET_PARITY names."""

    name: str

    @property
    def folder(self) -> Path:
        return ROOT / self.name

    @property
    def lacking(self) -> str:
        """Why tests cannot run; empty where they can."""
        return "" if self.folder.is_dir() else f"{self.folder} is absent: set NEXTSET_PARITY to the recordings"

    @property
    def needed(self) -> pytest.MarkDecorator:
        """Skips what it marks where the folder is absent."""
        return pytest.mark.skipif(bool(self.lacking), reason=self.lacking)

    def require(self) -> None:
        """Skips the test that asks, a fixture's as well, where the folder is absent."""
        if self.lacking:
            pytest.skip(self.lacking)

    def read(self, name: str) -> Any:
        """A JSON file; empty where there is none, so that modules can be collected without the folder."""
        path = self.folder / name
        return json.loads(path.read_text()) if path.is_file() else {}

    def tensors(self, name: str) -> dict[str, Tensor]:
        """`name`.safetensors; of "io" not every instance has all."""
        found = load_file(self.folder / f"{name}.safetensors")
        return Tensors(found) if name == "io" else found

    def runs(self, pattern: str) -> list[str]:
        """What the group of `pattern` is in the names of recorded tensors, each once; none without the folder."""
        path = self.folder / "io.safetensors"
        if not path.is_file():
            return []
        with safe_open(path, "pt") as file:
            found = [re.fullmatch(pattern, name) for name in file.keys()]  # noqa: SIM118 (no mapping)
        return sorted({match[1] for match in found if match})

    @property
    def published(self) -> dict[str, Any]:
        """What the manifest lists, by name: keys with shapes and dtypes, arguments, and files of published checkpoints."""
        manifest = self.read("published.json")
        return manifest.get("models", manifest)


class Recorder:
    """Notes the logits that it is given; takes the most likely ids, or recorded ones, one call after the other."""

    temperature = 0.0

    def __init__(self, ids: Sequence[Tensor] | None = None) -> None:
        self.seen: list[Tensor] = []
        self.ids = ids

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        self.seen.append(logits)
        return logits.argmax(-1) if self.ids is None else self.ids[len(self.seen) - 1]

    @property
    def logits(self) -> Tensor:
        """Of all calls, (B, N, V), in the order of drawing."""
        return torch.cat(self.seen, 1)


@dataclass(frozen=True)
class Given(Order):
    """A recorded order for all samples, or one for each, in given steps."""

    perm: tuple[int, ...] | tuple[tuple[int, ...], ...]
    steps: tuple[int, ...]

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """As recorded."""
        return self.steps

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """As recorded."""
        return Plan(torch.tensor(self.perm), self.steps)


@contextmanager
def ordered(model: Model, order: Order) -> Iterator[None]:
    """The model draws in another order meanwhile."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model, "system", replace(model.system, order=order))
        yield


COMPARED: list[tuple[str, float, float]] = []  # test, largest error, tolerance: what docs/checkpoints.md sums up


def near(ours: Tensor, theirs: Tensor, tolerance: float = 1e-4) -> None:
    """No value is further away than the tolerance that the recordings' README states; 1e-4 is that of most."""
    if ours.shape == theirs.shape and ours.numel():
        error = float((ours.detach().double() - theirs.double()).nan_to_num(0, 0, 0).abs().max())
        COMPARED.append((os.environ.get("PYTEST_CURRENT_TEST", ""), error, tolerance))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def opened(recorded: Recordings, config: Mapping[str, Any], *roles: str) -> Model:
    """The recorded weights through the door that users take; recorded calls have every dropout of the Llama kin at 0."""
    files = {role: recorded.folder / f"weights_{role}.safetensors" for role in roles}
    model = load_official(recorded.name, files or recorded.folder / "weights.safetensors", {**config, **UNDROPPED})
    assert isinstance(model, Model)
    return model


def arguments(entry: Mapping[str, Any], config: Mapping[str, Any]) -> Arguments:
    """What a published file's shapes say, and arguments of its constructor."""
    shapes = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    return Arguments("the manifest", shapes, config)


def assert_read(
    family: Family,
    entry: Mapping[str, Any],
    config: Mapping[str, Any],
    size: System,
    drawn: Collection[str] = ("guidance", "pick"),
) -> None:
    """A published file's shapes, with its constructor's arguments, make the catalogue's size, but for how it is `drawn` by default."""
    found = family.read(arguments(entry, config), size.tokenizer)
    assert replace(found, **{part: getattr(size, part) for part in drawn}) == size


def size_of(published: Mapping[str, Published], entry: Mapping[str, Any]) -> str:
    """The one size whose file a manifest's entry is."""
    (size,) = (size for size, found in published.items() if found.network.split(":")[-1] in entry["checkpoint_files"])
    return size


def assert_files(published: Mapping[str, Published], entries: Collection[Mapping[str, Any]]) -> None:
    """The files of the generators are those that the manifest names, in the repositories that it names; skipped without one."""
    if not entries:
        pytest.skip("no manifest in the recordings")
    named = {
        f"{re.sub('^huggingface ', '', entry['checkpoint_repo'])}:{file}"
        for entry in entries
        for file in entry["checkpoint_files"]
    }
    assert {found.network for found in published.values()} == named


def decimal(digits: str) -> float:
    """The number in a name that has no room for a point: "07" is 0.7."""
    return float(f"{digits[0]}.{digits[1:]}")


def turns(rotary: Rotary, site: Tensor) -> Tensor:
    """Rows of an official table of rotary positions for slots at `site` (L,), -1 for none: (L, pairs of channels, cosine and sine)."""
    return torch.view_as_real(rotary(site))


def numbers(constructor: str) -> dict[str, int]:
    """The whole numbers among the keyword arguments of an official constructor's call."""
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)\b(?!\.)", constructor)}


def listed(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Shape and dtype of every key, as manifests write them."""
    return {key: [list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in state.items()}


def assert_published(
    build: Callable[[], nn.Module], keys: Keys, published: Mapping[str, Any], made: Collection[str] = ()
) -> nn.Module:
    """A module's keys, shapes and dtypes under official names are those published, and those published are the module's under ours.

    Nothing is allocated. `made` are published keys that follow from the sizes and are not given back. The module, on the meta device.
    """
    with torch.device("meta"):
        module = build()
        state = module.state_dict()
        theirs = keys.to_theirs(state)
        files = {key: torch.empty(shape, dtype=getattr(torch, kind)) for key, (shape, kind) in published.items()}
        ours = keys.to_ours(files)
    assert listed(theirs) == {key: value for key, value in published.items() if key not in made}
    assert listed(ours) == listed(state)
    return module

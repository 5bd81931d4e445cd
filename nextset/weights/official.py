"""Files in the official layouts, made models of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..blueprint import blueprints
from ..checkpoints import read_checkpoint
from ..errors import NextsetError, UsageError, nearest
from ..family import Arguments, Coder, Family, Shape, basename
from ..folders import few, load_exactly
from ..keymap import Keys
from ..model import Model
from ..system import System
from ..tokenizers.absent import stand_in
from ..tokenizers.base import Tokenizer, TokenizerModule
from .families import Named, blueprint, named

State = Mapping[str, Tensor]
Files = str | Path | Mapping[str, str | Path]
ROLES = ("network", "tokenizer")


def load_official(name: str, files: Files, config: Mapping[str, Any] | None = None) -> Model | TokenizerModule:
    """The model of weights in the official layout, in evaluation mode on the CPU; a tokenizer where only that is given.

    `name` is a family ("llamagen", "var", "vq", ...), with "/size" where its size is known. `files` is the path of the generator (or of a
    tokenizer's family the tokenizer), or {"network": path, "tokenizer": path}. Without a size, a published one of the same file name
    or shapes is taken; else sizes come from the shapes, and `config`, official constructor arguments by name (flat or
    nested, or one mapping for each of "network" and "tokenizer"), says what those do not show. A generator without its tokenizer works on
    tokens alone. Raises UsageError for what does not fit, asking for what is missing by name, NextsetError for damaged files.
    """
    of, states, configs = _opened(name, files, config)
    if isinstance(of.family, Family) and "network" in states:
        return _model(of, of.family, states, configs)
    return _tokenizer(of, states["tokenizer"], configs["tokenizer"])[1]


def load_official_tokenizer(
    name: str, files: Files, config: Mapping[str, Any] | None = None
) -> tuple[Tokenizer, TokenizerModule]:
    """The tokenizer alone, with its spec; as `load_official` otherwise."""
    of, states, configs = _opened(name, files, config)
    if "tokenizer" not in states:
        raise UsageError(f"files: {', '.join(found.source for found in states.values())} holds no tokenizer")
    return _tokenizer(of, states["tokenizer"], configs["tokenizer"])


def _opened(
    name: str, files: Files, config: Mapping[str, Any] | None
) -> tuple[Named, dict[str, Found], dict[str, Mapping[str, Any]]]:
    of = named(name)
    if of.size and config:
        raise UsageError(f"{name!r} names a size, which says all that config could; give one of the two")
    states = _read(of, files)
    return of, states, _configs(config, states)


@dataclass(frozen=True)
class Found:
    """A state dict in the official layout, and where it was."""

    source: str
    state: State
    role: str = ""  # of one file among several

    def arguments(self, config: Mapping[str, Any]) -> Arguments:
        """What shapes and config say."""
        return Arguments(self.source, shapes(self.state), config, self.role)

    def misfit(self, own: State, keys: Keys) -> str:
        """Why these are not the tensors of a module whose state dict is `own`, in official names; empty where they are. Computes nothing."""
        with torch.device("meta"):
            expected = shapes(keys.to_theirs({key: torch.empty_like(value) for key, value in own.items()}))
            mine = {key: torch.empty(value.shape) for key, value in self.state.items()}
            try:
                mapped = keys.to_ours(mine)
            except (RuntimeError, ValueError, IndexError):  # tensors that belong together do not fit each other
                mapped = {}
        if shapes(mapped) == shapes(own):
            return ""
        there = shapes(self.state)
        problems = {
            "missing": expected.keys() - there.keys() if mapped else (),
            "unexpected": [key for key in mapped if key in there and key not in own]
            if mapped
            else there.keys() - expected.keys(),
            "misshapen": [
                f"{k} is {v}, not {expected[k]}" for k, v in there.items() if k in expected and v != expected[k]
            ],
        }
        said = [f"{len(names)} {kind} ({few(names)})" for kind, names in problems.items() if names]
        return "; ".join(said) or f"its tensors make {few(mapped.keys() ^ own.keys())}"

    def fill(self, module: nn.Module, keys: Keys) -> None:
        """Makes these the weights of a module on the meta device. Raises UsageError where they are not; nothing is loaded then."""
        own = module.state_dict()
        misfit = self.misfit(own, keys)
        if misfit:
            raise UsageError(f"{self.source} does not fit: {misfit}")
        ours = keys.to_ours(self.state)
        if not all(bool(value.isfinite().all()) for value in ours.values()):
            broken = few(key for key, value in self.state.items() if not value.isfinite().all())
            raise NextsetError(
                f"{self.source}: {broken} holds NaN or infinity; the file is damaged, or its training went astray"
            )
        load_exactly(module, {key: value.to(own[key].dtype) for key, value in ours.items()}, self.source)


def shapes(state: State) -> dict[str, Shape]:
    """Of all tensors."""
    return {key: tuple(value.shape) for key, value in state.items()}


def _fits(found: Found, spec: System | Tokenizer, family: Family | Coder) -> bool:
    return not found.misfit(blueprint(spec), family.keys(spec))


def _read(of: Named, files: Files) -> dict[str, Found]:
    """The state dicts by role."""
    roles = ("tokenizer",) if isinstance(of.family, Coder) else ROLES
    paths = dict(files) if isinstance(files, Mapping) else {roles[0]: files}
    for role in paths:
        if role not in roles:
            raise UsageError(f"files: {of.name} has no {role!r}{nearest(role, roles)}")
    if not paths:
        raise UsageError("files is empty; give the path of a checkpoint")
    several = len(paths) > 1
    found = {r: Found(str(path), read_checkpoint(path, r), r if several else "") for r, path in paths.items()}
    inside = of.family.inside if isinstance(of.family, Family) else {}
    whole = found.get("network")
    if whole is None or not inside or not any(key.startswith(inside["network"]) for key in whole.state):
        return found
    parts = {role: Found(whole.source, _below(prefix, whole.state)) for role, prefix in inside.items()}
    return {role: part for role, part in parts.items() if part.state} | {
        r: f for r, f in found.items() if r != "network"
    }


def _below(prefix: str, state: State) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _configs(config: Mapping[str, Any] | None, states: Mapping[str, Found]) -> dict[str, Mapping[str, Any]]:
    """Each role's own; a flat one is the generator's, or the tokenizer's where there is no generator."""
    config = config or {}
    if config and config.keys() <= set(ROLES):
        return {role: config.get(role) or {} for role in ROLES}
    only = "network" if "network" in states else "tokenizer"
    return {role: config if role == only else {} for role in ROLES}


def _model(of: Named, family: Family, states: Mapping[str, Found], configs: Mapping[str, Mapping[str, Any]]) -> Model:
    network, given = states["network"], states.get("tokenizer")
    system = None if configs["network"] else _published(of, network)
    tokenizer = _tokenizer_for(of, family, system, given, configs["tokenizer"])
    if system is None:
        system = family.read(network.arguments(configs["network"]), tokenizer)
    elif tokenizer is None:
        system = replace(system, tokenizer=_stand_in(system))
    elif tokenizer != system.tokenizer:
        raise UsageError(
            f"{given.source if given else tokenizer} does not belong to {network.source}: it is {tokenizer}, "
            f"and that was trained on {system.tokenizer}"
        )
    with blueprints():
        model = Model(system)
    network.fill(model.network, family.keys(system))
    if given:
        assert family.coder is not None
        given.fill(model.tokenizer, family.coder.keys(system.tokenizer))
    return model.eval()


def _published(of: Named, found: Found) -> System | None:
    """The size that was asked for; else a published one of this file's name and shapes, or of its shapes alone.

    Raises UsageError where several are, and differ.
    """
    assert isinstance(of.family, Family)
    if of.size:
        spec = of.spec(of.size)
        assert isinstance(spec, System)
        return spec
    sizes = [size for size, spec in of.sizes.items() if _fits(found, spec, of.family)]
    same = [size for size in sizes if basename(of.family.published[size].network) == Path(found.source).name]
    sizes = same if len(same) == 1 else sizes
    if len({of.spec(size) for size in sizes}) > 1:
        raise UsageError(
            f"{found.source} fits the sizes {', '.join(sizes)} alike; name one, such as {of.name}/{sizes[0]}, or pass config"
        )
    found_spec = of.spec(sizes[0]) if sizes else None
    assert found_spec is None or isinstance(found_spec, System)
    return found_spec


def _tokenizer_for(
    of: Named, family: Family, system: System | None, given: Found | None, config: Mapping[str, Any]
) -> Tokenizer | None:
    """What the generator gets; None where it can do without and none is given."""
    if given is None:
        if not family.alone:
            raise UsageError(
                f"{of.name} computes with the code vectors of its tokenizer; give both: files={{'network': ..., 'tokenizer': ...}}"
            )
        return None
    if family.coder is None:
        raise UsageError(f"files: the tokenizer of {of.name} has no official layout here; leave it out")
    if system is not None and not config and _fits(given, system.tokenizer, family.coder):
        return system.tokenizer
    return _coded(of, family.coder, given, config)


def _coded(of: Named, coder: Coder, given: Found, config: Mapping[str, Any]) -> Tokenizer:
    """The spec of a tokenizer's file: of a published size, or as it reads."""
    if not config:
        fitting = dict.fromkeys(spec for spec in _tokenizers(of, coder) if _fits(given, spec, coder))
        if len(fitting) == 1:
            return next(iter(fitting))
    return coder.read(given.arguments(config))


def _tokenizers(of: Named, coder: Coder) -> list[Tokenizer]:
    """Those that were published, alone or with generators."""
    with_generators = [spec.tokenizer for spec in of.sizes.values() if isinstance(spec, System)]
    return [*coder.sizes.values(), *with_generators]


def _tokenizer(of: Named, given: Found, config: Mapping[str, Any]) -> tuple[Tokenizer, TokenizerModule]:
    """The tokenizer of a file."""
    coder = of.family if isinstance(of.family, Coder) else of.family.coder
    if coder is None:
        raise UsageError(f"files: the tokenizer of {of.name} has no official layout here; leave it out")
    if of.size:
        spec = of.spec(of.size)
        spec = spec.tokenizer if isinstance(spec, System) else spec
    else:
        spec = _coded(of, coder, given, config)
    with blueprints():
        module = spec.build()
    given.fill(module, coder.keys(spec))
    return spec, module.eval().requires_grad_(False)


def _stand_in(system: System) -> Tokenizer:
    """For a generator whose tokenizer is not at hand: as many sites, of the same alphabet."""
    unit, layout = system.tokenizer.unit, system.layout
    one = len(layout.shape) == 1
    return stand_in(unit, line=layout.sites) if one else stand_in(unit, system.size[0] // layout.shape[0])

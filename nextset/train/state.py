"""The state that a run resumes from: one safetensors file, replaced atomically, no pickle.

It holds every phase's weights, their average, and the optimiser's moments; step and recipe are in the header. Gathering is
collective, so every process calls `gather`; only the main one writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from ..errors import NextsetError, UsageError
from ..files import write_atomically
from .average import Average

FILE = "state.safetensors"
OPTIONS = StateDictOptions(full_state_dict=True, cpu_offload=True)


def whole(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the full state dict on the CPU, gathered from shards where there are any."""
    found = get_model_state_dict(module, options=OPTIONS)
    return {key: value.detach().clone() for key, value in found.items() if isinstance(value, Tensor)}


def gather(module: nn.Module, optimizer: Optimizer, average: Average | None) -> dict[str, Tensor]:
    """Everything of one phase as a flat dict: "model/...", "average/..." and the optimiser's "moments/<name>/...".

    The optimiser's settings are not kept: they follow from the recipe.
    """
    state = {f"model/{k}": v for k, v in whole(module).items()}
    moments: Any = get_optimizer_state_dict(module, optimizer, options=OPTIONS).get(
        "state", {}
    )  # only the first process has it
    state |= {f"moments/{name}/{k}": v for k, named in moments.items() for name, v in named.items()}
    if average is not None:
        with average.in_place():
            state |= {f"average/{k}": v for k, v in whole(module).items()}
    return state


def restore(module: nn.Module, optimizer: Optimizer, average: Average | None, state: dict[str, Tensor]) -> None:
    """The inverse of `gather`."""
    if average is not None:
        set_model_state_dict(module, _part(state, "average/"), options=OPTIONS)
        average.take()
    set_model_state_dict(module, _part(state, "model/"), options=OPTIONS)
    settings = get_optimizer_state_dict(module, optimizer)["param_groups"]
    moments: dict[str, Any] = {}
    for key, value in _part(state, "moments/").items():
        name, _, parameter = key.partition("/")
        moments.setdefault(parameter, {})[name] = value
    set_optimizer_state_dict(module, optimizer, {"state": moments, "param_groups": settings}, options=OPTIONS)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def write(folder: Path, phases: dict[str, dict[str, Tensor]], header: dict[str, Any]) -> None:
    """Writes the state of all phases with its header."""
    flat = {f"{name}/{key}": value.contiguous() for name, state in phases.items() for key, value in state.items()}
    write_atomically(folder / FILE, lambda path: save_file(flat, path, {"header": json.dumps(header)}))


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(flat state, header). Raises UsageError where there is no state, NextsetError where it is damaged."""
    path = folder / FILE
    if not path.is_file():
        raise UsageError(f"resume: {folder} has no {FILE}; start without --resume, or give the folder of a run")
    try:
        with safe_open(path, "pt") as file:
            flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            return flat, json.loads(file.metadata()["header"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise NextsetError(
            f"{path} is damaged ({error}); the model beside it may still load, but the run cannot resume"
        ) from error


def of_phase(flat: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The part of `read`'s state that belongs to a phase."""
    return _part(flat, f"{name}/")

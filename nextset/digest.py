"""Hashes of weights: what results, caches and sampling jobs know a module by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn


class Described(Protocol):
    """Anything with a description as JSON, such as a spec."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of all weights and buffers, by name; the same on every device."""
    return tensors_hash(module.state_dict())


def tensors_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of named tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fingerprint(module: nn.Module, spec: Described) -> str:
    """SHA-256 of a module's spec and weights."""
    described = json.dumps(spec.to_dict(), sort_keys=True)
    return hashlib.sha256(f"{described} {weights_hash(module)}".encode()).hexdigest()

"""Constants of a frozen TensorFlow graph, read without TensorFlow: enough of protocol buffers to find them.

GraphDef.node = 1; NodeDef: name = 1, op = 2, attr = 5, a map (key = 1, value = 2); AttrValue.tensor = 8; TensorProto: dtype = 1
(1: float32), tensor_shape = 2 (dim = 2, size = 1), tensor_content = 4, float_val = 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import NextsetError, UsageError

FLOAT = 1
Field = tuple[int, int | memoryview]


def constants(path: Path) -> dict[str, Tensor]:
    """The float32 constants of the graph in `path`, by name. Raises NextsetError where it is cut short or no graph."""
    try:
        nodes = [value for number, value in _fields(memoryview(path.read_bytes())) if number == 1]
        found = dict(filter(None, (_constant(node) for node in nodes if isinstance(node, memoryview))))
    except (IndexError, ValueError, UnicodeDecodeError, OSError) as error:
        raise NextsetError(
            f"{path} is damaged, cut short or no TensorFlow graph ({error}); download it again"
        ) from error
    if not found:
        raise UsageError(f"{path} is a graph without weights; give classify_image_graph_def.pb as published")
    return found


def _fields(data: memoryview) -> Iterator[Field]:
    """(number, value) of the fields of a message: whole numbers, or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"field of kind {kind}")
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, at = _varint(data, at)
        if at + length > len(data):
            raise ValueError("a field is longer than the file")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _message(data: memoryview, number: int) -> Iterator[memoryview]:
    return (value for key, value in _fields(data) if key == number and isinstance(value, memoryview))


def _constant(node: memoryview) -> tuple[str, Tensor] | None:
    if next((bytes(op) for op in _message(node, 2)), b"") != b"Const":
        return None
    name = bytes(next(_message(node, 1), b"")).decode()
    for entry in _message(node, 5):
        if bytes(next(_message(entry, 1), b"")) == b"value":
            for tensor in _message(next(_message(entry, 2), memoryview(b"")), 8):
                found = _tensor(tensor)
                return None if found is None else (name, found)
    return None


def _tensor(data: memoryview) -> Tensor | None:
    if next((value for number, value in _fields(data) if number == 1), 0) != FLOAT:
        return None
    dims = [dim for shape in _message(data, 2) for dim in _message(shape, 2)]
    sizes = [next((int(v) for n, v in _fields(dim) if n == 1 and isinstance(v, int)), 0) for dim in dims]
    content = b"".join(bytes(part) for part in (*_message(data, 4), *_message(data, 5)))
    values = np.frombuffer(content, "<f4")
    if values.size == 1:  # one value stands for all
        values = np.full(sizes, values[0], np.float32)
    return torch.from_numpy(values.reshape(sizes).copy())

"""The machine: its facts, how fast it reads memory and multiplies matrices, and the least time that some work takes on it."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from nextset.inference import packing
from nextset.nn.packed import Int8Linear, has_fbgemm

from .rounds import timed

BUFFER = 1 << 26  # floats: 256 MB, far more than caches hold
SIDE = 2048  # of the matrices
TRIES = 7


@dataclass(frozen=True)
class Limit:
    """The least `seconds`, and what they are spent on: "memory" or "arithmetic"."""

    seconds: float
    bound: str


@dataclass(frozen=True)
class Machine:
    """Facts, bytes read per second, and multiply-adds per second in float32 and in what models for inference multiply, all measured
    with the threads in use."""

    cpu: str
    cores: int
    threads: int
    torch: str
    bytes_per_second: float
    multiply_adds_per_second: float
    bfloat16_per_second: float
    int8_per_second: float

    @staticmethod
    def measured() -> Machine:
        """This one."""
        rates = (_bytes_per_second(), *_multiply_adds_per_second())
        return Machine(_cpu(), os.cpu_count() or 1, torch.get_num_threads(), torch.__version__, *rates)

    def limit(self, read: float, multiply_adds: float, variant: str = "float32") -> Limit:
        """The least time for work that reads so many bytes and multiplies so often, each at the measured rate and at once."""
        # float16 is widened to be multiplied
        rates = {"bfloat16": self.bfloat16_per_second, "int8": self.int8_per_second}
        memory = read / self.bytes_per_second
        arithmetic = multiply_adds / rates.get(variant, self.multiply_adds_per_second)
        return Limit(memory, "memory") if memory > arithmetic else Limit(arithmetic, "arithmetic")

    def __str__(self) -> str:
        """The facts in a line."""
        facts = f"{self.cpu}, {self.cores} cores, {self.threads} threads, torch {self.torch}"
        return (
            f"{facts}; reads {self.bytes_per_second / 1e9:.1f} GB/s, "
            f"{self.multiply_adds_per_second / 1e9:.0f} billion multiply-adds/s in float32, {self.bfloat16_per_second / 1e9:.0f} in bfloat16, "
            f"{self.int8_per_second / 1e9:.0f} in int8"
        )


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _best(run: Callable[[], object]) -> float:
    run()
    return min(timed(run)() for _ in range(TRIES))


def _bytes_per_second() -> float:
    """The best of reading by a sum, reading by a product, and copying, which also writes."""
    source, target = torch.ones(BUFFER), torch.ones(BUFFER)
    seconds = min(_best(source.sum), _best(lambda: source.dot(target)) / 2, _best(lambda: target.copy_(source)) / 2)
    return source.nbytes / seconds


def _multiply_adds_per_second() -> tuple[float, float, float]:
    """Of one large product of matrices: in float32, and as layers of models for inference do it with bfloat16 and with int8."""
    left, right, out = (torch.randn(SIDE, SIDE) for _ in range(3))
    seconds = narrow = whole = _best(functools.partial(torch.mm, left, right, out=out))
    with torch.inference_mode():
        if (layer := packing("bfloat16")) is not None:
            narrow = _best(functools.partial(layer(right, None), left))
        if has_fbgemm():
            whole = _best(functools.partial(Int8Linear(right, None), left))
    return SIDE**3 / seconds, SIDE**3 / narrow, SIDE**3 / whole

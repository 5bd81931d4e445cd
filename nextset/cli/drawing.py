"""The options that all commands that draw share, and the model that they load."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..conditions import Label, Words
from ..decode import Guidance, Pick
from ..decode.guidance import guidance
from ..errors import UsageError
from ..mixers import EXACT, keeping_of
from ..model import Model
from ..sampling.share import ALONE, Share
from ..system import System
from . import command


@dataclass(frozen=True)
class Drawing:
    """How pictures are drawn. What is not given is the checkpoint's own default."""

    seed: int = 0
    """Decides every random number: the same seed, the same pictures."""
    batch: int = 32
    """Pictures drawn at once; does not change them."""
    guidance: float | None = None
    """Scale s of classifier-free guidance u + s (c - u); 1: none."""
    schedule: Literal["constant", "linear", "power-cosine"] | None = None
    """Course of the guidance over the steps; constant unless given."""
    temperature: float | None = None
    """Of the distribution of a token; 0: always the most likely."""
    top_k: int | None = None
    """Draw from the k most likely tokens only; 0: all."""
    top_p: float | None = None
    """Draw from the likeliest tokens of this probability together only; 1: all."""
    steps: int | None = None
    """Steps to draw in, where the order can be drawn in fewer or more."""
    size: tuple[int, int] | None = None
    """Height and width of the pictures, where the weights allow others than they were trained on."""
    device: str = "auto"
    """auto (the first CUDA device, else the CPU), cpu, cuda, cuda:1, mps."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the network's weights, and where the device multiplies bfloat16 itself of everything."""
    quantize: Literal["int8"] | None = None
    """Linear layers in whole numbers of 8 bits: the fastest on CPUs, and a little less exact."""
    cache: str = "exact"
    """How attention keeps the past: exact, bfloat16, float16, int8, or window:S+F for the last S slots and the first F."""
    compile: bool = False
    """Compile what torch.compile can; the first pictures wait for that."""

    def check(self) -> None:
        """Raises UsageError for options that no checkpoint can take."""
        if self.batch < 1:
            raise UsageError(f"batch must be at least 1, got {self.batch}")
        if self.schedule and self.guidance is None:
            raise UsageError(f"schedule {self.schedule} needs a scale: give --guidance as well")
        if self.guidance is not None:
            guidance(self.guidance)
        Pick(**self.picks)
        try:
            keeping_of(self.cache)
        except UsageError as error:
            raise UsageError(f"cache: {error}") from error

    @property
    def picks(self) -> dict[str, Any]:
        """The fields of `Pick` that are given."""
        fields = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return {name: value for name, value in fields.items() if value is not None}

    def guidance_of(self, system: System) -> Guidance:
        """What is given, else the system's own. Raises UsageError for guidance of a model that is told nothing."""
        if self.guidance is None:
            return system.guidance
        if self.guidance != 1 and told(system) == "nothing":
            raise UsageError(f"guidance {self.guidance:g} needs a condition, and this model has none; leave it out")
        return guidance(self.guidance, self.schedule or "constant")

    def pick_of(self, system: System) -> Pick:
        """What is given, else the system's own."""
        return dataclasses.replace(system.pick, **self.picks)

    def changed(self, model: Model) -> Model:
        """The model with the size and the steps that are given. Raises UsageError where its weights or its order allow no others."""
        system = model.system
        if self.steps is not None:
            if not any(f.name == "steps" for f in dataclasses.fields(system.order)):
                raise UsageError(f"steps: the order {system.order} of this model has no steps to choose")
            system = dataclasses.replace(system, order=dataclasses.replace(system.order, steps=self.steps))  # type: ignore[call-arg]
        if self.size is not None:
            system = system.sized(self.size)
        return model if system == model.system else model.under(system)

    @property
    def arithmetic(self) -> str:
        """What decides how numbers are rounded, in a word or two."""
        kept = [] if keeping_of(self.cache) == EXACT else [f"cache {self.cache}"]
        return " ".join([self.dtype, *([self.quantize] if self.quantize else []), *kept])

    def place(self, model: Model, share: Share = ALONE) -> Model:
        """The model for inference on its device; of several processes on one machine each takes the next CUDA device."""
        placed = model.to(command.device(self.device, share))
        keeping = keeping_of(self.cache)
        return placed.for_inference(dtype=self.dtype, quantize=self.quantize, compile=self.compile, keeping=keeping)


def told(system: System) -> Literal["nothing", "label", "caption"]:
    """What the condition of a system uses. Raises UsageError where that is nothing that a data set or a command can say."""
    try:
        used = system.condition.of(torch.zeros(1, dtype=torch.int64), ["a picture"])
    except UsageError as error:
        raise UsageError(f"this model is told {system.condition}; draw with Model.generate in Python") from error
    if used is None:
        return "nothing"
    return "label" if isinstance(used, torch.Tensor) else "caption"


def classes(system: System) -> int:
    """How many classes the model knows; 0 where it is told nothing, or captions."""
    if told(system) != "label":
        return 0
    if isinstance(system.condition, Words):
        return system.condition.vocab
    if not isinstance(system.condition, Label):
        raise UsageError(
            f"this model is told {system.condition}, which has no classes; draw with Model.generate in Python"
        )
    return system.condition.classes

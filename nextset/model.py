"""The model that a system builds: what users call, on images.

Legend: B batch, C channels, H height, W width. Images are float (B, C, H, W) in [-1, 1].
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from . import folders
from .blueprint import blueprints
from .conditions import Conditioning
from .decode import Guidance, decode, unmask
from .decode.guidance import guidance as as_guidance
from .decode.loop import Clamp
from .errors import UsageError
from .heads.base import Picker
from .inference import Inference, sharing
from .layout import Tokens, blank
from .mixers import EXACT, Keeping
from .noise import Noise
from .orders import Adaptive
from .partial import Partial
from .system import System
from .tokenizers.absent import missing
from .tokenizers.base import TokenizerModule


class Model(nn.Module):
    """A network and its tokenizer. The tokenizer is frozen: `nextset train-tokenizer` trains it beforehand.

    A model `for_inference` says so in `inference`; it draws and scores, and can do nothing else.
    """

    inference: Inference | None = None

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system
        self.about: Mapping[str, Any] = {}  # where official weights came from, saved along with them
        self.tokenizer = system.tokenizer.build().eval().requires_grad_(False)
        self.painter: TokenizerModule | None = None  # decodes in place of the tokenizer, in models for inference
        self.network = system.network(self.tokenizer)

    def train(self, mode: bool = True) -> Self:
        """Training mode of the network; the tokenizer stays as it is. Raises UsageError for a model for inference."""
        if mode:
            self._whole("train")
        super().train(mode)
        self.tokenizer.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    # -- images and tokens

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """Tokens of images (B, C, H, W) in [-1, 1]."""
        return self.tokenizer.encode(self._checked(images))

    @torch.no_grad()
    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] of tokens."""
        painter = self.painter or self.tokenizer
        return painter.decode(tokens).to(torch.float32).clamp(-1, 1)

    def loss(
        self, images: Tensor | Tokens, condition: Any = None, seed: int = 0, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """What training minimises, under "loss". `seed` draws the order, where it is random.

        `progress` in [0, 1] is how far the training is, for systems whose order or objective changes on the way. An objective that
        has a say in how pictures are encoded has it in training mode, and on images alone.
        """
        tokens = self._tokens(images) if isinstance(images, Tokens) else self._practised(images, seed)
        return self.network(tokens.data, self._prepared(condition, len(tokens)), seed, progress, tokens.layout)

    def _practised(self, images: Tensor, seed: int) -> Tokens:
        images, layout = self._checked(images).to(self.device), self.network.practised(seed)
        if self.training and self.system.objective.pictures:
            return self.system.objective.practised(self.tokenizer, images, layout, seed)
        return self.tokenizer.encode_on(images, layout)

    @torch.inference_mode()
    def log_prob(self, images: Tensor | Tokens, condition: Any = None, seed: int = 0, first: int = 0) -> Tensor:
        """Exact ln p(tokens of each image | condition) in nats, (B,); of the images themselves where tokens are pixels.

        For a random order it is that of the order drawn from (seed, first + i) for image i, and so a bound of the model's own.
        Raises UsageError where the head has no tractable density.
        """
        self.eval()
        tokens = self._tokens(images)
        return self.network.site_log_probs(tokens, self._prepared(condition, len(tokens)), seed, first).sum(1)

    # -- drawing

    def generate(
        self,
        condition: Any = None,
        *,
        count: int | None = None,
        seed: int = 0,
        first: int = 0,
        guidance: float | Guidance | None = None,
        pick: Picker | None = None,
        negative: Any = None,
    ) -> Tensor:
        """New images (B, C, H, W), one per condition (or `count` for one condition).

        Sample i draws from the stream (seed, first + i), so it is the same picture whatever else is in the batch. `guidance`
        s means u + s (c - u); where it or `pick` is not given, the system's own default holds. `negative` is what to guide away
        from, u: another condition (one for all, or one a sample) in the place of none.
        """
        if not self.system.tokenizer.paints:
            raise missing()
        drawn = self.stream(
            condition, count=count, seed=seed, first=first, guidance=guidance, pick=pick, negative=negative
        )
        return _last(drawn)

    def stream(
        self,
        condition: Any = None,
        *,
        count: int | None = None,
        seed: int = 0,
        first: int = 0,
        guidance: float | Guidance | None = None,
        pick: Picker | None = None,
        negative: Any = None,
    ) -> Iterator[Partial]:
        """As `generate`, but yields what is known after every step; the tensors inside are reused by the next step."""
        prepared = self._prepared(condition, count)
        noise = Noise(seed, range(first, first + len(prepared)), self.device)
        return self._run(prepared, self._negative(negative, len(prepared)), noise, guidance, pick)

    def edit(
        self,
        images: Tensor,
        mask: Tensor,
        condition: Any = None,
        *,
        seed: int = 0,
        first: int = 0,
        guidance: float | Guidance | None = None,
        pick: Picker | None = None,
        negative: Any = None,
    ) -> Tensor:
        """Redraws the part of `images` (B, C, H, W) where `mask` (H, W) or (B, H, W) is true; the rest is kept exactly.

        Tokens that the mask does not touch are given, in whatever order they come. A token drawn before a given one cannot
        know it; where that happens (a raster order and a mask that is not its tail) a warning says so.
        """
        images = self._checked(images)
        region = self._checked_mask(mask, len(images)).to(self.device)
        prepared = self._prepared(condition, len(images))
        noise = Noise(seed, range(first, first + len(images)), self.device)
        kept = self.system.order.kept(self.system.layout, region)
        clamp = Clamp(kept, self.encode(images.to(self.device)).data)
        against = self._negative(negative, len(prepared))
        drawn = _last(self._run(prepared, against, noise, guidance, pick, clamp))
        return torch.where(region[:, None], drawn, images.to(drawn))

    def outpaint(
        self,
        images: Tensor,
        margins: tuple[int, int, int, int],
        condition: Any = None,
        *,
        seed: int = 0,
        first: int = 0,
        guidance: float | Guidance | None = None,
        pick: Picker | None = None,
        negative: Any = None,
    ) -> Tensor:
        """`images` (B, C, H, W) continued by `margins` (top, bottom, left, right) pixels, (B, C, H', W'); they are kept exactly.

        The enlarged picture is drawn by the same weights; see `under` for which systems allow that.
        """
        images = self._checked(images)
        top, bottom, left, right = margins
        if min(margins) < 0 or not any(margins):
            raise UsageError(f"margins must be pixels to add, (top, bottom, left, right), not all 0, got {margins}")
        height, width = self.system.size
        larger = self.under(self.system.sized((height + top + bottom, width + left + right)))
        around = (left, right, top, bottom)
        mask = nn.functional.pad(torch.zeros(height, width, dtype=torch.bool), around, value=True)
        canvas = nn.functional.pad(images, around)
        return larger.edit(
            canvas, mask, condition, seed=seed, first=first, guidance=guidance, pick=pick, negative=negative
        )

    def under(self, system: System) -> Model:
        """These weights (shared, not copied) as a model of another system: another size, order or number of steps, other sides.

        Raises UsageError where the weights do not fit it, as tables of positions do not fit another number of sites.
        """
        self._whole("under")
        with blueprints():
            model = Model(system)
        try:
            folders.load_exactly(model, self.state_dict(), "the model")
        except UsageError as error:
            misfits = str(error).partition(": ")[2]
            raise UsageError(
                f"the weights do not fit another system ({self.system.changes(system)}): {misfits}; "
                "learned positions belong to one size"
            ) from error
        return model.train(self.training)

    def _run(
        self,
        prepared: Tensor,
        against: Tensor | None,
        noise: Noise,
        guidance: float | Guidance | None,
        pick: Picker | None,
        clamp: Clamp | None = None,
    ) -> Iterator[Partial]:
        self.eval()
        system, network, device = self.system, self.network, self.device
        schedule = system.guidance if guidance is None else as_guidance(guidance)
        pick, layout, order = pick or system.pick, system.layout, system.order
        with torch.inference_mode():
            start = blank(system.tokenizer.unit, layout, len(prepared), device)
            counts = order.counts(layout) if isinstance(order, Adaptive) else order.sizes(layout)
            scales = schedule.scales(counts)
            _check_inside(schedule, system)
            conditions = self._conditions(prepared, against, scales)
            if isinstance(order, Adaptive):
                chooser = order.chooser(layout, noise)
                drawn = network.head.draw(noise, chooser.drafts * layout.sites).unflatten(1, (-1, layout.sites))
                states = unmask(network, chooser, start, conditions, scales, pick, drawn, clamp)
            else:
                plan = order.plan(layout, noise)
                if clamp:
                    plan = order.given_first(plan, clamp.known)
                    _warn_unseen(plan.to_ranks(clamp.known))
                drawn = network.head.draw(noise, layout.sites)
                states = decode(network, plan, start, conditions, schedule, pick, drawn, clamp)
        for state in states:
            yield Partial(state, self.system, self)

    def asked(
        self, condition: Any, negative: Any, scales: tuple[float, ...]
    ) -> tuple[Conditioning, Conditioning | None]:
        """The embedded condition of one sample and, where a step of these scales is guided, what it is guided away from."""
        return self._conditions(self._prepared(condition, 1), self._negative(negative, 1), scales)

    def _conditions(
        self, prepared: Tensor, against: Tensor | None, scales: tuple[float, ...]
    ) -> tuple[Conditioning, Conditioning | None]:
        part = self.network.condition
        if all(scale == 1.0 for scale in scales):
            return part(prepared), None
        return part(prepared), part.null(prepared) if against is None else part(against)

    def for_inference(
        self,
        *,
        dtype: str = "float32",
        quantize: str | None = None,
        compile: bool = False,
        keeping: Keeping = EXACT,
    ) -> Model:
        """A model that draws the same faster, on the device where this one is; this one stays as it is.

        `dtype` of weights: "float32" (exact up to rounding), "bfloat16" or "float16"; `quantize` "int8" for linear layers;
        `compile` by torch.compile; `keeping` how attention keeps the past. `nextset.inference` says what these mean on which device.
        """
        inference = Inference(dtype, quantize, compile, keeping)
        self._whole("for_inference")
        found = sharing(self).eval()
        found.network, found.painter = inference.apply(self.network, self.tokenizer)
        found.inference = inference
        return found

    # -- keeping

    def save_pretrained(self, folder: str | Path, state: Mapping[str, Tensor] | None = None) -> Path:
        """Writes config.json and model.safetensors (and a card) into `folder`, each atomically; returns the folder.

        `state` is saved in place of the model's own weights where it is given (averaged or gathered ones).
        """
        self._whole("save_pretrained")
        state = self.state_dict() if state is None else state
        return folders.save_folder(
            Path(folder), {"system": self.system.to_dict(), **self.about}, state, str(self.system)
        )

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> Self:
        """The model saved in a folder or on the Hugging Face hub (`owner/name`), in evaluation mode on the CPU."""
        config, state = folders.load_folder(source, revision)
        if "system" not in config:
            raise UsageError(f"{source} holds no model; it may be a tokenizer's folder")
        with blueprints():
            model = cls(System.from_dict(config["system"]))
        folders.load_exactly(model, state, str(source))
        model.about = {key: value for key, value in config.items() if key in ("family", "origin")}
        return model.eval()

    def push_to_hub(self, repo: str, *, private: bool = False, token: str | None = None) -> str:
        """Uploads what `save_pretrained` writes to `repo` on the hub and returns its address."""
        return folders.push(self.save_pretrained, repo, private, token)

    # -- the door

    def _whole(self, method: str) -> None:
        if self.inference is not None:
            raise UsageError(
                f"{method}: a model for inference has packed weights; use the one that for_inference() was called on"
            )

    def _tokens(self, images: Tensor | Tokens) -> Tokens:
        if not isinstance(images, Tokens):
            return self.encode(images.to(self.device))
        if images.layout != self.system.layout:
            raise UsageError(f"images: tokens on {images.layout} do not fit this model's {self.system.layout}")
        return images

    def _prepared(self, condition: Any, batch: int | None) -> Tensor:
        if batch is not None and batch < 1:
            raise UsageError(f"count must be at least 1, got {batch}")
        prepared = self.network.condition.prepare(condition, batch, self.device)
        if not len(prepared):
            raise UsageError("condition is empty; ask for at least one sample")
        return prepared

    def _negative(self, negative: Any, batch: int) -> Tensor | None:
        if negative is None:
            return None
        try:
            return self._prepared(negative, batch)
        except UsageError as error:
            raise UsageError(f"negative: {error}") from error

    def _checked(self, images: Tensor) -> Tensor:
        expected = (self.system.tokenizer.channels, *self.system.size)
        if not isinstance(images, Tensor) or images.shape[1:] != expected or not len(images):
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise UsageError(f"images must be (B, {', '.join(map(str, expected))}) for this model, got {got}")
        if not images.is_floating_point():
            raise UsageError(
                f"images must be floating point in [-1, 1], got {images.dtype}; divide uint8 by 127.5, less 1"
            )
        low, high = images.aminmax()
        if not (low >= -1.01 and high <= 1.01):  # also catches NaN
            raise UsageError(f"images must lie in [-1, 1], got values from {low:.3g} to {high:.3g}")
        return images

    def _checked_mask(self, mask: Tensor, batch: int) -> Tensor:
        size = self.system.size
        if not isinstance(mask, Tensor) or tuple(mask.shape[-2:]) != size or mask.ndim not in (2, 3):
            got = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise UsageError(f"mask must be (H, W) or (B, H, W) with size {size}, got {got}")
        if mask.ndim == 3 and len(mask) not in (1, batch):
            raise UsageError(f"mask has {len(mask)} rows for {batch} images")
        return mask.bool().expand(batch, *size)


def _check_inside(schedule: Guidance, system: System) -> None:
    """Raises UsageError where hidden vectors cannot be guided after the block that is meant."""
    if schedule.seam is None:
        return
    seams = 0 if isinstance(system.order, Adaptive) else system.backbone.seams
    if seams + schedule.seam < 0:
        raise UsageError(
            f"guidance {schedule} acts after block {schedule.seam} from the end, but of this system's "
            f"{type(system.backbone).__name__} under {type(system.order).__name__} only {seams} blocks can be guided"
        )


def _last(partials: Iterator[Partial]) -> Tensor:
    (partial,) = collections.deque(partials, maxlen=1)
    return partial.model.decode(partial.decoding.tokens)


def _warn_unseen(known: Tensor) -> None:
    late = known & (~known).cumsum(1).bool()
    if late.any():
        share = late.sum() / known.sum()
        warnings.warn(
            f"{share:.0%} of the kept sites come after a redrawn one in this system's order, so some of what is drawn cannot "
            "fit to them; a mask that is the end of the order (the lower part, for raster) or an any-order system does better",
            stacklevel=3,
        )

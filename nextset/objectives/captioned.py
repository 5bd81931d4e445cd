"""Pictures and their captions: the loss of the tokens and that of each caption word given those before it (RQ-Transformer, 2203.01941).

(1 - share) mean over ids of -ln p(id | before it, caption) + share mean over words of -ln p(word | words before it)
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..conditions.words import WordsModule
from ..errors import UsageError
from ..layout import Tokens
from .base import Objective, Scorer


@dataclass(frozen=True)
class Captioned(Objective):
    """`share` of the loss is the caption's; needs a condition `Words` that is predicted, and a wiring of one pass."""

    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UsageError(f"{self}: share must be in [0, 1)")

    def check(self, network: Scorer) -> None:
        """Asks for captions that are predicted."""
        condition = network.condition
        if not isinstance(condition, WordsModule) or not condition.spec.predicted:
            kind = type(condition).__name__.removesuffix("Module")
            raise UsageError(f"objective Captioned needs condition Words(..., predicted=True), got {kind}")

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss", "image", "caption"}, the last two unweighted."""
        assert isinstance(network.condition, WordsModule), "Network has asked check"
        plan = network.plan(seed, len(tokens), tokens.data.device, progress)
        prefix, hidden = network.hidden_with_prefix(tokens.data, network.conditioned(condition), plan)
        ids = tokens.data.shape[2] if tokens.data.ndim == 3 else 1
        image = network.head.loss(hidden, plan.to_ranks(tokens.data)).mean() / ids
        caption = network.condition.losses(prefix, condition).mean()
        loss = (1 - self.share) * image + self.share * caption
        return {"loss": loss, "image": image.detach(), "caption": caption.detach()}

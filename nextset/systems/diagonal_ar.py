"""DAR (Xu et al. 2025, arXiv 2503.11129): next token along the diagonals, where the token after is always next door.

order      anti-diagonals, to and fro, so no step is longer than sqrt(2)
wiring     shift; tokens are the tokenizer's code vectors under a linear map, plus the direction of the next move
backbone   Llama with 4-D rotary positions: a quarter of a head's channels each for the row and column of a slot's own site and of the
           site that it predicts
New here: orders/diagonal.py, wirings/directed.py, nn/embedding.py, and positions by two sites in nn/rotary.py.

Neither code nor weights could be read, so these are our choices: directions enter with the token, not through AdaLN; queries and keys
turn alike; the condition slot has no direction and no own position; LlamaGen's blocks, tokenizer and guidance; and depth and width of
"b" (480M parameters; the paper's smallest has 485M) and "xl" (2.0B). The paper's sizes between are left out.
"""

from __future__ import annotations

from dataclasses import replace

from ..nn.embedding import CodeVectors, Embedding, Table
from ..nn.rotary import ByOwnAndNext
from ..orders import Diagonal
from ..system import System
from ..wirings import Directed
from .llamagen import SIZES as LLAMAGEN
from .llamagen import TINY as LLAMAGEN_TINY
from .llamagen import llamagen

CODES = CodeVectors()


def diagonal_ar(base: System, embed: Embedding = CODES) -> System:
    """A LlamaGen that walks along the diagonals and knows where it goes; pixels, which have no code vectors, take a table."""
    return replace(
        base,
        order=Diagonal(),
        wiring=Directed(embed),
        backbone=replace(base.backbone, turning=ByOwnAndNext()),  # type: ignore[call-arg]
    )


SIZES = {
    "b": diagonal_ar(llamagen(36, 16, 1024)),
    "xl": diagonal_ar(llamagen(38, 32, 2048)),
    "digits": diagonal_ar(LLAMAGEN["digits"], Table()),
    "shapes": diagonal_ar(LLAMAGEN["shapes"]),
}
TINY = diagonal_ar(LLAMAGEN_TINY, Table())

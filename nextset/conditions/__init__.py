"""What is the picture asked to show?"""

from .attended import Attended
from .base import Condition, Conditioning, ConditionModule
from .captions import Captions, vocabulary
from .label import Label
from .text import Text
from .unconditional import Unconditional
from .words import Words

__all__ = [
    "Attended",
    "Captions",
    "Condition",
    "ConditionModule",
    "Conditioning",
    "Label",
    "Text",
    "Unconditional",
    "Words",
    "vocabulary",
]

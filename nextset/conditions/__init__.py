"""What is the picture asked to show?"""

from .base import Condition, ConditionModule, Conditioning
from .label import Label
from .unconditional import Unconditional

__all__ = ["Condition", "ConditionModule", "Conditioning", "Label", "Unconditional"]

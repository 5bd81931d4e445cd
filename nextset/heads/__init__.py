"""What is the distribution of one token?"""

from .base import Head, HeadModule, Picker
from .categorical import Categorical

__all__ = ["Categorical", "Head", "HeadModule", "Picker"]

"""How do known tokens feed the prediction?"""

from .base import Call, Script, Wiring, WiringModule
from .directed import Directed
from .instructions import Instructions
from .masked import Masked
from .queries import Causal, Memory, Mutual, Queries
from .shift import Shift
from .stepped import Stepped
from .targeted import Targeted

__all__ = [
    "Call",
    "Causal",
    "Directed",
    "Instructions",
    "Masked",
    "Memory",
    "Mutual",
    "Queries",
    "Script",
    "Shift",
    "Stepped",
    "Targeted",
    "Wiring",
    "WiringModule",
]

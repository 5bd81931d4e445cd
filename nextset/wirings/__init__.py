"""How do known tokens feed the prediction?"""

from .base import Call, Script, Wiring, WiringModule
from .beside import Beside
from .coded import Coded
from .directed import Directed
from .groups import Groups
from .injected import Injected
from .instructions import Instructions
from .masked import Masked
from .neighbours import Neighbours
from .queries import Causal, Memory, Mutual, Queries
from .shift import Shift
from .stepped import Stepped
from .targeted import Targeted
from .upsampled import Upsampled

__all__ = [
    "Beside",
    "Call",
    "Causal",
    "Coded",
    "Directed",
    "Groups",
    "Injected",
    "Instructions",
    "Masked",
    "Memory",
    "Mutual",
    "Neighbours",
    "Queries",
    "Script",
    "Shift",
    "Stepped",
    "Targeted",
    "Upsampled",
    "Wiring",
    "WiringModule",
]

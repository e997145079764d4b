"""Every proof of the kit."""

from .counters import PROOFS as COUNTERS
from .functions import PROOFS as FUNCTIONS
from .handshakes import PROOFS as HANDSHAKES

PROOFS = (*FUNCTIONS, *COUNTERS, *HANDSHAKES)

"""Every proof of the kit."""

from .functions import PROOFS as FUNCTIONS
from .handshakes import PROOFS as HANDSHAKES

PROOFS = (*FUNCTIONS, *HANDSHAKES)

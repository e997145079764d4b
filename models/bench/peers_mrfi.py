"""MRFI 2.1.0 as its users call it: a configuration by rate, new faults at every forward call.

A flip of a stored sign is the flip of bit 31 of the float. Positions are drawn with replacement and
a position that was drawn twice is flipped once, so fewer weights change than the rate says; a rate
of 0.1 is refused, and one above it warns. One forward call is one batch: a user who wants one chip
for a whole test set must show it in one batch or switch the injection off after the first.

Source: `docs/basic_faultinjection.md`, `mrfi/mrfi.py` and `mrfi/selector.py` of MRFI (MIT licence).
"""

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from ...sim.network import Network
from .peers_torch import naive_model

PACKAGE = "mrfi"
_CONFIG = """
faultinject:
  - type: weight
    name: [weight]
    enabled: True
    selector:
      method: RandomPositionByRate
      poisson: True
      rate: {rate}
    error_mode:
      method: FloatFixedBitFlip
      floattype: float32
      bit: 31
    module_type: [Conv2d, Linear]
"""


class Mrfi:
    """A naive model under MRFI.

    Attributes:
        model: whose weights hold the faults of the last forward call.

    Raises:
        ImportError: it is not installed.
    """

    name = "MRFI"

    def __init__(self, network: Network, ber: float) -> None:
        mrfi = import_module(PACKAGE)
        self.model: nn.Module = naive_model(network).eval()
        config = mrfi.EasyConfig.load_string(_CONFIG.format(rate=ber))
        self.injector: Any = mrfi.MRFI(self.model, config)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of a batch under faults of its own."""
        scores: Tensor = self.injector(x)
        return scores

    def keep(self, is_kept: bool) -> None:
        """Whether the next forward calls keep the faults of the last one."""
        self.injector.global_FI_enabled = not is_kept

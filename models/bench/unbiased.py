"""Injected bits against the request: every error model over many rates, and MRFI over a few.

For each model the share of stored 0s that read 1, and of stored 1s that read 0, is counted on many
chips and set beside `rates()`. The z-score divides by the standard error that the chips' own spread
gives, so it holds for clustered faults, too. Replays of measurements are not drawn from a rate and
are left out (their tests compare them with the files, bit for bit), as are rates at which too few
faults are to be expected.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from ...sim import operating_points
from ...sim.bits import Words, pack
from ...sim.errors import MODELS, ErrorModel, describe, from_json
from ...sim.intervals import spread
from ...sim.memory import layout_of, stored_bits
from ...sim.network import Network
from ...sim.random_network import random_network
from .peers_mrfi import Mrfi
from .peers_torch import to_input, weights_of

RATES = (3e-4, 1e-3, 3e-3, 0.01, 0.033, 0.1, 0.3)
MRFI_RATES = (0.001, 0.01, 0.05, 0.099, 0.1, 0.2)
N_CHIPS = 64
_LEAST_FAULTS = 200.0  # expected on all chips together; below, a count is too far from normal
_SIZES = (784, 256, 256, 10)
_N_MRFI = 20
_REPLAY = "-replay"
_MORE = ("rram-2bpc-373K-2000000s", "rram-3bpc-373K-1000000s")  # named by a pattern


@dataclass(frozen=True)
class Score:
    """One direction of one model at one rate.

    Attributes:
        errors: the model as JSON values.
        direction: "p01" or "p10".
        requested: what the model says of itself.
        measured: mean over chips.
        z: standard errors between them.
    """

    errors: dict[str, Any]
    direction: str
    requested: float
    measured: float
    z: float


def requests(seed: int) -> Iterator[ErrorModel]:
    """Models to look at: those that take rates over RATES, the others at their named points."""
    for name, model in MODELS.items():
        known = {f.name for f in fields(model)}  # type: ignore[arg-type]
        for rate in RATES:
            if {"p01", "p10"} <= known:
                for p01, p10 in ((rate, rate), (rate / 3, rate)):
                    yield from_json({"model": name, "p01": p01, "p10": p10, "seed": seed})
            elif "rate" in known:
                yield from_json({"model": name, "rate": rate, "ones": 0.25, "seed": seed})
    for points in operating_points.named().values():
        for point in points.values():
            if not is_replay(point.base):
                yield point.model(seed)
    for name in _MORE:
        yield operating_points.parse(name).model(seed)


def is_replay(model: ErrorModel) -> bool:
    """Whether it gives measured faults back instead of drawing any."""
    return model.name.endswith(_REPLAY)


def scores(model: ErrorModel, network: Network, n_chips: int) -> list[Score]:
    """Both directions of a model, where enough faults are to be expected."""
    layout = layout_of(network)
    cells = stored_bits(network, layout)
    is_weight = np.zeros(layout.n_cells, np.bool_)
    for bank in layout.banks:
        if bank.kind == "weights":
            is_weight[bank.first_cell : bank.first_cell + bank.n_words * bank.width] = True
    is_weight &= layout.is_stored
    holds1, holds0 = pack(is_weight & (cells == 1)), pack(is_weight & (cells == 0))
    n0, n1 = _ones(holds0), _ones(holds1)
    shares = np.zeros((2, n_chips))
    for chip in range(n_chips):
        faults = model.sample(layout, chip, stored=cells)
        shares[0, chip] = _ones((faults.flip | faults.stuck1) & holds0) / n0
        shares[1, chip] = _ones((faults.flip | faults.stuck0) & holds1) / n1
    return [
        _score(model, direction, requested, share, 1 / n)
        for direction, requested, share, n in zip(
            ("p01", "p10"), model.rates(), shares, (n0, n1), strict=True
        )
        if requested * n * n_chips >= _LEAST_FAULTS
    ]


def _score(
    model: ErrorModel, direction: str, requested: float, share: np.ndarray[Any, Any], step: float
) -> Score:
    # As in `intervals.spread`: chips that agree by chance do not prove that chips never differ.
    error = spread(share.tolist(), step) / math.sqrt(len(share))
    measured = float(share.mean())
    return Score(describe(model), direction, requested, measured, (measured - requested) / error)


def _ones(words: Words) -> int:
    return int(np.bitwise_count(words).sum())


@dataclass(frozen=True)
class Table:
    """What was found.

    Attributes:
        n_pairs: models at one rate, or one asymmetric pair of rates.
        left_out: models of the registry of which no score is here, and why.
    """

    scores: tuple[Score, ...]
    n_pairs: int
    left_out: dict[str, str]

    @property
    def max_abs_z(self) -> float:
        """Of all scores."""
        return max(abs(score.z) for score in self.scores)


def table(seed: int, n_chips: int = N_CHIPS) -> Table:
    """The scores of all models."""
    network = random_network(_SIZES, "bits", np.random.default_rng(seed))
    found: dict[str, list[Score]] = {}
    for model in requests(seed):
        if str(model) not in found:
            found[str(model)] = scores(model, network, n_chips)
    counted = [few for few in found.values() if few]
    shown = {score.errors["model"] for few in counted for score in few}
    left_out = {
        name: "gives measured faults back" if name.endswith(_REPLAY) else "too few faults"
        for name in MODELS
        if name not in shown
    }
    return Table(tuple(s for few in counted for s in few), len(counted), left_out)


@dataclass(frozen=True)
class NominalRate:
    """What MRFI makes of a rate.

    Attributes:
        real: share of the weights that it changed, mean over forward calls; None: refused.
        z: standard errors (binomial) between the two.
        refusal: what it said.
    """

    nominal: float
    real: float | None
    z: float | None
    refusal: str = ""


def of_mrfi(network: Network, seed: int) -> list[NominalRate]:
    """MRFI's own sampling.

    Raises:
        ImportError: it is not installed.
    """
    torch.manual_seed(seed)
    one = to_input(network, np.zeros((1, network.n_inputs), np.uint8))
    logging.disable(logging.WARNING)  # it warns at every call above 0.1 that results are inaccurate
    try:
        return [_nominal(network, rate, one) for rate in MRFI_RATES]
    finally:
        logging.disable(logging.NOTSET)


def _nominal(network: Network, rate: float, one: torch.Tensor) -> NominalRate:
    peer = Mrfi(network, rate)
    clean = [w.clone() for w in weights_of(peer.model)]
    n_bits, n_flips = network.n_weight_bits * _N_MRFI, 0
    for _ in range(_N_MRFI):
        try:
            peer.forward(one)
        except ValueError as refusal:
            return NominalRate(rate, None, None, str(refusal))
        pairs = zip(weights_of(peer.model), clean, strict=True)
        n_flips += sum(int((now != before).sum()) for now, before in pairs)
    spread = math.sqrt(rate * (1 - rate) / n_bits)
    return NominalRate(rate, n_flips / n_bits, (n_flips / n_bits - rate) / spread)

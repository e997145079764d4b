"""A trigger: a float network learns from regions alone, a binary one learns its decision.

Weak labels are few and mostly wrong, and a binary network needs many steps; so a small float
network learns from them (`network.SignificanceNetwork`), and the binary one is taught what that
decides on events of the same observation, moved a little. No class is seen by either.

The threshold of the score can be set in the field: `programmable` gives the last layer lanes that
are always +1, whose weights `at_threshold` writes. They are weights like all others: in the memory
that lies, and written through the host's port.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...sim.bits import pack, unpack
from ...sim.exceptions import InputError
from ...sim.layers import Dense
from ...sim.network import Network
from ..data import Images
from ..event_images import LEVELS, Bytes, Events, code, load_splits
from ..train import one_thread
from .network import SignificanceNetwork

N_COPIES = {"train": 10, "validation": 4}
MOVED_BY = 16.0
"""Standard deviation of what a copy of an event is moved by, in units of the quantised features."""
N_LANES = 32
_NOTE = "threshold_lanes"
Floats = NDArray[np.float64]


def float_network(events: Events, seed: int) -> SignificanceNetwork:
    """What is learned from the weak labels of a training split."""
    net = SignificanceNetwork(events.alpha, (32,), random_state=seed)
    with one_thread():
        return net.fit(_centred(events.values), events.is_on)


def float_scores(net: SignificanceNetwork, values: Bytes) -> Floats:
    """(n,) scores of quantised events; above 0 they are selected."""
    return net.decision_function(_centred(values))


def taught(net: SignificanceNetwork, values: Bytes, n_copies: int, seed: int) -> Images:
    """Coded copies of events, moved, with the decisions of a float network as their labels."""
    rng = np.random.default_rng(seed)
    copies = np.repeat(values, n_copies, 0)
    by = np.round(rng.normal(0.0, MOVED_BY, copies.shape))
    moved = np.clip(copies + by, 0, 255).astype(np.uint8)
    return Images(code(moved), (float_scores(net, moved) > 0).astype(np.uint8))


def images(split: str, root: Path | None = None) -> Images:
    """A split of the data set `data.ON_OFF`: what the binary network is taught, or of the test
    split the events as they are and their weak labels."""
    splits = load_splits(root)
    if split not in splits:
        raise InputError(f"split must be one of {', '.join(splits)}, not {split!r}")
    if split == "test":
        return Images(code(splits[split].values), splits[split].is_on.astype(np.uint8))
    net = float_network(splits["train"], 0)
    return taught(net, splits[split].values, N_COPIES[split], 0)


def score(scores: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) score of "on" less that of "off", of scores (n, 2); above 0 the trigger fires."""
    return scores[:, 1].astype(np.int64) - scores[:, 0]


def programmable(network: Network, n_lanes: int = N_LANES) -> Network:
    """The network on quantised events, its scores as before, with a threshold that can be set.

    Args:
        network: of two classes, on coded events.
        n_lanes: that are always +1, even in number; thresholds reach 2 n_lanes either way.

    Raises:
        InputError: it has another number of classes, or no hidden layer.
    """
    if network.n_classes != 2 or len(network.layers) < 2 or n_lanes % 2:
        raise InputError("a trigger has two classes, a hidden layer and an even number of lanes")
    *first, hidden, last = network.layers
    assert hidden.thresholds is not None, "only the last layer has none"
    always = Dense(
        hidden.name,
        hidden.n_inputs,
        np.concatenate([hidden.weights, np.zeros((n_lanes, hidden.weights.shape[1]), np.uint64)]),
        np.concatenate([hidden.thresholds, np.zeros(n_lanes, np.int32)]),
        np.concatenate([hidden.negated, np.zeros(n_lanes, np.bool_)]),
        hidden.input,
    )
    lanes = np.zeros((2, n_lanes), np.uint8)
    bits = np.concatenate([unpack(last.weights, last.n_inputs), lanes], 1)
    wider = replace(last, n_inputs=last.n_inputs + n_lanes, weights=pack(bits))
    return at_threshold(
        replace(
            network,
            layers=(*first, always, wider),
            source_sha256="",
            notes={"of": {"sha256": network.sha256}, _NOTE: n_lanes},
            thermometer=LEVELS,
        ),
        0,
    )


def at_threshold(network: Network, threshold: int) -> Network:
    """The `programmable` network that fires where its score was above the threshold.

    Its score is less by as much; only the weights of the lanes differ.

    Raises:
        InputError: the network is not programmable, or the threshold is odd or out of reach.
    """
    n_lanes = network.notes.get(_NOTE)
    if n_lanes is None:
        raise InputError(f"network {network.name!r} has no lanes for a threshold")
    if threshold % 2 or abs(threshold) > 2 * n_lanes:
        raise InputError(f"threshold must be even and within {2 * n_lanes} of 0, not {threshold}")
    last = network.layers[-1]
    bits = unpack(last.weights, last.n_inputs)
    n_on = n_lanes // 2 - threshold // 2 // 2
    for row, n_plus in enumerate((n_on + threshold // 2, n_on)):
        bits[row, -n_lanes:] = np.arange(n_lanes) < n_plus
    return replace(network, layers=(*network.layers[:-1], replace(last, weights=pack(bits))))


def _centred(values: Bytes) -> Floats:
    return (values.astype(np.float64) - 127.5) / 74.0  # 74: of a uniform byte

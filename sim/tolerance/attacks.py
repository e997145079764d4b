"""The least bit flips that change a decision, searched where certificates end: exact, with proof.

With the class c that is given, a rival r takes over once the gap L_c - L_r has shrunk by

    R = gap + 2 where c wins a tie (c < r), else R = gap

A lane of the last layer adds a (w_c - w_r) to the gap: 2 where it helps c, 0 or -2 elsewhere. Hence

    weights         R / 2 flips in the last layer: every one can be worth 2, and there are enough
    activations     ceil(R / 4) bits that the last layer sees, if so many lanes help c
    hidden_weights  the ceil(R / 4) cheapest of the lanes that help c, where to change the decision
                    of neuron j takes tolerated_j + 1 flips in its own row (`margins`)
    both            k of those and R / 2 - 2k flips in the last layer, for the best k

each for the rival with the least. Greedy is optimal since lanes add up and rows are disjoint, so
`least - 1` flips change no decision, whichever they are, and `least` do: `witness` names them.

Source: ours, beyond the sufficient bounds of Buschjaeger et al. 2021, DATE (`certificates`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..bits import pack, unpack
from ..exact_sums import Step, steps
from ..exceptions import InputError
from ..layers import Dense
from ..network import Network, check_images
from .margins import margins_of

Kind = Literal["weights", "activations", "hidden_weights", "both"]
KINDS: tuple[Kind, ...] = ("weights", "activations", "hidden_weights", "both")
NEVER = 1 << 30
"""Flips where none are enough."""

_CHUNK = 250  # images


@dataclass(frozen=True)
class Flips:
    """What to flip.

    Attributes:
        stored: (layer, row, lane) of weight bits; layers are numbered over all members.
        activations: (layer, lane) of bits that a last layer sees.
    """

    stored: tuple[tuple[int, int, int], ...] = ()
    activations: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.stored) + len(self.activations)


@dataclass(frozen=True, eq=False)
class _Ends:
    """The ends of all members side by side: lanes of the last layers, and who drives them.

    Attributes:
        bits: (n, lanes) what the last layers see.
        signs: (n_classes, lanes) +-1.
        costs: (n, lanes) flips that change the bit through the row of its neuron, or None.
        owner: (lanes, 2) last layer and lane in it.
    """

    bits: NDArray[np.uint8]
    signs: NDArray[np.int8]
    costs: NDArray[np.int64] | None
    owner: NDArray[np.int64]


def least_flips(network: Network, images: NDArray[np.generic]) -> dict[Kind, NDArray[np.int64]]:
    """(n,) least flips that change the class of each image, by where they are; NEVER if none do.

    `hidden_weights` and `both` need dense layers in front of the last ones, and are left out else.

    Raises:
        InputError: a last layer on uint8, or images that do not fit.
    """
    found: dict[Kind, list[NDArray[np.int64]]] = {}
    for ends in _ends(network, check_images(network, images)):
        for kind, least in _least(ends).items():
            found.setdefault(kind, []).append(least.min(axis=1))
    return {kind: np.concatenate(parts) for kind, parts in found.items()}


def witness(network: Network, image: NDArray[np.generic], kind: Kind) -> Flips | None:
    """The least flips of one kind that change the class of an image; None if none do.

    Args:
        image: one, as `golden.scores` takes them.

    Raises:
        InputError: as `least_flips`, or a kind that this network does not have.
    """
    u8 = check_images(network, image[None])
    (ends,) = _ends(network, u8)
    least = _least(ends)
    if kind not in least:
        raise InputError(f"{kind!r} needs dense layers in front of the last ones")
    rival = int(least[kind][0].argmin())
    if least[kind][0, rival] >= NEVER:
        return None
    given, needed = _given_and_needed(ends)
    c, rest = int(given[0]), int(needed[0, rival])
    agree = 2 * ends.bits[0].astype(np.int8) - 1
    own, other = agree * ends.signs[c], agree * ends.signs[rival]
    lanes: list[int] = []
    if kind != "weights":
        costs = np.ones(len(own), np.int64)
        if kind != "activations" and ends.costs is not None:
            costs = ends.costs[0]
        costs = np.where((own > 0) & (other < 0), costs, NEVER)
        order = np.argsort(costs, kind="stable")[: -(-rest // 4)]
        if kind == "both":
            order = order[costs[order] < 2]  # cheaper than two flips in the last layer
        lanes = order.tolist()
        rest -= 4 * len(lanes)
    if kind == "activations":
        return Flips(activations=tuple((int(a), int(b)) for a, b in ends.owner[lanes]))
    changed = np.isin(np.arange(len(own)), lanes)
    own, other = np.where(changed, -own, own), np.where(changed, -other, other)
    stored = [flip for lane in lanes for flip in _driver_flips(network, u8, *ends.owner[lane])]
    last = [(c, lane) for lane in np.flatnonzero(own > 0)]
    last += [(rival, lane) for lane in np.flatnonzero(other < 0)]
    for row, lane in last[: max(0, -(-rest // 2))]:
        layer, inner = ends.owner[lane]
        stored.append((int(layer), row, int(inner)))
    return Flips(stored=tuple(stored))


def class_under(network: Network, image: NDArray[np.generic], flips: Flips) -> int:
    """The class of one image when these bits read inverted, by the reference of the kit."""
    layers = list(network.layers)
    for number, row, lane in flips.stored:
        bits = unpack(layers[number].weights[row : row + 1], layers[number].n_inputs)
        bits[0, lane] ^= 1
        weights = layers[number].weights.copy()
        weights[row] = pack(bits)[0]
        layers[number] = replace(layers[number], weights=weights)
    changed = replace(network, layers=tuple(layers))
    if not flips.activations:
        return int(golden.classify(golden.scores(changed, image[None]))[0])
    total, number = np.zeros((1, network.n_classes), np.int32), 0
    for chain in network.chains:
        x = golden.encode(network, check_images(network, image[None]))
        for layer in chain[:-1]:
            x = golden.fire(layer, x)
        number += len(chain)
        x = x.copy()
        for owner, lane in flips.activations:
            x[0, lane] ^= owner == number - 1
        total += golden.raw_scores(chain[-1], x)
    return int(golden.classify(total)[0])


def _ends(network: Network, u8: NDArray[np.uint8]) -> Iterator[_Ends]:
    for start in range(0, len(u8), _CHUNK):
        bits, signs, costs, owner = [], [], [], []
        before: Step | None = None
        for step in steps(network, u8[start : start + _CHUNK]):
            if step.layer.thresholds is not None:
                before = step
                continue
            if step.layer.input != "bits":
                raise InputError("certificates need last layers on bits")
            bits.append(step.x[:, 0])
            signs.append(step.rows.signs.astype(np.int8))
            lanes = np.arange(step.layer.n_inputs)
            owner.append(np.stack([np.full_like(lanes, step.number), lanes], axis=1))
            costs.append(None if before is None else _costs(before))
            before = None
        known = [cost for cost in costs if cost is not None]
        yield _Ends(
            np.concatenate(bits, axis=1),
            np.concatenate(signs, axis=1),
            np.concatenate(known, axis=1) if len(known) == len(costs) else None,
            np.concatenate(owner),
        )


def _costs(step: Step) -> NDArray[np.int64] | None:
    layer = step.layer
    if not isinstance(layer, Dense):
        return None
    assert layer.thresholds is not None
    margins = margins_of(step.rows, step.x[:, 0], step.sums[:, 0])
    low, high = layer.threshold_range
    fixed = (layer.thresholds <= low) | (layer.thresholds >= high)
    costs = margins.tolerated.astype(np.int64) + 1
    return np.where(fixed | (costs > layer.n_inputs), NEVER, costs)


def _given_and_needed(ends: _Ends) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) given classes, and (n, n_classes) R of every rival; NEVER of the class itself."""
    values = 2 * ends.bits.astype(np.float32) - 1
    scores = np.asarray(values @ ends.signs.T.astype(np.float32), np.int32)
    given = golden.classify(scores)
    gap = np.take_along_axis(scores, given[:, None], 1).astype(np.int64) - scores
    classes = np.arange(scores.shape[1])[None]
    needed = gap + 2 * (classes > given[:, None])
    return given, np.where(classes == given[:, None], NEVER, needed)


def _least(ends: _Ends) -> dict[Kind, NDArray[np.int64]]:
    """(n, n_classes) least flips for every rival, NEVER of the class itself."""
    given, needed = _given_and_needed(ends)
    is_rival = needed < NEVER
    found: dict[Kind, NDArray[np.int64]] = {"weights": np.where(is_rival, needed // 2, NEVER)}
    kinds = KINDS[1:] if ends.costs is not None else KINDS[1:2]
    found |= {kind: np.full(needed.shape, NEVER, np.int64) for kind in kinds}
    values = 2 * ends.bits.astype(np.int8) - 1
    own = values * ends.signs[given]
    for r in range(needed.shape[1]):
        helps = (own > 0) & (values * ends.signs[r] < 0)
        n_needed = np.where(is_rival[:, r], -(-needed[:, r] // 4), 0)
        is_enough = is_rival[:, r] & (helps.sum(axis=1) >= n_needed)
        found["activations"][is_enough, r] = n_needed[is_enough]
        if ends.costs is None:
            continue
        n_kept = max(1, int(n_needed.max()))
        costs = np.where(helps, ends.costs, NEVER)
        if n_kept < costs.shape[1]:
            costs = np.partition(costs, n_kept - 1, axis=1)[:, :n_kept]
        costs.sort(axis=1)
        total = np.minimum(np.cumsum(costs, axis=1), NEVER)
        at = np.minimum(np.maximum(n_needed, 1), total.shape[1]) - 1
        last = np.take_along_axis(total, at[:, None], 1)[:, 0]
        found["hidden_weights"][is_enough, r] = last[is_enough]
        n_cheap = np.minimum((costs < 2).sum(axis=1), n_needed)
        rest = np.maximum(needed[:, r] - 4 * n_cheap, 0)
        found["both"][is_rival[:, r], r] = (n_cheap + rest // 2)[is_rival[:, r]]
    return found


def _driver_flips(
    network: Network, u8: NDArray[np.uint8], last: int, lane: int
) -> list[tuple[int, int, int]]:
    """Flips in the row of the neuron in front of a lane that change its decision."""
    number = int(last) - 1
    layer = network.layers[number]
    assert layer.thresholds is not None
    (step,) = (step for step in steps(network, u8) if step.number == number)
    x = step.x[0, 0].astype(np.int64)
    row = unpack(layer.weights[lane : lane + 1], layer.n_inputs)[0].astype(np.int64)
    is_pixels = layer.input == "uint8"
    margin = int(step.sums[0, 0, lane]) - int(layer.thresholds[lane])
    fires = margin >= 0
    adds = (2 * row - 1) * x if is_pixels else (row == x).astype(np.int64)
    moves = 2 * x if is_pixels else np.ones_like(x)
    hurts = (row == 1) == fires if is_pixels else (adds == 1) == fires
    order = np.argsort(np.where(hurts, moves, 0), kind="stable")[::-1]
    total = np.cumsum(np.where(hurts, moves, 0)[order])
    needed = margin + 1 if fires else -margin
    n_flips = int((total < needed).sum()) + 1
    return [(number, int(lane), int(i)) for i in order[:n_flips]]

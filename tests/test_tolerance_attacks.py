"""The least flips that change a class: against all patterns, and by witness on larger networks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim import golden
from stoic.sim.bits import unpack
from stoic.sim.exceptions import InputError
from stoic.sim.layers import Input
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_ensemble, random_network
from stoic.sim.tolerance.attacks import (
    KINDS,
    NEVER,
    Flips,
    class_under,
    least_flips,
    witness,
)
from stoic.sim.tolerance.certificates import certify

_N, _HIDDEN, _CLASSES = 2, 3, 3


def by_all_patterns(network: Network, image: NDArray[np.uint8]) -> dict[str, int]:
    """The least flips of each kind, by trying every pattern in the last two layers."""
    first, last = network.layers
    w1, w2 = (unpack(layer.weights, layer.n_inputs).astype(np.int64) for layer in (first, last))
    n1, n2 = w1.size, w2.size
    flips = np.array(list(itertools.product((0, 1), repeat=n1 + n2)), np.int8)
    read1 = w1[None] ^ flips[:, :n1].reshape(-1, *w1.shape)
    read2 = w2[None] ^ flips[:, n1:].reshape(-1, *w2.shape)
    if first.input == "uint8":
        sums = ((2 * read1 - 1) * image.astype(np.int64)).sum(axis=-1)
    else:
        sums = (read1 == image).sum(axis=-1)
    bits = (sums >= first.thresholds).astype(np.int64)

    def classes(rows: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray((2 * (rows == x[:, None]).sum(axis=-1) - _HIDDEN).argmax(axis=1))

    given_class = classes(read2[:1], bits[:1])[0]
    changed = classes(read2, bits) != given_class
    in1, in2 = flips[:, :n1].sum(axis=1), flips[:, n1:].sum(axis=1)
    found = {
        "weights": in2[changed & (in1 == 0)].min(initial=NEVER),
        "hidden_weights": in1[changed & (in2 == 0)].min(initial=NEVER),
        "both": (in1 + in2)[changed].min(initial=NEVER),
    }
    patterns = np.array(list(itertools.product((0, 1), repeat=_HIDDEN)), np.int64)
    moved = classes(np.repeat(w2[None], len(patterns), axis=0), bits[:1] ^ patterns)
    found["activations"] = patterns.sum(axis=1)[moved != given_class].min(initial=NEVER)
    return {kind: int(least) for kind, least in found.items()}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(("bits", "uint8")), st.integers(0, 2**32 - 1))
def test_least_flips_are_those_of_all_patterns(kind: Input, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network((_N, _HIDDEN, _CLASSES), kind, rng)
    image = rng.integers(0, 2 if kind == "bits" else 256, (1, _N), dtype=np.uint8)
    found = least_flips(network, image)
    assert {k: int(v[0]) for k, v in found.items()} == by_all_patterns(network, image[0])


@pytest.mark.parametrize("kind", ["dense", "ensemble", "conv"])
def test_witnesses_change_the_class_and_one_flip_fewer_does_not(kind: str) -> None:
    rng = np.random.default_rng(1)
    network = random_network((30, 50, 40, 5), "uint8", rng)
    if kind == "ensemble":
        network = random_ensemble(
            tuple(random_network((30, 20, 5), "uint8", rng) for _ in range(2))
        )
    elif kind == "conv":
        network = random_conv_network((5, 6, 1), ((6, 3, 1, 1, None),), (5,), "uint8", rng)
    images = rng.integers(0, 256, (12, 30), dtype=np.uint8)
    scores = golden.scores(network, images)
    given_class, safe, found = (
        golden.classify(scores),
        certify(scores),
        least_flips(network, images),
    )
    assert tuple(found) == (KINDS if kind != "conv" else KINDS[:2])
    assert (found["weights"] == safe.weights + 1).all()
    for name, least in found.items():
        assert (least > (safe.weights if name == "weights" else safe.activations)).all()
        for i, image in enumerate(images):
            flips = witness(network, image, name)
            if flips is None:
                assert least[i] == NEVER
                continue
            assert len(flips) == least[i]
            assert class_under(network, image, flips) != given_class[i]
            for spared in range(len(flips)):
                fewer = Flips(
                    tuple(f for k, f in enumerate(flips.stored) if k != spared),
                    tuple(f for k, f in enumerate(flips.activations) if k != spared),
                )
                assert class_under(network, image, fewer) == given_class[i]
    if kind == "conv":
        with pytest.raises(InputError, match="needs dense layers"):
            witness(network, images[0], "both")


def test_a_neuron_that_never_changes_cannot_be_attacked() -> None:
    rng = np.random.default_rng(2)
    network = random_network((6, 8, 3), "bits", rng)
    always = replace(network.layers[0], thresholds=np.zeros(8, np.int32))
    network = replace(network, layers=(always, *network.layers[1:]))
    images = rng.integers(0, 2, (4, 6), dtype=np.uint8)
    found = least_flips(network, images)
    assert (found["hidden_weights"] == NEVER).all()
    assert witness(network, images[0], "hidden_weights") is None
    assert (found["both"] == found["weights"]).all()

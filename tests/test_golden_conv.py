"""Convolution, pooling, thermometer input and ensembles: golden against sums written out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim import faults, golden
from stoic.sim import network as networks
from stoic.sim.bits import unpack
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.layers import Conv, Dense, Input, Layer, Pool, Window
from stoic.sim.memory import layout_of
from stoic.sim.network import Network, require_one_chain
from stoic.sim.random_network import random_conv_network, random_ensemble, random_network


def row_sum(layer: Layer, row: list[int], lanes: list[int]) -> int:
    """What is compared, or given as score: agreements on bits, weighted sum on uint8."""
    if layer.input == "uint8":
        return sum((2 * w - 1) * u for w, u in zip(row, lanes, strict=True))
    return sum(int(w == x) for w, x in zip(row, lanes, strict=True))


def conv_by_definition(layer: Conv, x: list[int]) -> list[int]:
    g, rows = layer.window, unpack(layer.weights, layer.n_inputs).tolist()
    assert layer.thresholds is not None
    fired: dict[tuple[int, int, int], int] = {}
    for oy in range(g.rows):
        for ox in range(g.columns):
            lanes = []
            for ky in range(g.kernel):
                for kx in range(g.kernel):
                    y, column = oy * g.stride + ky - g.pad, ox * g.stride + kx - g.pad
                    for c in range(g.channels):
                        inside = 0 <= y < g.height and 0 <= column < g.width
                        lanes.append(x[(y * g.width + column) * g.channels + c] if inside else 0)
            for c, (row, t) in enumerate(zip(rows, layer.thresholds.tolist(), strict=True)):
                fired[oy, ox, c] = int(row_sum(layer, row, lanes) >= t)
    pool = layer.pool or Pool(1, 1)
    height, width = pool.size(g.rows), pool.size(g.columns)
    return [
        max(
            fired[y * pool.stride + dy, x_ * pool.stride + dx, c]
            for dy in range(pool.kernel)
            for dx in range(pool.kernel)
        )
        for y in range(height)
        for x_ in range(width)
        for c in range(layer.n_outputs)
    ]


def by_definition(network: Network, image: list[int]) -> list[int]:
    totals = [0] * network.n_classes
    levels = network.thermometer
    lanes = [int(u >= level) for u in image for level in levels] if levels else image
    for chain in network.chains:
        x = lanes
        for layer in chain:
            if isinstance(layer, Conv):
                x = conv_by_definition(layer, x)
                continue
            sums = [
                row_sum(layer, row, x) for row in unpack(layer.weights, layer.n_inputs).tolist()
            ]
            if layer.thresholds is not None:
                x = [int(s >= t) for s, t in zip(sums, layer.thresholds.tolist(), strict=True)]
                continue
            n = layer.n_inputs
            scores = sums if layer.input == "uint8" else [2 * p - n for p in sums]
            totals = [a + b for a, b in zip(totals, scores, strict=True)]
    return totals


@st.composite
def cases(draw: st.DrawFn) -> tuple[Network, NDArray[np.uint8]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([(), (128,), (1, 100, 255)]))
    kind: Input = "bits" if levels else draw(st.sampled_from(("bits", "uint8")))
    image = (draw(st.integers(3, 7)), draw(st.integers(3, 7)), draw(st.integers(1, 3)))
    convs: list[tuple[int, int, int, int, Pool | None]] = []
    height, width = image[:2]
    for _ in range(draw(st.integers(1, 2))):
        kernel = draw(st.integers(1, min(3, height, width)))
        stride, pad = draw(st.integers(1, 2)), draw(st.integers(0, kernel - 1))
        window = Window(height, width, 1, kernel, stride, pad)
        k = draw(st.integers(1, min(3, window.rows, window.columns)))
        pool = draw(st.sampled_from([None, Pool(k, 1), Pool(k, 2)]))
        height, width = window.rows, window.columns
        if pool:
            height, width = pool.size(height), pool.size(width)
        convs.append((draw(st.integers(1, 9)), kernel, stride, pad, pool))
    members = [
        random_conv_network(image, tuple(convs), (5, 3), kind, rng, levels)
        for _ in range(draw(st.integers(1, 2)))
    ]
    network = members[0] if len(members) == 1 else random_ensemble(tuple(members))
    high = network.image_max
    images = rng.integers(0, high + 1, (2, network.n_inputs), dtype=np.uint8)
    images[0, ::2] = draw(st.sampled_from((0, high)))
    return network, images


@settings(max_examples=60, deadline=None)
@given(cases())
def test_scores_equal_the_definition(case: tuple[Network, NDArray[np.uint8]]) -> None:
    network, images = case
    expected = [by_definition(network, image) for image in images.tolist()]
    assert golden.scores(network, images).tolist() == expected


def a_case() -> tuple[Network, NDArray[np.uint8]]:
    rng = np.random.default_rng(3)
    convs = ((6, 3, 2, 1, None), (8, 2, 1, 1, Pool(2, 2)))
    network = random_conv_network((9, 7, 2), convs, (9, 4), "bits", rng, (20, 200))
    return network, rng.integers(0, 256, (20, network.n_inputs), dtype=np.uint8)


WINDOWS, OR_POOL, ENCODE = golden.windows, golden.or_pool, golden.encode


def padded_with_ones(window: Window, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(1 - WINDOWS(window, 1 - x), np.uint8)


def channel_first(window: Window, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    seen = WINDOWS(window, x)
    k = window.kernel
    return seen.reshape(*seen.shape[:3], k * k, -1).swapaxes(3, 4).reshape(seen.shape)


def and_pool(pool: Pool, maps: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return 1 - OR_POOL(pool, 1 - maps)


def above(network: Network, u8: NDArray[np.uint8]) -> NDArray[np.uint8]:
    levels = tuple(level + 1 for level in network.thermometer)
    return ENCODE(replace(network, thermometer=levels), u8)


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("windows", padded_with_ones),
        ("windows", channel_first),
        ("or_pool", and_pool),
        ("encode", above),
    ],
)
def test_mutants_are_caught(
    name: str, mutant: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images = a_case()
    images[:, ::3] = 20  # on a level
    expected = [by_definition(network, image) for image in images.tolist()]
    assert golden.scores(network, images).tolist() == expected
    monkeypatch.setattr(golden, name, mutant)
    assert golden.scores(network, images).tolist() != expected


def test_files_keep_everything_and_faults_reach_convolutions(tmp_path: Path) -> None:
    network, images = a_case()
    both = random_ensemble((network, replace(network, name="twin")))
    for case in (network, both):
        path = tmp_path / "net.stoic"
        networks.save(case, path)
        read = networks.load(path)
        assert (read.sha256, read.members) == (case.sha256, case.members)
        assert golden.scores(read, images).tolist() == golden.scores(case, images).tolist()
    assert golden.scores(both, images).tolist() == (2 * golden.scores(network, images)).tolist()
    chip = Iid(0.2, 0.2, seed=1).sample(layout_of(network), 0)
    lying = faults.apply(network, chip)
    assert isinstance(lying.layers[0], Conv)
    changed = [
        (a.weights != b.weights).any() for a, b in zip(network.layers, lying.layers, strict=True)
    ]
    assert all(changed)
    assert golden.scores(lying, images).tolist() != golden.scores(network, images).tolist()


def test_hash_tells_geometry_apart() -> None:
    network, _ = a_case()
    first = network.layers[0]
    assert isinstance(first, Conv)
    hashes = {network.sha256, replace(network, thermometer=(21, 200)).sha256}
    members = random_ensemble((network, network))
    assert len(hashes | {members.sha256}) == 3


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    network, _ = a_case()
    conv, dense = network.layers[0], network.layers[-1]
    assert isinstance(conv, Conv) and isinstance(dense, Dense)
    rng = np.random.default_rng(0)
    small = random_network((4, 3), "bits", rng)
    bad: list[tuple[Callable[[], object], str]] = [
        (lambda: Window(4, 4, 1, 5), "does not fit a map of 4 x 4"),
        (lambda: Window(4, 4, 1, 3, pad=3), r"pad must be 0\.\.2, not 3"),
        (lambda: Window(1 << 20, 1 << 20, 1, 3), "at most"),
        (lambda: Pool(0, 1), "must be 1 or more"),
        (lambda: replace(conv, pool=Pool(9, 1)), "a pool of 9 does not fit"),
        (lambda: replace(conv, thresholds=None), "cannot give the scores"),
        (lambda: replace(conv, window=replace(conv.window, channels=1)), "fan-in must be 9"),
        (lambda: Network("n", (conv, dense)), "takes 9 inputs"),
        (lambda: replace(network, thermometer=(200, 20)), "must rise"),
        (lambda: replace(network, thermometer=(1, 2, 3, 4, 5)), "multiple of 5"),
        (lambda: replace(network, members=(1, 2)), "members must share"),
        (lambda: random_ensemble((network, small)), "same images"),
        (lambda: require_one_chain(random_ensemble((small, small)), "it"), "has 2 members"),
    ]
    for make, message in bad:
        with pytest.raises(InputError, match=message):
            make()
    path = tmp_path / "net.stoic"
    networks.save(network, path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtefactError):
        networks.load(path)

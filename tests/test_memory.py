"""The layout: where every stored bit is, by the words of its definition and a bit at a time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoic.sim import memory
from stoic.sim.bits import Words, unpack
from stoic.sim.exceptions import InputError
from stoic.sim.layers import Input
from stoic.sim.memory import Fold, Layout, bank_words, layout_of, stored_bits
from stoic.sim.network import Network
from stoic.sim.random_network import random_network

KIND: tuple[Input, ...] = ("bits", "uint8")
Writer = Callable[[Network, Layout], list[Words]]


def written(network: Network, layout: Layout) -> list[Words]:
    return bank_words(stored_bits(network, layout), layout)


def holds_every_bit(writer: Writer, network: Network, layout: Layout) -> bool:
    """Whether neuron j = f PE + p, lane i = w SIMD + b is bit b of word f n_steps + w of PE p."""
    banks = {
        bank.name: words for bank, words in zip(layout.banks, writer(network, layout), strict=True)
    }
    for k, (layer, fold) in enumerate(zip(network.layers, layout.folds, strict=True)):
        n_steps = -(-layer.n_inputs // fold.simd)
        for j, row in enumerate(unpack(layer.weights, layer.n_inputs).tolist()):
            pe, f = j % fold.pe, j // fold.pe
            for i, bit in enumerate(row):
                word = int(banks[f"L{k}.P{pe:02d}.weights"][f * n_steps + i // fold.simd])
                if word >> (i % fold.simd) & 1 != bit:
                    return False
            if layer.thresholds is not None:
                width = layout.shapes[k].threshold_bits
                value = int(banks[f"L{k}.P{pe:02d}.thresholds"][f])
                if layer.input == "uint8" and value >> (width - 1):
                    value -= 1 << width
                if value != layer.thresholds[j]:
                    return False
    return True


folds = st.builds(Fold, st.integers(1, 9), st.sampled_from([1, 3, 7, 32, 36, 63, 64]))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Network, Layout]:
    sizes = tuple(draw(st.lists(st.integers(1, 70), min_size=2, max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    network = random_network(sizes, draw(st.sampled_from(KIND)), rng)
    layers = []
    for layer in network.layers:  # let the extremes of the thresholds be stored too
        if layer.thresholds is not None:
            thresholds = layer.thresholds.copy()
            thresholds[:2] = layer.threshold_range[: len(thresholds)]
            layer = replace(layer, thresholds=thresholds)
        layers.append(layer)
    network = replace(network, layers=tuple(layers))
    chosen = draw(st.lists(folds, min_size=len(layers), max_size=len(layers)))
    return network, layout_of(network, tuple(chosen))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_every_bit_is_where_the_definition_says(case: tuple[Network, Layout]) -> None:
    assert holds_every_bit(written, *case)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_every_stored_bit_has_exactly_one_cell(case: tuple[Network, Layout]) -> None:
    network, layout = case
    n_stored = sum(
        layer.n_inputs * layer.n_outputs
        + (0 if layer.thresholds is None else layer.n_outputs * shape.threshold_bits)
        for layer, shape in zip(network.layers, layout.shapes, strict=True)
    )
    cells = layout.logical_cells
    assert len(cells) == len(set(cells.tolist())) == n_stored
    assert sorted(cells.tolist()) == np.flatnonzero(layout.is_stored).tolist()
    assert layout.n_cells == sum(bank.n_words * bank.width for bank in layout.banks)
    assert not stored_bits(network, layout)[~layout.is_stored].any()


@settings(max_examples=40, deadline=None)
@given(cases(), st.integers(0, 2**32 - 1))
def test_rows_are_the_cells_of_the_index_arrays(case: tuple[Network, Layout], seed: int) -> None:
    _, layout = case
    cells = np.random.default_rng(seed).integers(0, 2, layout.n_cells, dtype=np.uint8)
    copy = np.full(layout.n_cells, 9, np.uint8)
    for layer, kind in layout.memories:
        index = layout.weight_cells if kind == "weights" else layout.threshold_cells
        rows = layout.rows(cells, layer, kind)
        assert (rows == cells[index(layer)]).all()
        layout.put_rows(copy, layer, kind, rows)
    assert (copy == np.where(layout.is_stored, cells, 0)).all()


@settings(max_examples=40, deadline=None)
@given(cases(), st.data())
def test_a_cell_is_its_bank_address_and_bit(
    case: tuple[Network, Layout], data: st.DataObject
) -> None:
    _, layout = case
    cell = data.draw(st.integers(0, layout.n_cells - 1))
    bank, address, bit = layout.locate(cell)
    assert 0 <= address < bank.n_words and 0 <= bit < bank.width
    assert bank.first_cell + address * bank.width + bit == cell
    for outside in (-1, layout.n_cells):
        with pytest.raises(InputError, match="cell must be"):
            layout.locate(outside)


@given(cases())
@settings(max_examples=10, deadline=None)
def test_a_layout_comes_back_from_json(case: tuple[Network, Layout]) -> None:
    _, layout = case
    again = memory.from_json(memory.to_json(layout))
    assert again == layout and again.sha256 == layout.sha256


def test_mutants_of_the_layout_are_caught() -> None:
    network = random_network((70, 10, 3), "uint8", np.random.default_rng(1))
    layout = layout_of(network, (Fold(4, 32), Fold(2, 7)))
    assert holds_every_bit(written, network, layout)

    def swaps_bits(network: Network, layout: Layout) -> list[Words]:
        cells = stored_bits(network, layout)
        banks = [(b.first_cell, b.n_words, b.width) for b in layout.banks]
        turned = [cells[c : c + n * w].reshape(n, w)[:, ::-1] for c, n, w in banks]
        return bank_words(np.concatenate([t.ravel() for t in turned]), layout)

    def swaps_neurons(network: Network, layout: Layout) -> list[Words]:
        words = written(network, layout)
        return [words[1], words[0], *words[2:]]

    def forgets_the_sign(network: Network, layout: Layout) -> list[Words]:
        absolute = np.abs(network.layers[0].thresholds)  # type: ignore[arg-type]
        first = replace(network.layers[0], thresholds=absolute)
        return written(replace(network, layers=(first, *network.layers[1:])), layout)

    for mutant in (swaps_bits, swaps_neurons, forgets_the_sign):
        assert not holds_every_bit(mutant, network, layout), mutant.__name__


def test_foldings_and_networks_that_do_not_fit_are_refused() -> None:
    rng = np.random.default_rng(1)
    network, other = (random_network((9, n, 2), "bits", rng) for n in (3, 4))
    with pytest.raises(InputError, match="not for the shapes"):
        stored_bits(other, layout_of(network))
    with pytest.raises(InputError, match="2 layers need as many folds, not 1"):
        layout_of(network, (Fold(1, 1),))
    for bad in ((0, 1, 1), (1, 0, 1), (1, 65, 1), (1, 1, 0), (1, 1, 65)):
        with pytest.raises(InputError, match="must be"):
            Fold(*bad)

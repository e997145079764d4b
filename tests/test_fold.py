"""The planner: what it promises fits, what does not fit is refused by name."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoic.hw import boards
from stoic.hw.cost import layer_cost, memory_blocks, total_cost
from stoic.hw.fold import fold, foldings, lacks, overruns, predict
from stoic.hw.wish import FASTEST, Wish, latency_us
from stoic.sim.core import FORMS, Core, core_of, image_cycles, unit_cycles
from stoic.sim.exceptions import InputError
from stoic.sim.injector import MAX_INDEPENDENT
from stoic.sim.layers import Pool
from stoic.sim.memory import Fold, Layout, Shape
from stoic.sim.random_network import random_conv_network

BOARDS = [boards.load(name) for name in boards.names()]
ULX3S, ICEBREAKER = boards.load("ulx3s-25f"), boards.load("icebreaker")


def mlp(*sizes: int, first: str = "uint8") -> Core:
    last = len(sizes) - 2
    shapes = tuple(
        Shape(n, m, "uint8" if first == "uint8" and i == 0 else "bits", i < last)
        for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False))
    )
    return folded(shapes, *(Fold(1, 1) for _ in shapes))


def folded(shapes: tuple[Shape, ...], *folds: Fold) -> Core:
    return Core(Layout(shapes, folds))


SFC, TFC = mlp(784, 256, 256, 256, 10), mlp(784, 64, 64, 10)
SHAPES = SFC.layout.shapes
REFERENCE = folded(SHAPES, Fold(32, 36), Fold(4, 32), Fold(4, 32), Fold(1, 32))

networks = st.builds(
    lambda sizes, first: mlp(*sizes, first=first),
    st.lists(st.integers(1, 300), min_size=2, max_size=5),
    st.sampled_from(["uint8", "bits"]),
)


@settings(deadline=None, max_examples=20)
@given(networks, st.sampled_from(BOARDS))
def test_a_plan_fits_and_is_no_slower_than_one_element_a_layer(
    core: Core, board: boards.Board
) -> None:
    shapes = core.layout.shapes
    simplest = folded(shapes, *(Fold(1, min(board.ram_width, s.n_inputs)) for s in shapes))
    try:
        plan = fold(core, board)
    except InputError as refusal:
        assert f"{board.name} has" in str(refusal)
        assert lacks(simplest, board)
        return
    cost, told = total_cost(plan, board), predict(plan, board)
    layout = plan.layout
    assert layout.shapes == shapes
    assert cost.block_rams <= board.ram_count
    assert cost.cells <= board.luts
    assert told.cycles_per_image == image_cycles(plan) >= max(told.layer_cycles)
    assert lacks(simplest, board) or image_cycles(plan) <= image_cycles(simplest)
    weights = [bank for bank in layout.banks if bank.kind == "weights"]
    assert len(weights) == sum(f.pe for f in layout.folds)
    if all(memory_blocks(bank.n_words, bank.width, board) for bank in weights):
        assert told.bound_cycles <= told.cycles_per_image
    assert all(f.pe <= s.n_outputs for s, f in zip(shapes, layout.folds, strict=True))


@settings(deadline=None, max_examples=10)
@given(networks, st.sampled_from(BOARDS), st.floats(100, 1e6))
def test_a_rate_is_reached_or_refused(core: Core, board: boards.Board, rate: float) -> None:
    try:
        fastest = fold(core, board)
    except InputError:
        return
    reachable = board.core_hz / image_cycles(fastest) >= rate
    try:
        plan = fold(core, board, Wish(images_per_s=rate))
    except InputError as refusal:
        assert not reachable
        assert "reaches" in str(refusal)
    else:
        assert board.core_hz / image_cycles(plan) >= rate
        assert not lacks(plan, board)


@settings(deadline=None, max_examples=10)
@given(networks, st.sampled_from(BOARDS), st.floats(1, 1e4))
def test_a_latency_is_reached_or_refused_and_nothing_is_smaller_than_the_smallest(
    core: Core, board: boards.Board, wished_us: float
) -> None:
    try:
        every = foldings(core, board)
    except InputError:
        return
    least = min(latency_us(folded, board) for folded in every)
    try:
        plan = fold(core, board, Wish(latency_us=wished_us))
    except InputError as refusal:
        assert least > wished_us and f"takes at most {least:.4g} at" in str(refusal)
    else:
        assert latency_us(plan, board) <= wished_us and not lacks(plan, board)
    costs = [total_cost(folded, board) for folded in every]
    shares = [c.block_rams / board.ram_count + 2 * c.cells / board.luts for c in costs]
    smallest = fold(core, board, Wish(smallest=True))
    assert smallest == every[shares.index(min(shares))]
    assert fold(core, board) in every and not any(lacks(folded, board) for folded in every)


def test_of_wishes_each_costs_what_it_asks() -> None:
    fastest, smallest = fold(SFC, ULX3S), fold(SFC, ULX3S, Wish(smallest=True))
    rate = fold(SFC, ULX3S, Wish(images_per_s=20_000))
    quick = fold(SFC, ULX3S, Wish(latency_us=100))
    cells = [total_cost(core, ULX3S).cells for core in (smallest, rate, fastest)]
    assert cells == sorted(set(cells))
    assert latency_us(fastest, ULX3S) < latency_us(quick, ULX3S) <= 100
    assert total_cost(quick, ULX3S).cells < cells[-1]
    assert fold(SFC, ULX3S, FASTEST) == fastest


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"smallest": True, "latency_us": 1.0}, "give one of --smallest, --images-per-s"),
        ({"images_per_s": 1.0, "latency_us": 1.0}, "give one of"),
        ({"images_per_s": 0.0}, "--images-per-s must be above 0, not 0"),
        ({"latency_us": float("nan")}, "--latency-us must be above 0, not nan"),
    ],
)
def test_a_wish_that_says_nothing_is_refused(wish: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        Wish(**wish)


def test_what_is_short_is_what_the_design_nearest_to_fitting_lacks_most() -> None:
    """Few memories can be had for very many cells; memories are what is short all the same."""
    large = mlp(784, 2048, 10, first="bits")
    with pytest.raises(InputError, match="the cheapest needs 100 DP16KD, ulx3s-25f has 56$"):
        fold(large, ULX3S)
    wide = folded(large.layout.shapes, Fold(1024, 64), Fold(1, 32))
    memories, cells = overruns(wide, ULX3S)
    assert cells > memories and "logic cells" in lacks(wide, ULX3S)


def test_injectors_cost_cells_and_the_independent_form_few_elements() -> None:
    plain = fold(SFC, ULX3S)
    for form in FORMS:
        with_them = replace(plain, injector=form)
        assert total_cost(with_them, ULX3S).cells > total_cost(plain, ULX3S).cells
        planned = fold(replace(TFC, injector=form), boards.load("ulx3s-85f"))
        assert planned.injector == form and not planned.engine
        assert form == "ring" or max(f.pe for f in planned.layout.folds) <= MAX_INDEPENDENT
    small = mlp(64, 64, 10, first="bits")
    ringed = replace(small, injector=FORMS[0])
    assert fold(small, ICEBREAKER, Wish(smallest=True)).engine
    assert not fold(ringed, ICEBREAKER, Wish(smallest=True)).engine


def test_fashion_sfc_on_ulx3s_is_at_least_the_reference() -> None:
    plan = fold(SFC, ULX3S)
    assert image_cycles(plan) <= image_cycles(REFERENCE) == 1408
    assert predict(plan, ULX3S).bandwidth_share >= 0.61


@pytest.mark.parametrize("name", ["icebreaker", "ice40-hx8k"])
def test_fashion_tfc_fits_an_ice40(name: str) -> None:
    board = boards.load(name)
    assert not lacks(fold(TFC, board), board)


@pytest.mark.parametrize(("name", "n_rams"), [("icebreaker", 30), ("ice40-hx8k", 32)])
def test_fashion_sfc_does_not_fit_an_ice40(name: str, n_rams: int) -> None:
    with pytest.raises(InputError, match=rf"needs \d+ SB_RAM40_4K, {name} has {n_rams}$"):
        fold(SFC, boards.load(name))


def vgg3(width: int) -> Core:
    """The topology of the recipes fashion-vgg3 and fashion-vgg3-256."""
    convs = ((64, 3, 1, 1, Pool(2, 2)), (64, 3, 1, 1, Pool(2, 2)))
    rng = np.random.default_rng(0)
    return core_of(random_conv_network((28, 28, 1), convs, (width, 10), "uint8", rng))


def test_an_engine_takes_what_has_no_room_side_by_side_or_costs_more() -> None:
    small, tfc = mlp(64, 64, 10, first="bits"), mlp(784, 64, 64, 10, first="bits").layout.shapes
    assert not fold(small, ICEBREAKER).engine
    asked = fold(small, ICEBREAKER, Wish(images_per_s=100))
    assert asked.engine and asked.layout.folds == (Fold(1, 64),) * 2
    four = folded(tfc * 4, *(Fold(1, 1),) * 12)
    planned = fold(four, ICEBREAKER)
    assert planned.engine and image_cycles(planned) == 4 * (832 + 64 + 10 + 3 * 11) + 4 * 10 + 2
    assert not lacks(planned, ICEBREAKER)
    assert predict(planned, ICEBREAKER).bound_cycles == 4 * (784 * 64 + 64 * 64 + 64 * 10) / 64
    assert not fold(four, ULX3S).engine  # which has no memory for it
    with pytest.raises(InputError, match="no folding fits"):
        fold(folded(tfc * 11, *(Fold(1, 1),) * 33), ICEBREAKER)
    with pytest.raises(InputError, match="reaches 100000 images/s; the fastest gives 9479 "):
        fold(four, ICEBREAKER, Wish(images_per_s=100_000))
    # whose bytes come in slower than an engine would work them off
    with pytest.raises(InputError, match="reaches 400000 images/s; the fastest gives 367347 "):
        fold(mlp(784, 2, first="bits"), ICEBREAKER, Wish(images_per_s=400_000))


def test_convolutions_are_planned_and_vgg3_is_too_large_for_any_board() -> None:
    plan, board = fold(vgg3(256), boards.load("ulx3s-85f")), boards.load("ulx3s-85f")
    assert not lacks(plan, board)
    assert board.core_hz / image_cycles(plan) >= 12_000
    assert image_cycles(plan) <= 1.15 * min(unit_cycles(plan)[u] for u in ("planes 0", "window 0"))
    with pytest.raises(InputError, match=r"needs \d+ DP16KD, ulx3s-85f has 208$"):
        fold(vgg3(2048), board)


def test_bound_is_bits_read_over_bits_of_all_memories() -> None:
    bits = 8 * 784 * 256 + 2 * 256 * 256 + 256 * 10
    assert predict(REFERENCE, ULX3S).bound_cycles == round(bits / (56 * 36), 1)


@pytest.mark.parametrize(
    ("board", "n_words", "width", "blocks"),
    [
        (ULX3S, 176, 36, 1),
        (ULX3S, 32, 36, 0),
        (ULX3S, 513, 37, 4),
        (ICEBREAKER, 256, 16, 1),
        (ICEBREAKER, 3136, 16, 13),
        (ICEBREAKER, 1024, 49, 13),
        (ICEBREAKER, 768, 10, 2),  # three rows of 256 words, side by side in 32 lanes
        (ICEBREAKER, 513, 17, 4),
        (ICEBREAKER, 3755, 21, 21),  # 20 blocks would hold it, with more to choose from
    ],
)
def test_memory_takes_as_many_blocks_as_synthesis_makes(
    board: boards.Board, n_words: int, width: int, blocks: int
) -> None:
    assert memory_blocks(n_words, width, board) == blocks


def test_more_elements_never_cost_less() -> None:
    shapes = TFC.layout.shapes
    cores = [folded(shapes, Fold(pe, 36), Fold(1, 64), Fold(1, 64)) for pe in (1, 2, 4, 8, 16)]
    cells = [layer_cost(core, 0, ULX3S).cells for core in cores]
    assert cells == sorted(cells)

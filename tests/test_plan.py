"""The plan of a network on a board: what it says holds, and what bounds it is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stoic.hw import boards, cli, fold, plan
from stoic.hw.cost import total_cost
from stoic.hw.design_options import designed
from stoic.hw.settings import with_tables
from stoic.hw.wish import FASTEST, Wish, wish_of
from stoic.sim import network as networks
from stoic.sim.core import Core, core_of, image_cycles
from stoic.sim.exceptions import InputError
from stoic.sim.latency import latency_cycles
from stoic.sim.layers import Input, Pool
from stoic.sim.memory import Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_network, with_random_tables
from stoic.sim.rtl import RtlDevice

ULX3S, ICEBREAKER = boards.load("ulx3s-25f"), boards.load("icebreaker")


def net(*sizes: int, first: Input = "bits") -> Network:
    return random_network(sizes, first, np.random.default_rng(1))


def planned(network: Network, board: boards.Board, wish: Wish = FASTEST) -> plan.Plan:
    return plan.plan(fold.fold(core_of(network), board, wish), board, wish)


@pytest.mark.parametrize(
    ("network", "board", "wish", "slowest", "bound", "advice"),
    [
        (net(784, 64, 64, 10, first="uint8"), ICEBREAKER, FASTEST, "layer 0", plan.CELLS, "cells"),
        (net(48, 32, 10), ULX3S, FASTEST, "layer 1", "the slowest layer, layer 1", "neurons"),
        (net(784, 2, first="bits"), ULX3S, FASTEST, "input", plan.BYTES, "fewer bytes an image"),
        (net(784, 64, 10), ICEBREAKER, Wish(smallest=True), "engine", plan.MEMORIES, "fewer"),
        (net(784, 64, 10), ULX3S, Wish(smallest=True), "layer 0", "the wish", "nothing; without"),
    ],
)
def test_what_bounds_a_core_is_named(
    network: Network, board: boards.Board, wish: Wish, slowest: str, bound: str, advice: str
) -> None:
    found = planned(network, board, wish)
    assert (found.slowest, found.core_bound) == (slowest, bound)
    assert found.images_per_s == board.core_hz / image_cycles(found.core)
    alone = replace(found, link_images_per_s=0.0)
    assert alone.bound == bound and advice in plan.change(alone)
    behind = replace(found, link_images_per_s=1.0)
    assert behind.bound == plan.LINK and "--images-per-s 1" in plan.change(behind)
    assert bound in found.line() and found.slowest in found.line()


def test_the_link_carries_frames_of_images_or_of_scores() -> None:
    wide = planned(net(784, 64, 10, first="uint8"), ULX3S)
    assert wide.link_images_per_s == 300_000 / (784 + 9) and wide.bound == plan.LINK
    many = planned(net(16, 64, 100), ULX3S)
    assert many.link_images_per_s == 300_000 / (400 + 2 + 9)
    assert planned(net(16, 64, 10), boards.load("pynq-z2")).link_images_per_s == 0


@pytest.fixture
def stoic(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    networks.save(net(64, 64, 10), tmp_path / "small.stoic")
    networks.save(net(784, 2048, 10), tmp_path / "large.stoic")

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        status = cli.run([str(a).replace("@", f"{tmp_path}/") for a in arguments])
        said = capfd.readouterr()
        return status, said.out, said.err

    return run


def test_the_command_says_before_synthesis_what_synthesis_will_say(
    stoic: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    found: dict[str, Any] = {}
    for name, wish in (("fast", ()), ("small", ("--smallest",)), ("rate", ("--images-per-s", 9))):
        status, out, err = stoic(
            "plan", "@small.stoic", "--board", "ice40-hx8k", *wish, "--json",
            "--result", tmp_path / "plan.json",
        )  # fmt: skip
        assert (status, err) == (0, "")
        found[name] = json.loads(out)
        assert found[name] == json.loads((tmp_path / "plan.json").read_text())
    board = boards.load("ice40-hx8k")
    fastest = fold.fold(core_of(net(64, 64, 10)), board)
    told = fold.predict(fastest, board)
    fast = found["fast"]
    assert fast["fits"] and fast["cycles_per_image"] == told.cycles_per_image
    assert [row["cycles"] for row in fast["layers"]] == list(told.layer_cycles)
    assert (fast["memories"], fast["cells"]) == (told.block_rams_predicted, told.cells_predicted)
    assert fast["memories_available"] == 32 and fast["cells_room"] <= fast["cells_available"]
    assert found["small"]["cells"] < fast["cells"]
    assert found["small"]["layers"] == found["rate"]["layers"]
    assert found["small"]["images_per_s"] >= 9


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("@large.stoic", "--board", "ulx3s-25f"), "needs 100 DP16KD, ulx3s-25f has 56; it fits "),
        (("@small.stoic", "--board", "icebreaker", "--latency-us", "0.1"), "the quickest takes at"),
        (("@small.stoic", "--board", "icebreaker", "--images-per-s", "1e9"), "the fastest gives"),
        (("@small.stoic", "--board", "icebreaker", "--latency-us", "0"), "must be above 0, not 0"),
        (
            ("@small.stoic", "--board", "icebreaker", "--smallest", "--images-per-s", "9"),
            "give one of --smallest, --images-per-s and --latency-us",
        ),
        (("@small.stoic", "--board", "icebreaker", "--injector", "x"), "ring or independent, not"),
        (("@small.stoic", "--board", "absent"), "unknown board 'absent'"),
        (("@small.stoic", "--board", "ulx3s-25f", "--clock", "107"), "have: 106.25, 109.375 MHz"),
        (("@small.stoic", "--board", "ulx3s-25f", "--clock", "-1"), 'must be "auto" or MHz'),
        (("@small.stoic", "--board", "ulx3s-25f", "--clock", "auto"), "after place and route"),
    ],
)
def test_what_cannot_be_is_one_line(
    stoic: Callable[..., tuple[int, str, str]], options: tuple[str, ...], why: str
) -> None:
    status, out, err = stoic("plan", *options)
    assert (status, out) == (2, "") and err.count("\n") == 1 and why in err


def test_a_wish_is_read_as_it_is_written() -> None:
    numbers = [Wish(images_per_s=n) for n in (2e4, 1234567.8)] + [Wish(latency_us=0.1234567)]
    for wish in (FASTEST, Wish(smallest=True), *numbers):
        assert wish_of(str(wish)) == wish
    assert wish_of("") == FASTEST
    for text in ("cheap", "3", "x us", "3 ms", "nan us"):
        with pytest.raises(InputError, match="must be"):
            wish_of(text)


def test_threshold_tables_are_counted_and_refused_where_they_do_not_fit() -> None:
    network = net(784, 64, 64, 10, first="uint8")
    for board in (ULX3S, ICEBREAKER):
        plain = fold.fold(core_of(network), board)
        more = [total_cost(with_tables(plain, n), board) for n in (1, 40)]
        assert total_cost(plain, board).cells < more[0].cells
        assert more[0] != more[1]
    with pytest.raises(InputError, match="3 threshold tables random needs .* cells"):
        tabled = with_random_tables(network, 3, np.random.default_rng(0))
        designed(tabled, ICEBREAKER, FASTEST, tables=True)


def test_a_wish_needs_a_board(stoic: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = stoic("virtual", "@small.stoic", "--smallest")
    assert status == 2 and "a wish for a folding needs a board; give --board" in err


def simulated_latency(core: Core, network: Network, folder: Path) -> int:
    """Cycles of the simulated core from the first beat of an image until it is idle again."""
    device = RtlDevice(core.layout, folder, engine=core.engine, injector=core.injector)
    device.load(network)
    device.infer(np.zeros((1, network.n_inputs), np.uint8))
    cycles = device.counters()["cycles"]
    device.close()
    return cycles


def conv(seed: int) -> Network:
    maps = ((8, 3, 1, 1, Pool(2, 2)), (16, 3, 1, 0, Pool(2, 2)))
    return random_conv_network((12, 12, 1), maps, (20, 10), "uint8", np.random.default_rng(seed))


@pytest.mark.verilator
@pytest.mark.parametrize(
    ("network", "folds", "loose"),
    [
        (net(100, 33, 9, 10), (Fold(4, 36), Fold(3, 64), Fold(2, 5)), 64),
        pytest.param(
            *(net(60, 33, 20, 10, first="uint8"), (Fold(4, 36), Fold(2, 7), Fold(1, 1)), 64),
            marks=pytest.mark.slow,
        ),
        pytest.param(net(200, 64, 10), (Fold(64, 64), Fold(10, 64)), 96, marks=pytest.mark.slow),
        pytest.param(conv(1), None, None, marks=pytest.mark.slow),
    ],
)
def test_no_image_is_inside_longer_than_the_estimate(
    network: Network, folds: tuple[Fold, ...] | None, loose: int | None, tmp_path: Path
) -> None:
    """Of dense layers it is off by some dozens of cycles, around convolutions it is loose."""
    core = core_of(network, layout_of(network, folds) if folds else None)
    took, at_most = simulated_latency(core, network, tmp_path), latency_cycles(core)
    assert took <= at_most
    assert loose is None or at_most <= took + loose


@pytest.mark.slow
@pytest.mark.verilator
def test_nor_in_an_engine_or_behind_injectors(tmp_path: Path) -> None:
    network = net(64, 64, 10)
    layout = layout_of(network, (Fold(1, 64),) * 2)
    cores = [core_of(network, layout, engine=True)]
    cores += [replace(core_of(network, layout), injector=form) for form in ("ring", "independent")]
    for core in cores:
        took, at_most = simulated_latency(core, network, tmp_path), latency_cycles(core)
        assert took <= at_most <= took + 64

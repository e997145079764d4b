"""Bench of the `stoic_core` of an engine: clean and faulty, stalled and reset, golden's scores.

In the working directory lie `core.stoic`, the network, and `core.faults`, a map in its layout.
"""

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from .. import bits, golden
from .. import faults as fault_maps
from ..core import Core, engine_cycles
from ..faults import no_faults
from ..rtl import image_beats
from .bench_core import artefacts, infer, is_busy, load, score_beats, some_images, start
from .cover import Group
from .stream import Beat, assert_quiet, drive
from .tally import expect

ENGINE = Group(
    "engine",
    {
        "members": ("1", "2", "more"),
        "layers": ("1", "more"),  # of the longest member
        "images": ("1", "2", "more"),  # that share a weight word
        "faults": (False, True),
        "scores": ("leave", "are stalled"),
    },
    [("images", "scores")],
)
RESET = Group("engine_reset", {"images": ("load", "run or leave"), "sink": ("ready", "stalled")})


def sample(core: Core, *, is_faulty: bool, is_stalled: bool) -> None:
    """Count what the engine runs."""
    names = {1: "1", 2: "2"}
    ENGINE.sample(
        members=names.get(len(core.chains), "more"),
        layers="1" if max(map(len, core.chains)) == 1 else "more",
        images=names.get(core.side_by_side, "more"),
        faults=is_faulty,
        scores="are stalled" if is_stalled else "leave",
    )


def beats(core: Core, images: NDArray[np.uint8]) -> list[Beat]:
    """(lanes, last) of images back to back."""
    words = [
        [int.from_bytes(beat, "little") for beat in image] for image in image_beats(core, images)
    ]
    return [(word, i == len(image) - 1) for image in words for i, word in enumerate(image)]


@cocotb.test(timeout_time=600, timeout_unit="us")
@cocotb.parametrize((("idle", "stall"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.99), (0.3, 0.6)]))
async def scores_equal_golden(dut: Any, idle: float, stall: float) -> None:
    """Images back to back, B at a time, without faults and under the map; scores that leave at once
    and some that wait until the next ones are there."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    core = Core(faults.layout, engine=True)
    streams = await start(dut)
    for chip in (no_faults(faults.layout), faults):
        assert not await is_busy(dut)
        await load(dut, net, chip)
        sample(core, is_faulty=chip is faults, is_stalled=stall > 0)
        faulty = fault_maps.apply(net, chip)
        images = some_images(net, rng, 3 * core.side_by_side)
        images[-1] = bits.unpack(faulty.layers[0].weights[0], net.n_inputs)  # all lanes agree
        wanted = score_beats(golden.scores(faulty, images))
        got = await infer(streams, beats(core, images), len(wanted), idle, stall)
        expect(got, wanted, "score")
    assert not await is_busy(dut)


@cocotb.test(timeout_time=150, timeout_unit="us")
async def recovers_from_reset_in_mid_image(dut: Any) -> None:
    """Reset while images load, run and leave: memories keep, and the next scores are right."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    core = Core(faults.layout, engine=True)
    streams = await start(dut)
    await load(dut, net, faults)
    faulty = fault_maps.apply(net, faults)
    for wait in (3, *rng.integers(10, 2 * engine_cycles(core), 3).tolist()):
        spoilt = beats(core, some_images(net, rng, 3 * core.side_by_side))
        sender = cocotb.start_soon(drive(streams[0], spoilt, lambda: False))
        streams[1].ready.value = wait % 2
        for _ in range(wait):
            await RisingEdge(dut.clk_i)
        RESET.sample(
            images="run or leave" if wait > len(spoilt) // 3 else "load",
            sink="ready" if wait % 2 else "stalled",
        )
        sender.cancel()
        await start(dut, start_clock=False)
        assert not await is_busy(dut)
        await assert_quiet(streams[1], 60)
        images = some_images(net, rng, core.side_by_side)
        wanted = score_beats(golden.scores(faulty, images))
        expect(await infer(streams, beats(core, images), len(wanted), 0.0, 0.3), wanted, "score")

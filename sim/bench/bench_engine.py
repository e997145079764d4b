"""Bench of the `stoic_core` of an engine: clean and faulty, with gaps and stalls, golden's scores.

In the working directory lie `core.stoic`, the network, and `core.faults`, a map in its layout.
"""

from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from .. import faults as fault_maps
from .. import golden
from ..core import Core
from ..faults import no_faults
from ..rtl import image_beats
from .bench_core import artefacts, infer, is_busy, load, score_beats, some_images, start
from .stream import Beat
from .tally import expect


def beats(core: Core, images: NDArray[np.uint8]) -> list[Beat]:
    """(lanes, last) of images back to back."""
    words = [
        [int.from_bytes(beat, "little") for beat in image] for image in image_beats(core, images)
    ]
    return [(word, i == len(image) - 1) for image in words for i, word in enumerate(image)]


@cocotb.test(timeout_time=150, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.6])
async def scores_equal_golden(dut: Any, idle: float, stall: float) -> None:
    """Images back to back, B at a time, without faults and under the map."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    core = Core(faults.layout, engine=True)
    streams = await start(dut)
    for chip in (no_faults(faults.layout), faults):
        assert not await is_busy(dut)
        await load(dut, net, chip)
        images = some_images(net, rng, 3 * core.side_by_side)
        wanted = score_beats(golden.scores(fault_maps.apply(net, chip), images))
        got = await infer(streams, beats(core, images), len(wanted), idle, stall)
        expect(got, wanted, "score")
    assert not await is_busy(dut)

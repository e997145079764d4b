"""Bench of a `stoic_core` under a fault map that reaches its memories in one of three ways.

Beside it lie `core.stoic` and `core.faults` as for `bench_core`, and `way`: "writing" (the host
writes the faulty words), "readmemh" (it writes nothing: the memories start with them) or "saboteur"
(it writes the clean words; saboteurs at the memories flip what is read).
"""

from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from .. import faults as fault_maps
from .. import golden
from ..memory import bank_words, stored_bits
from . import host
from .bench_core import artefacts, beats, image_bytes, infer, score_beats, some_images, start
from .cover import Group
from .tally import expect

WAYS = ("writing", "readmemh", "saboteur")
WAY = Group("faults", {"way": WAYS, "input": ("bits", "uint8")}, [("way", "input")])
N_IMAGES = 12


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.5])
async def scores_are_those_of_the_map(dut: Any, stall: float) -> None:
    """Every word reads, and every score is, as golden has them under the map, after a reset too."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, faults = artefacts()
    way = Path("way").read_text()
    streams = await start(dut)
    clean = stored_bits(net, faults.layout)
    cells = faults.read(clean)
    if way != "readmemh":
        written = cells if way == "writing" else clean
        words = bank_words(written, faults.layout)
        await host.write(dut, {i: row.tolist() for i, row in enumerate(words)})
    for bank, content in enumerate(bank_words(cells, faults.layout)):
        expect(await host.read(dut, bank, len(content)), content.tolist())
    WAY.sample(way=way, input=net.layers[0].input)
    faulty = fault_maps.apply(net, faults)
    for _ in range(2):
        images = some_images(net, rng, N_IMAGES)
        wanted = score_beats(golden.scores(faulty, images))
        data = beats(image_bytes(net, images))
        expect(await infer(streams, data, len(wanted), 0.0, stall), wanted, "score")
        streams = await start(dut, start_clock=False)

"""Bench of `stoic_mvu`: a whole layer, its memories written and read back, equal to golden.

Pad lanes of the images and of the weights hold rubbish, as do the neurons past the last one. With
check bits the words of the weights have errors of 0 to 3 bits, and golden has what is decoded. Of
several threshold tables one is used, and the others hold rubbish.
"""

import random
from dataclasses import dataclass, replace
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import ReadOnly, RisingEdge, TaskManager
from cocotb.utils import get_sim_time
from numpy.typing import NDArray

from .. import golden
from ..bits import pack, unpack
from ..layers import Dense, Input
from ..memory import Fold, Layout, Shape, bank_words, threshold_bits
from ..protection import hsiao
from . import host
from .bench_width import words
from .cover import Group
from .stream import CLOCK_NS, Beat, Stream, assert_quiet, blocked, collect, drive, reset, stream
from .tally import expect

MORE_IMAGES = 4  # than the output FIFO holds
N_PLANES = 8
SHAPE = Group(
    "shape",
    {
        "planes": (1, 8),
        "thresholds": (False, True),
        "group": ("1", "more"),
        "folds": ("1", "more"),
        "stretched": (False, True),  # a fold lasts longer than its words
        "pad_lanes": ("none", "some"),
        "pad_neurons": ("none", "some"),
    },
    [("planes", "thresholds")],
)
NEURON = Group(
    "neuron",
    {
        "threshold": ("lowest", "other", "highest"),
        "sum": ("below", "at", "above"),
        "planes": (1, 8),
    },
    [("sum", "planes"), ("threshold", "planes")],
)
PORT = Group("port", {"bank": ("weights", "thresholds", "of another layer")})


def sizes(dut: Any) -> dict[str, int]:
    """Parameters of the unit."""
    names = ("N", "M", "PE", "SIMD", "GROUP", "PLANES", "THRESHOLD_W", "OUT_W", "W_BANK", "T_BANK")
    return {
        name: int(getattr(dut, name).value)
        for name in (*names, "CHECKS", "TABLES", "VALUE_W", "B", "SERIAL", "ROOM", "FORM")
    }


def layout_of(p: dict[str, int]) -> Layout:
    """Layout of the layer, check bits left out."""
    shape = Shape(
        p["N"], p["M"], "uint8" if p["PLANES"] == N_PLANES else "bits", p["THRESHOLD_W"] > 0
    )
    assert shape.threshold_bits == p["THRESHOLD_W"] or not shape.has_thresholds
    return Layout((shape,), (Fold(p["PE"], p["SIMD"]),))


def a_layer(p: dict[str, int], images: NDArray[np.uint8], rng: np.random.Generator) -> Dense:
    """Random weights; thresholds at and above what images reach, and at the ends of the range."""
    kind: Input = "uint8" if p["PLANES"] == N_PLANES else "bits"
    weights = pack(rng.integers(0, 2, (p["M"], p["N"]), dtype=np.uint8))
    layer = Dense("layer", p["N"], weights, None, np.zeros(p["M"], np.bool_), kind)
    if not p["THRESHOLD_W"]:
        return layer
    reached = golden.accumulate(layer, images)
    low, high = layer.threshold_range
    own = reached[rng.integers(0, len(images), p["M"]), np.arange(p["M"])]
    choice = rng.integers(0, 8, p["M"])
    thresholds = np.select([choice < 4, choice < 6, choice == 6], [own, own + 1, low], high)
    return replace(layer, thresholds=thresholds.astype(np.int32))


def memories(p: dict[str, int], layer: Dense, rng: np.random.Generator) -> dict[int, list[int]]:
    """Words of every bank, rubbish in all cells that store nothing."""
    layout = layout_of(p)
    cells = np.zeros(layout.n_cells, np.uint8)
    lanes = np.unpackbits(layer.weights.view(np.uint8), axis=1, bitorder="little")
    layout.put_rows(cells, 0, "weights", lanes[:, : p["N"]])
    if layer.thresholds is not None:
        layout.put_rows(cells, 0, "thresholds", threshold_bits(layer, p["THRESHOLD_W"]))
    cells[~layout.is_stored] = rng.integers(0, 2, int((~layout.is_stored).sum()), dtype=np.uint8)
    first = {"weights": p["W_BANK"], "thresholds": p["T_BANK"]}
    found = {}
    for bank, words_of_bank in zip(layout.banks, bank_words(cells, layout), strict=True):
        row = words_of_bank.tolist()
        if bank.kind == "thresholds":  # other tables hold rubbish
            others = rng.integers(0, 1 << bank.width, (p["TABLES"], bank.n_words)).tolist()
            others[p["TABLE"]] = row
            row = [word for table in others for word in table]
        found[first[bank.kind] + bank.pe] = row
    return found


@dataclass(frozen=True)
class Decoded:
    """What decoders make of all words of the weights.

    Attributes:
        layer: with the weights that they hand on.
        written: words of every bank, with check bits and errors.
        corrected, detected: words.
    """

    layer: Dense
    written: dict[int, list[int]]
    corrected: int
    detected: int


def decoded(
    p: dict[str, int], layer: Dense, banks: dict[int, list[int]], rng: random.Random
) -> Decoded:
    """Check bits for the weight banks, errors of 0 to 3 bits, and what they are decoded to."""
    code = hsiao.code(p["SIMD"])
    assert code.n_checks == p["CHECKS"]
    n = code.n_data + code.n_checks
    layout, written = layout_of(p), dict(banks)
    cells, n_corrected, n_detected = np.zeros(layout.n_cells, np.uint8), 0, 0
    for bank in (b for b in layout.banks if b.kind == "weights"):
        data = np.array(banks[p["W_BANK"] + bank.pe], np.uint64)[:, None]
        errors = [
            sum(1 << i for i in rng.sample(range(n), rng.choice([0, 0, 1, 1, 2, 3]))) for _ in data
        ]
        checks = code.checks(data)
        read = data ^ np.array([e & (1 << p["SIMD"]) - 1 for e in errors], np.uint64)[:, None]
        flipped = checks ^ np.array([e >> p["SIMD"] for e in errors], np.uint16)
        handed, corrected, detected = code.decode(read, flipped)
        written[p["W_BANK"] + bank.pe] = [
            int(c) << p["SIMD"] | int(w) for c, w in zip(flipped, read[:, 0], strict=True)
        ]
        n_corrected += int(corrected.sum())
        n_detected += int(detected.sum())
        end = bank.first_cell + bank.n_words * bank.width
        cells[bank.first_cell : end] = unpack(handed, bank.width).ravel()
    weights = pack(layout.rows(cells, 0, "weights"))
    return Decoded(replace(layer, weights=weights), written, n_corrected, n_detected)


def cover(p: dict[str, int], layer: Dense, images: NDArray[np.uint8]) -> None:
    """Sample what this layer and these images are."""
    stages, busy = p["PE"] // p["GROUP"], -(-p["N"] // p["SIMD"]) * p["PLANES"]
    SHAPE.sample(
        planes=p["PLANES"],
        thresholds=p["THRESHOLD_W"] > 0,
        group="1" if p["GROUP"] == 1 else "more",
        folds="1" if p["M"] <= p["PE"] else "more",
        stretched=2 * stages - 1 > busy,
        pad_lanes="some" if p["N"] % p["SIMD"] else "none",
        pad_neurons="some" if p["M"] % p["PE"] else "none",
    )
    if layer.thresholds is None:
        return
    low, high = layer.threshold_range
    for row in golden.accumulate(layer, images).tolist():
        for value, theta in zip(row, layer.thresholds.tolist(), strict=True):
            NEURON.sample(
                threshold={low: "lowest", high: "highest"}.get(theta, "other"),
                sum="below" if value < theta else "above" if value > theta else "at",
                planes=p["PLANES"],
            )


def image_beats(p: dict[str, int], image: NDArray[np.uint8], rng: random.Random) -> list[Beat]:
    """(word, last, sum at the last) of one image; rubbish in pad lanes and in the sums before."""
    is_uint8 = p["PLANES"] == N_PLANES
    n_steps = -(-p["N"] // p["SIMD"])
    rubbish = [rng.randrange(256 if is_uint8 else 2) for _ in range(n_steps * p["SIMD"] - p["N"])]
    lanes = [*image.tolist(), *rubbish]
    found = []
    for start in range(0, len(lanes), p["SIMD"]):
        for b in range(p["PLANES"]):
            found += words([lane >> b & 1 for lane in lanes[start : start + p["SIMD"]]], p["SIMD"])
    total = int(image.sum()) if is_uint8 else 0
    n = len(found)
    return [
        (w, i == n - 1, total if i == n - 1 else rng.getrandbits(1)) for i, w in enumerate(found)
    ]


def side_by_side(images: list[list[Beat]], n: int, widths: tuple[int, ...]) -> list[Beat]:
    """Beats of n images at a time in one: values of these widths, last, other values.

    Args:
        images: beats (value, last, more values ...) of every image, all of one length.
        widths: bits of the value and of those that follow `last`.
    """
    found = []
    for first in range(0, len(images), n):
        for beat in zip(*images[first : first + n], strict=True):
            values = [
                sum(column << i * width for i, column in enumerate(columns))
                for columns, width in zip(
                    ([b[0] for b in beat], *([b[k] for b in beat] for k in range(2, len(beat[0])))),
                    widths,
                    strict=True,
                )
            ]
            found.append((values[0], beat[0][1], *values[1:]))
    return found


def wanted_beats(p: dict[str, int], layer: Dense, images: NDArray[np.uint8]) -> list[Beat]:
    """(word, last) of all images as golden has them."""
    if layer.thresholds is not None:
        rows = [words(bits.tolist(), p["OUT_W"]) for bits in golden.fire(layer, images)]
    else:
        mask = (1 << p["VALUE_W"]) - 1
        rows = [[int(v) & mask for v in row] for row in golden.accumulate(layer, images)]
    beats: list[list[Beat]] = [[(w, i == len(row) - 1) for i, w in enumerate(row)] for row in rows]
    return side_by_side(beats, p["B"], (p["OUT_W"] if p["THRESHOLD_W"] else p["VALUE_W"],))


@dataclass(frozen=True)
class Ready:
    """A unit after reset, its memories written, and images for it."""

    p: dict[str, int]
    banks: dict[int, list[int]]
    source: Stream
    sink: Stream
    beats: list[Beat]
    wanted: list[Beat]
    rng: random.Random
    corrected: int
    detected: int


async def make(dut: Any) -> Ready:
    """Random layer and images by the seed of the test."""
    rng = random.Random(cocotb.RANDOM_SEED)
    np_rng = np.random.default_rng(rng.getrandbits(64))
    p = sizes(dut)
    p["TABLE"] = rng.randrange(p["TABLES"])  # that is used
    high = 255 if p["PLANES"] == N_PLANES else 1
    images = np_rng.integers(0, high + 1, (n_images(p) * p["B"], p["N"]), dtype=np.uint8)
    images[0], images[1] = 0, high
    layer = a_layer(p, images, np_rng)
    banks = memories(p, layer, np_rng)
    corrected = detected = 0
    if p["CHECKS"]:
        chip = decoded(p, layer, banks, rng)
        layer, banks, corrected, detected = chip.layer, chip.written, chip.corrected, chip.detected
    cover(p, layer, images)
    source = stream(dut, "s_axis", "data", "last", "user")
    sink = stream(dut, "m_axis", "data", "last")
    host.release(dut)
    dut.table_i.value = p["TABLE"]
    dut.cfg_rvalid_i.value = dut.cfg_rdata_i.value = sink.ready.value = 0
    await reset(dut, source)
    await host.write(dut, banks)
    sum_bits = int(dut.SUM_W.value)
    n_in = 1 if p["SERIAL"] else p["B"]
    each = [image_beats(p, image, rng) for image in images]
    beats = side_by_side(each, n_in, (p["SIMD"], sum_bits))
    wanted = wanted_beats(p, layer, images)
    reads = n_images(p) * p["PLANES"]  # of every word
    return Ready(p, banks, source, sink, beats, wanted, rng, reads * corrected, reads * detected)


async def count_words(dut: Any, counts: list[int]) -> None:
    """Add up the words that are corrected and detected, until cancelled."""
    while True:
        await ReadOnly()
        counts[0] += int(dut.corrected_o.value)
        counts[1] += int(dut.detected_o.value)
        await RisingEdge(dut.clk_i)


async def finish(dut: Any, unit: Ready, got: list[Beat]) -> None:
    """Assert that the output is golden's, that nothing is left over and that nothing was lost."""
    expect(got, unit.wanted)
    await assert_quiet(unit.sink, 50)
    assert int(dut.overflow_o.value) == 0


@cocotb.test(timeout_time=100, timeout_unit="us")
async def memories_read_back(dut: Any) -> None:
    """Every cell holds what was written to it; banks of other layers are ignored."""
    unit = await make(dut)
    others = (min(unit.banks) - 1, max(unit.banks) + 1)
    await host.write(dut, {bank: [unit.rng.getrandbits(64)] for bank in others})
    for bank, content in unit.banks.items():
        is_weight = 0 <= bank - unit.p["W_BANK"] < unit.p["PE"]
        PORT.sample(bank="weights" if is_weight else "thresholds")
        expect(await host.read(dut, bank, len(content)), content)
    PORT.sample(bank="of another layer")
    assert not [word for bank in others for word in await host.read(dut, bank, 1)]


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.5])
async def equals_golden(dut: Any, idle: float, stall: float) -> None:
    """Every word of back-to-back images is golden's; no gaps and stalls: at the promised rate."""
    unit = await make(dut)
    rng, start, counts = unit.rng, get_sim_time("ns"), [0, 0]
    counter = cocotb.start_soon(count_words(dut, counts))
    async with TaskManager() as tasks:
        tasks.start_soon(drive(unit.source, unit.beats, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(unit.sink, len(unit.wanted), lambda: rng.random() < stall)
        )
    cycles = (get_sim_time("ns") - start) / CLOCK_NS
    await finish(dut, unit, got.result())
    counter.cancel()
    expect(counts, [unit.corrected, unit.detected], "number of words")
    if not idle and not stall:
        limit = promised_cycles(unit.p)
        assert cycles <= limit, f"{cycles} cycles for {n_images(unit.p)} images, not {limit}"


@cocotb.test(timeout_time=100, timeout_unit="us")
async def loses_nothing_while_the_sink_stops(dut: Any) -> None:
    """A sink that takes nothing for long stops the source in time; every word comes out later."""
    unit = await make(dut)
    async with TaskManager() as tasks:
        tasks.start_soon(drive(unit.source, unit.beats, lambda: False))
        await blocked(unit.source, 3 * promised_cycles(unit.p))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(unit.sink, len(unit.wanted), lambda: False)
        )
    await finish(dut, unit, got.result())


def n_images(p: dict[str, int]) -> int:
    """Images of a test, or times B where that many are side by side."""
    return MORE_IMAGES + p["ROOM"]


def promised_cycles(p: dict[str, int]) -> int:
    """Cycles that all images may take on an idle unit: load, images at full rate, latency.

    Images go B at a time. ROOM times B may be between their start and their last output word, and
    two pages of them wait or are worked on, which bounds the rate of small layers.
    """
    stages, n_steps = p["PE"] // p["GROUP"], -(-p["N"] // p["SIMD"])
    busy = n_steps * p["PLANES"]
    load = busy * (p["B"] if p["SERIAL"] else 1)
    n_out = -(-p["M"] // p["OUT_W"]) if p["THRESHOLD_W"] else p["M"]
    image = max(-(-p["M"] // p["PE"]) * max(busy, 2 * stages - 1), n_out, load)
    latency = (
        image + 2 * stages + (-(-p["SIMD"] // 15) - 1).bit_length() + 17 + (2 if p["CHECKS"] else 0)
    )
    each = max(image, -(-(latency + 6) // p["ROOM"]), (load + image + 4) // 2, 3)
    return load + (n_images(p) - 1) * each + latency

"""Bench of a generated `stoic_core` with injectors: scores and counts of errors are the model's.

Its layers may be dense or convolutions.

In the working directory lie `core.stoic`, the network, and `core.faults`, a map in the layout of
the core; the form of the injectors is that of `stoic_core`'s text.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from .. import faults as fault_maps
from .. import injected, registers
from ..core import FORMS, core_of
from ..faults import FaultMap
from ..injector import ReadErrors
from ..network import Network
from . import host
from .bench_core import (
    artefacts,
    assert_nothing_counted,
    beats,
    image_bytes,
    infer,
    load,
    score_beats,
    some_images,
    start,
)
from .cover import Group
from .stream import drive
from .tally import expect

RATES = ((0.5, 0.5), (0.03, 0.2), (0.0, 0.0))
FORM = Path("form")  # a file that holds its name
ERRORS = Group(
    "errors",
    {
        "form": FORMS,
        "rates": ("none", "low", "1/2"),
        "banks": ("all", "some are off"),
        "layers": ("dense", "convolutions"),
    },
    [("form", "rates"), ("form", "banks"), ("form", "layers")],
)


def read_errors(net: Network, chip: FaultMap, p01: float, p10: float) -> ReadErrors:
    """Of the core of this run."""
    form = FORMS[FORMS.index(FORM.read_text(encoding="utf-8"))]
    return ReadErrors(replace(core_of(net, chip.layout), injector=form), p01, p10, seed=4)


def sample(errors: ReadErrors) -> None:
    """Count what images meet under these settings."""
    most = max(errors.p01, errors.p10)
    ERRORS.sample(
        form=errors.form,
        rates={0.0: "none", 0.5: "1/2"}.get(most, "low"),
        banks="some are off" if errors.off else "all",
        layers="convolutions" if any(errors.core.windows) else "dense",
    )


@cocotb.test(timeout_time=300, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.3], stall=[0.0, 0.6])
async def scores_equal_those_of_the_model(dut: Any, idle: float, stall: float) -> None:
    """Rates one after another over a faulty memory, every second bank off at last."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, chip = artefacts()
    errors = read_errors(net, chip, 0.0, 0.0)
    weights = [bank.name for bank in chip.layout.banks if bank.kind == "weights"]
    settings = [replace(errors, p01=p01, p10=p10) for p01, p10 in RATES]
    streams = await start(dut)
    await load(dut, net, chip)
    faulty = fault_maps.apply(net, chip)
    bank, n_words = registers.bank(errors.core), registers.n_words(errors.core)
    for setting in (*settings, replace(settings[0], off=tuple(weights[::2]))):
        set_up = {i: words.tolist() for i, words in setting.registers().items()}
        await host.write(dut, set_up)
        await host.write_word(dut, bank, registers.CLEAR, 0)
        images = some_images(net, rng)
        sample(setting)
        wanted = score_beats(injected.scores(faulty, images, setting))
        data = beats(image_bytes(net, images))
        expect(await infer(streams, data, len(wanted), idle, stall), wanted, "score")
        told = await host.read(dut, bank, n_words)
        disturbed = list(injected.disturbed_words(setting, len(images)))
        expect(told[registers.WORDS :: 2], disturbed, "words disturbed in layer")


@cocotb.test(timeout_time=150, timeout_unit="us")
async def counts_nothing_of_before_a_reset(dut: Any) -> None:
    """Reset for a cycle while words are read with errors."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    net, chip = artefacts()
    errors = read_errors(net, chip, 0.5, 0.5)
    streams = await start(dut)
    await load(dut, net, chip)
    for wait in rng.integers(20, 300, 12).tolist():
        await host.write(dut, {i: words.tolist() for i, words in errors.registers().items()})
        data = beats(image_bytes(net, some_images(net, rng)))
        sender = cocotb.start_soon(drive(streams[0], data, lambda: False))
        for _ in range(wait):
            await RisingEdge(dut.clk_i)
        sender.cancel()
        await start(dut, start_clock=False, n_cycles=1)
        await assert_nothing_counted(dut, chip)

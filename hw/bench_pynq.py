"""Bench of a generated `stoic_zynq`: the driver of the board on a bus of cocotbext-axi.

What pynq gives stands here in its place, over the simulated bus: registers, buffers, and a DMA that
moves packets. An access that the core refuses is a `BusError`, as a Zynq ends Python for it. In the
working directory lie `core.stoic` and `core.faults`, and in `driver.json` what to replace in the
driver's text.
"""

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import Task, bridge, resume
from cocotb.triggers import ClockCycles
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)
from numpy.typing import NDArray

from ..sim import faults as fault_maps
from ..sim import golden, network, registers
from ..sim.bench.tally import expect
from ..sim.core import Core
from ..sim.exceptions import StoicError
from ..sim.faults import FaultMap
from ..sim.hardware import written
from ..sim.memory import Fold, Layout, bank_words
from ..sim.network import Network
from . import pynq

CYCLES = 50  # between two looks at a channel
N_IMAGES, PER_BATCH = 8, 3  # two whole packets, and one that is not


class BusError(Exception):
    """The core refused an access: the end of Python on a Zynq."""


class Registers:
    """The registers of the core, as pynq's MMIO reads and writes them."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self.n_words_written = 0
        self.n_words_left = 0  # words of a call, and what happens before the last of them
        self.before_last: Callable[[], None]

    def _meet(self, offset: int) -> None:
        if offset == pynq.LOW and self.n_words_left:
            self.n_words_left -= 1
            if not self.n_words_left:
                self.before_last()

    def read(self, offset: int) -> int:
        self._meet(offset)
        answer = resume(self._host.read)(offset, 4)
        if answer.resp != AxiResp.OKAY:
            raise BusError(f"read of {offset:#x}")
        return int.from_bytes(answer.data, "little")

    def write(self, offset: int, value: int) -> None:
        self._meet(offset)
        self.n_words_written += offset == pynq.HIGH
        if resume(self._host.write)(offset, value.to_bytes(4, "little")).resp != AxiResp.OKAY:
            raise BusError(f"write of {offset:#x}")


class Channel:
    """One direction of an AXI DMA without scatter and gather: one packet a transfer."""

    def __init__(self, dut: Any, end: Any) -> None:
        self._dut, self._end = dut, end
        self._task: Task[None] | None = None
        self.before: Callable[[], None] | None = None  # what happens just before a transfer

    @property
    def is_active(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def idle(self) -> bool:
        resume(self._look)()
        return not self.is_active

    def transfer(self, array: NDArray[Any], start: int = 0, nbytes: int = 0) -> None:
        assert not self.is_active, "DMA channel not idle"
        assert 0 < nbytes <= array.nbytes
        if self.before is not None:
            self.before()
        resume(self._begin)(array.reshape(-1).view(np.uint8)[start : start + nbytes])

    def wait(self) -> None:
        assert self._task is not None
        self._task.result()  # raises what the transfer met

    async def _look(self) -> None:
        await ClockCycles(self._dut.aclk, CYCLES)

    async def _begin(self, data: NDArray[np.uint8]) -> None:
        self._task = cocotb.start_soon(self._move(data))

    async def _move(self, data: NDArray[np.uint8]) -> None:
        if isinstance(self._end, AxiStreamSource):
            await self._end.send(AxiStreamFrame(data.tobytes()))
            await self._end.wait()
        else:
            packet = bytes((await self._end.recv()).tdata)
            if len(packet) > len(data):
                raise BusError("DMA internal error: the packet is longer than its buffer")
            data[: len(packet)] = np.frombuffer(packet, np.uint8)


class Dma:
    """An AXI DMA; it takes scores only while a transfer is on."""

    def __init__(self, dut: Any, rng: random.Random, idle: float, stall: float) -> None:
        ends = {"reset": dut.aresetn, "reset_active_level": False}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, **ends)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, **ends)
        self.sendchannel, self.recvchannel = Channel(dut, self.source), Channel(dut, self.sink)
        self.is_open: bool | None = None  # whether scores are taken; None: while a transfer is on

        def pauses() -> Iterator[bool]:
            while True:
                is_open = self.recvchannel.is_active if self.is_open is None else self.is_open
                yield not is_open or rng.random() < stall

        self.source.set_pause_generator(rng.random() < idle for _ in itertools.count())
        self.sink.set_pause_generator(pauses())


@dataclass(frozen=True)
class Overlay:
    """What pynq's Overlay would give."""

    stoic: Registers
    dma: Dma


def allocate(shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    """A buffer, full of what was there before."""
    return np.full(shape, 0x5A, dtype)


def artefacts() -> tuple[Network, FaultMap]:
    """The network and the faults of its chip."""
    return network.load(Path("core.stoic")), fault_maps.load(Path("core.faults"))


def driver() -> ModuleType:
    """The driver, or a mutant of it."""
    text = Path(pynq.__file__).read_text(encoding="utf-8")
    for old, new in json.loads(Path("driver.json").read_text()):
        assert text.count(old) == 1
        text = text.replace(old, new)
    module = ModuleType(pynq.__name__)
    module.__package__ = pynq.__package__
    exec(compile(text, pynq.__file__, "exec"), module.__dict__)
    return module


async def start(dut: Any, idle: float = 0.3, stall: float = 0.3) -> Overlay:
    """The overlay after a reset."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dut.aresetn.value = 0
    bus = AxiLiteBus.from_prefix(dut, "s_axil")
    host: Any = AxiLiteMaster(bus, dut.aclk, dut.aresetn, reset_active_level=False)
    dma = Dma(dut, rng, idle, stall)
    Clock(dut.aclk, 10, unit="ns").start()
    await pulse(dut)
    return Overlay(Registers(host), dma)


async def pulse(dut: Any) -> None:
    """A reset."""
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 5)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 5)


def open_device(overlay: Overlay, layout: Layout, **more: Any) -> pynq.PynqDevice:
    """The driver on the overlay."""
    core = Core(layout)
    batch_bytes = PER_BATCH * layout.shapes[0].n_inputs
    device: pynq.PynqDevice = driver().PynqDevice(
        overlay, allocate, core, batch_bytes=batch_bytes, **more
    )
    return device


def some_images(net: Network) -> NDArray[np.uint8]:
    """Random images of the seed."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    return rng.integers(0, 256, (N_IMAGES, net.layers[0].n_inputs), np.uint8)


def refuses(call: Callable[[], Any], why: str) -> None:
    """Expect one clear line."""
    try:
        call()
    except StoicError as error:
        expect([why in str(error) or str(error)], [True], "refusal")
    else:
        raise AssertionError(f"went unnoticed: {why}")


def scores_of(device: pynq.PynqDevice, net: Network, images: NDArray[np.uint8]) -> None:
    """Compare every score with golden's."""
    expect(device.infer(images).tolist(), golden.scores(net, images).tolist(), "scores")


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def gives_goldens_scores(dut: Any) -> None:
    """Fault-free, under a map of which only the words that differ are written, and without it."""
    overlay = await start(dut)
    net, faults = artefacts()
    faulty, images = fault_maps.apply(net, faults), some_images(net)

    def host() -> None:
        device = open_device(overlay, faults.layout)
        device.load(net)
        scores_of(device, net, images)
        clean, lying = (
            bank_words(written(net, faults.layout, m), faults.layout) for m in (None, faults)
        )
        expect([w.tolist() for w in device.read_back()], [w.tolist() for w in clean], "bank")
        n_changed = sum(int((a != b).sum()) for a, b in zip(clean, lying, strict=True))
        n_words = sum(len(words) for words in clean)
        assert 0 < n_changed < n_words
        before = overlay.stoic.n_words_written
        assert before == n_words
        device.inject(faults)
        expect([overlay.stoic.n_words_written - before], [n_changed], "words written")
        scores_of(device, faulty, images)
        expect([w.tolist() for w in device.read_back()], [w.tolist() for w in lying], "bank")
        device.inject(None)
        scores_of(device, net, images[:1])
        told = device.registers()
        margins = [golden.margin(golden.scores(n, images)) for n in (net, faulty)]
        margins.append(golden.margin(golden.scores(net, images[:1])))
        n_all = 2 * N_IMAGES + 1
        expect([device.counters()["images"], told.images], [n_all, n_all], "counted")
        expect([told.margin_sum], [sum(int(m.sum()) for m in margins)], "sum of margins")

    await bridge(host)()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def survives_a_reset(dut: Any) -> None:
    """None goes unnoticed, be it between two calls or in mid-batch; the network is loaded again."""
    overlay = await start(dut)
    net, faults = artefacts()
    images = some_images(net)

    def host() -> None:
        device = open_device(overlay, faults.layout)
        device.load(net)
        device.inject(faults)
        scores_of(device, fault_maps.apply(net, faults), images[:2])
        for call in (device.registers, lambda: device.infer(images), lambda: device.inject(None)):
            resume(pulse)(dut)
            refuses(call, "it was reset")
            expect([device.registers().images], [0], "images after a reset")
            refuses(lambda: device.infer(images), "load a network")
            device.load(net)
        overlay.stoic.before_last = lambda: resume(pulse)(dut)
        n_words = registers.n_words(Core(faults.layout))
        for n, call in ((n_words, device.registers), (1, lambda: device.bound_margins(3))):
            overlay.stoic.n_words_left = n
            refuses(call, "it was reset")
            device.load(net)
        scores_of(device, net, images)
        expect([device.counters()["images"]], [N_IMAGES], "images since the reset")
        resume(pulse)(dut)
        open_device(overlay, faults.layout)
        refuses(lambda: device.infer(images), "another host asked it")
        device.adopt(net)
        resume(pulse)(dut)
        device.adopt(net)
        scores_of(device, net, images)

        async def soon() -> None:
            while not overlay.dma.sendchannel.is_active:
                await ClockCycles(dut.aclk, 1)
            await ClockCycles(dut.aclk, 60)  # into the images, and no request of the host
            await pulse(dut)

        overlay.dma.recvchannel.before = lambda: resume(pulse)(dut)
        refuses(lambda: device.infer(images), "it was reset")
        overlay.dma.recvchannel.before = None
        hasty = open_device(overlay, faults.layout, timeout_s=0.2)
        hasty.load(net)
        resume(begin)(soon)
        refuses(lambda: hasty.infer(images), "load the overlay again")

    async def begin(coroutine: Any) -> None:
        cocotb.start_soon(coroutine())

    await bridge(host)()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def notices_another_host(dut: Any) -> None:
    """One that sends an image between two packets."""
    overlay = await start(dut)
    net, faults = artefacts()
    images = some_images(net)

    async def theirs() -> None:
        overlay.dma.source.send_nowait(AxiStreamFrame(images[0].tobytes()))
        overlay.dma.is_open = True
        await overlay.dma.sink.recv()
        overlay.dma.is_open = None

    def host() -> None:
        device = open_device(overlay, faults.layout)
        device.load(net)
        overlay.dma.recvchannel.before = resume(theirs)
        refuses(lambda: device.infer(images[:1]), "counted 2 images, sent were 1")

    await bridge(host)()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def leaves_memories_alone_while_an_image_is_inside(dut: Any) -> None:
    """The core would refuse, which the driver must not provoke; its registers may be asked."""
    overlay = await start(dut)
    net, faults = artefacts()
    images = some_images(net)

    def host() -> None:
        device = open_device(overlay, faults.layout)
        device.load(net)
        overlay.dma.is_open = False
        scores = np.zeros(net.n_classes, np.int32)
        overlay.dma.recvchannel.transfer(scores, nbytes=scores.nbytes)
        overlay.dma.sendchannel.transfer(images[0], nbytes=images[0].nbytes)
        while not overlay.dma.sendchannel.idle:
            pass
        assert overlay.stoic.read(pynq.STATUS) == 1
        assert device.counters()["images"] <= 1
        resume(begin)()
        device.inject(faults)
        expect([scores.tolist()], golden.scores(net, images[:1]).tolist(), "scores")
        scores_of(device, fault_maps.apply(net, faults), images)

    async def begin() -> None:
        cocotb.start_soon(later())

    async def later() -> None:
        await ClockCycles(dut.aclk, 400)
        overlay.dma.is_open = None

    await bridge(host)()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def keeps_packets_apart(dut: Any) -> None:
    """A DMA that has two packets ready gets the scores of each in a packet of its own."""
    overlay = await start(dut, idle=0.0)
    net, faults = artefacts()
    images = some_images(net)[:3]
    await bridge(lambda: open_device(overlay, faults.layout).load(net))()
    for part in (images[:2], images[2:]):
        overlay.dma.source.send_nowait(AxiStreamFrame(part.tobytes()))
    overlay.dma.is_open = True
    packets = [bytes((await overlay.dma.sink.recv()).tdata) for _ in range(2)]
    wanted = golden.scores(net, images).astype("<i4")
    expect(packets, [wanted[:2].tobytes(), wanted[2:].tobytes()], "packet")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def refuses_another_core(dut: Any) -> None:
    """An overlay of another folding is told by its hash."""
    overlay = await start(dut)
    layout = artefacts()[1].layout
    other = Layout(layout.shapes, (Fold(1, 1), *layout.folds[1:]))

    def host() -> None:
        refuses(lambda: open_device(overlay, other), "built for layout")

    await bridge(host)()

"""Bench of a generated `stoic_soc`: a network loaded over AXI4-Lite, images over AXI4-Stream.

Beside it in the working directory lie `core.stoic` and `core.faults` as for `bench_core`, and
`soc.bin`: the words that can only be read, from address 0 on, zeros where there are none.
"""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import RisingEdge, TaskManager
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from .. import golden, registers
from ..hardware import seen, written
from ..memory import bank_words
from .bench_core import MORE_IMAGES, artefacts, beats, image_bytes, score_beats, some_images
from .cover import Group
from .stream import Beat, Stream, assert_quiet, collect, drive, reset, stream
from .tally import expect

Host = Any  # an AxiLiteMaster; its package is typed in part
STATUS, POINTER, LOW, HIGH = 0x08, 0x40, 0x44, 0x48
OKAY, SLVERR = AxiResp.OKAY, AxiResp.SLVERR
N_RESETS = 12
READABLE = (0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, *range(0x20, 0x40, 4), POINTER, LOW, HIGH)

ACCESS = Group(
    "access",
    {
        "to": ("identity", "no address", "memory", "no word", "no bank", "registers"),
        "access": ("read", "write"),
        "core": ("empty", "busy"),
    },
    [("to", "access"), ("core", "access")],
)
PARTS = [(at, n) for at in range(4) for n in range(1, 5 - at)]  # of a half: first byte, bytes
STROBES = Group(
    "strobes",
    {"half": ("low", "high"), "first": (0, 1, 2, 3), "bytes": (1, 2, 3, 4)},
    [("half", "first")],
)
RESET = Group(
    "reset",
    {"transfer": ("write", "read"), "image": ("none", "enters", "is inside")},
    [("transfer", "image")],
)


async def start(dut: Any) -> tuple[Host, Stream, Stream]:
    """Host and streams after a reset."""
    source, sink = stream(dut, "s_axis", "data", "last"), stream(dut, "m_axis", "data", "last")
    sink.ready.value = 0
    host: Host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk_i, dut.rst_i)
    await reset(dut, source)
    return host, source, sink


def sample(to: str, *accesses: str, core: str = "empty") -> None:
    """Count requests."""
    for access in accesses:
        ACCESS.sample(to=to, access=access, core=core)


def pauses(rng: random.Random, rate: float) -> Iterator[bool]:
    """Cycles in which a channel does nothing."""
    return (rng.random() < rate for _ in itertools.count())


async def point(host: Host, bank: int, word: int = 0) -> None:
    """Set the pointer."""
    await host.write_dword(POINTER, bank << 16 | word)


async def put(host: Host, word: int) -> AxiResp:
    """Write the word that the pointer names."""
    return (await host.write(LOW, word.to_bytes(8, "little"))).resp


async def get(host: Host) -> tuple[AxiResp, int]:
    """Read the word that the pointer names."""
    read = await host.read(LOW, 8)
    return read.resp, int.from_bytes(read.data, "little")


async def load(host: Host) -> list[list[int]]:
    """Write what the memories of the faulty chip hold; the words of every bank."""
    net, faults = artefacts()
    banks = [row.tolist() for row in bank_words(written(net, faults.layout, faults), faults.layout)]
    sample("memory", "write")
    for bank, content in enumerate(banks):
        await point(host, bank)
        answers = [host.init_write(LOW, int(word).to_bytes(8, "little")) for word in content]
        for answer in answers:  # back to back: all were asked for at once
            await answer.wait()
            assert answer.data.resp == OKAY
    return banks


async def holds(host: Host, banks: list[list[int]]) -> None:
    """Read all words of all banks back, one request after the other without waiting."""
    sample("memory", "read")
    for bank, content in enumerate(banks):
        await point(host, bank)
        answers = [host.init_read(LOW, 8) for _ in content]
        found = []
        for answer in answers:
            await answer.wait()
            assert answer.data.resp == OKAY
            found.append(int.from_bytes(answer.data.data, "little"))
        expect(found, content)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def says_what_it_is(dut: Any) -> None:
    """Zeros after a reset; every word that can only be read: a write to one changes nothing."""
    host, _, _ = await start(dut)
    expect([await host.read_dword(a) for a in (POINTER, HIGH)], [0, 0], "after reset")
    wanted = Path("soc.bin").read_bytes()
    addresses = [a for a in READABLE if a < POINTER]
    sample("identity", "read", "write")
    for _ in range(2):
        found = [await host.read_dword(a) for a in addresses]
        expect(found, [int.from_bytes(wanted[a : a + 4], "little") for a in addresses])
        for address in addresses:
            assert (await host.write(address, b"\xa5\x5a\xa5\x5a")).resp == SLVERR


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.4], stall=[0.0, 0.5])
async def loads_and_infers(dut: Any, idle: float, stall: float) -> None:
    """All words written and read back, then images: golden's scores, with gaps on all channels."""
    rng = random.Random(cocotb.RANDOM_SEED)
    host, source, sink = await start(dut)
    for channel in (host.write_if.aw_channel, host.write_if.w_channel, host.read_if.ar_channel):
        channel.set_pause_generator(pauses(rng, idle))
    for channel in (host.write_if.b_channel, host.read_if.r_channel):
        channel.set_pause_generator(pauses(rng, stall))
    net, faults = artefacts()
    banks = await load(host)
    await holds(host, banks)
    images = some_images(net, np.random.default_rng(rng.getrandbits(64)))
    wanted = score_beats(golden.scores(seen(net, faults.layout, faults), images))
    async with TaskManager() as tasks:
        data = beats(image_bytes(net, images))
        tasks.start_soon(drive(source, data, lambda: rng.random() < idle))
        got: Task[list[Beat]] = tasks.start_soon(
            collect(sink, len(wanted), lambda: rng.random() < stall)
        )
    expect(got.result(), wanted, "score")
    await assert_quiet(sink, 40)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def keeps_bytes_without_their_strobe(dut: Any) -> None:
    """Single bytes and halves go where they belong; the others stay, also those of the pointer."""
    rng = random.Random(cocotb.RANDOM_SEED)
    host, _, _ = await start(dut)
    _, faults = artefacts()
    bank = max(faults.layout.banks, key=lambda b: (b.width, b.n_words))
    number = faults.layout.banks.index(bank)
    mask = (1 << bank.width) - 1
    await point(host, number)
    assert (await host.write(HIGH + 3, bytes(1))).resp == OKAY
    await point(host, number)
    expect([await get(host)], [(OKAY, 0)], "word of which one byte was written after reset")
    await point(host, 0)
    await host.write(POINTER + 2, number.to_bytes(2, "little"))
    held = bytearray(8)
    wrote: dict[int, int] = {}
    for k in range(2 * bank.n_words):
        address = k % bank.n_words
        await host.write(POINTER, bytes([address]))
        for at, n in rng.sample(PARTS, 3):
            held[at : at + n] = rng.randbytes(n)
            STROBES.sample(half="low", first=at, bytes=n)
            assert (await host.write(LOW + at, bytes(held[at : at + n]))).resp == OKAY
        at = k % 4
        held[4 + at : 5 + at] = rng.randbytes(1)
        STROBES.sample(half="high", first=at, bytes=1)
        assert (await host.write(HIGH + at, bytes(held[4 + at : 5 + at]))).resp == OKAY
        wrote[address] = int.from_bytes(held, "little") & mask
        assert await host.read_dword(POINTER) == number << 16 | address + 1
    await point(host, number)
    expect([(await get(host))[1] for _ in wrote], list(wrote.values()))


@cocotb.test(timeout_time=400, timeout_unit="us")
async def refuses_what_is_not_there(dut: Any) -> None:
    """Unknown addresses, banks and words: SLVERR, data 0, and nothing changed."""
    host, _, _ = await start(dut)
    banks = await load(host)
    sample("no address", "read", "write")
    for address in (a for a in range(0, 256, 4) if a not in READABLE):
        read = await host.read(address, 4)
        assert (read.resp, bytes(read.data)) == (SLVERR, bytes(4))
        assert (await host.write(address, b"\xff\xff\xff\xff")).resp == SLVERR
    n_banks = await host.read_dword(0x0C)
    places = [(n_banks, 0), (0xFFFF, 0), (0, 0xFFFF)]
    places += [(bank, len(content)) for bank, content in enumerate(banks)]
    for bank, word in places:
        sample("no word" if bank < n_banks else "no bank", "read", "write")
        await point(host, bank, word)
        assert (await host.write(HIGH, b"\xff\xff\xff\xff")).resp == SLVERR
        assert (await host.read(LOW, 4)).resp == SLVERR
        assert await host.read_dword(POINTER) == bank << 16 | word
    await holds(host, banks)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def leaves_memories_alone_while_busy(dut: Any) -> None:
    """With an image inside, memories are refused and registers are not; the scores stay right."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    host, source, sink = await start(dut)
    net, faults = artefacts()
    banks = await load(host)
    images = some_images(net, rng, 2)
    wanted = score_beats(golden.scores(seen(net, faults.layout, faults), images))
    assert await host.read_dword(STATUS) == 0
    sender = cocotb.start_soon(drive(source, beats(image_bytes(net, images)), lambda: False))
    for _ in range(20):
        await RisingEdge(dut.clk_i)
    assert await host.read_dword(STATUS) == 1
    sample("memory", "read", "write", core="busy")
    sample("registers", "read", "write", core="busy")
    for bank in range(len(banks)):
        await point(host, bank)
        assert (await host.write(HIGH, b"\xff\xff\xff\xff")).resp == SLVERR
        assert (await get(host))[0] == SLVERR
        await point(host, len(banks), registers.BOUND)
        assert await put(host, bank) == OKAY
        await point(host, len(banks), registers.BOUND)
        expect([await get(host)], [(OKAY, bank)], "register")
    got = await collect(sink, len(wanted), lambda: False)
    await sender
    expect(got, wanted, "score")
    for _ in range(8):
        await RisingEdge(dut.clk_i)
    assert await host.read_dword(STATUS) == 0
    await holds(host, banks)


@cocotb.test(timeout_time=800, timeout_unit="us")
async def writes_between_images(dut: Any) -> None:
    """A host that asks while images stream gets its turn or an error; scores and words stay right.

    A read that met a running image would exchange the words of that image.
    """
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    host, source, sink = await start(dut)
    net, faults = artefacts()
    banks = await load(host)
    images = some_images(net, rng, MORE_IMAGES)
    wanted = score_beats(golden.scores(seen(net, faults.layout, faults), images))
    idle = random.Random(cocotb.RANDOM_SEED)
    answers = []
    async with TaskManager() as tasks:
        data = beats(image_bytes(net, images))
        tasks.start_soon(drive(source, data, lambda: idle.random() < 0.3))
        got: Task[list[Beat]] = tasks.start_soon(collect(sink, len(wanted), lambda: False))
        while not got.done():
            bank = int(rng.integers(len(banks)))
            word = int(rng.integers(len(banks[bank])))
            await point(host, bank, word)
            answers.append((await host.read(LOW, 4)).resp)
            answers.append(await put(host, banks[bank][word]))
    expect(got.result(), wanted, "score")
    assert SLVERR in answers
    await holds(host, banks)


@cocotb.test(timeout_time=800, timeout_unit="us")
async def begins_anew_after_reset(dut: Any) -> None:
    """Reset for a cycle in the middle of a transfer and of an image: the next ones are whole.

    Memories keep their words, the pointer and both halves of a word are zero.
    """
    rng = np.random.default_rng(cocotb.RANDOM_SEED % 2**64)
    host, source, sink = await start(dut)
    net, faults = artefacts()
    banks = await load(host)
    faulty = seen(net, faults.layout, faults)
    images = some_images(net, rng, 2)
    data = beats(image_bytes(net, images))
    for k in range(N_RESETS):
        is_write, wait = k % 2 == 0, [0, 8, 200][k % 3]  # cycles
        bank = int(rng.integers(len(banks)))
        await point(host, bank)
        sender = cocotb.start_soon(drive(source, data if wait else [], lambda: False))
        sink.ready.value = 1
        for _ in range(wait):
            await RisingEdge(dut.clk_i)
        RESET.sample(
            transfer="write" if is_write else "read",
            image={0: "none", 8: "enters"}.get(wait, "is inside"),
        )
        word = banks[bank][0].to_bytes(8, "little")
        transfer = host.init_write(LOW, word) if is_write else host.init_read(LOW, 8)
        for _ in range(int(rng.integers(1, 30))):
            await RisingEdge(dut.clk_i)
        sender.cancel()
        sink.ready.value = 0
        await reset(dut, source, start_clock=False, n_cycles=1)
        await transfer.wait()  # the host gives it up
        expect([await host.read_dword(a) for a in (STATUS, POINTER, HIGH)], [0, 0, 0], "register")
        await point(host, 0)
        assert (await host.write(HIGH, bytes(4))).resp == OKAY
        await point(host, 0)
        expect([await get(host)], [(OKAY, 0)], "word whose low half was not written")
        await point(host, 0)
        assert await put(host, banks[0][0]) == OKAY
        await holds(host, banks)
        wanted = score_beats(golden.scores(faulty, images))
        async with TaskManager() as tasks:
            tasks.start_soon(drive(source, data, lambda: False))
            got: Task[list[Beat]] = tasks.start_soon(collect(sink, len(wanted), lambda: False))
        expect(got.result(), wanted, "score")

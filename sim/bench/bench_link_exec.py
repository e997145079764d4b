"""Bench of `stoic_link_exec`: what frames do whose bytes come with gaps, which no page has.

Beside it stand memories that answer, a sink of images and one of words; all of them wait at times.
"""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from .bench_link import COMMANDS, IDENTIFY, INFER, OK, READ, WRITE, at, words
from .cover import Group
from .stream import reset, spoil
from .tally import expect

DEPTH = 20  # words of the bank
READ_CYCLES = 2
FRAME = Group(
    "frame",
    {"command": ("identify", "write", "read", "infer"), "bytes": ("back to back", "with gaps")},
    [("command", "bytes")],
)


class Around:
    """What stands around the unit, cycle by cycle.

    Attributes:
        answers: (sequence, command, status, length) of answers that were started.
        images, given: bytes of images and of words that left, with their last flag.
        memory: of bank 1.
    """

    def __init__(self, dut: Any, gap: float) -> None:
        self.dut, self.gap = dut, gap
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.answers: list[tuple[int, ...]] = []
        self.images: list[tuple[int, int]] = []
        self.given: list[tuple[int, int]] = []
        self.memory = [0] * DEPTH
        self.reads: list[int | None] = [None] * READ_CYCLES
        self.left = 0  # cycles until the answer is done

    async def cycle(self) -> bool:
        """A cycle; whether the unit took the byte that it was offered."""
        dut, rng = self.dut, self.rng
        dut.image_tready.value, dut.word_tready.value = rng.random() > 0.3, rng.random() > 0.3
        dut.answer_done_i.value = self.left == 1
        self.left = max(0, self.left - 1)
        read = self.reads.pop(0)
        dut.cfg_rvalid_i.value, dut.cfg_rdata_i.value = read is not None, read or 0
        await ReadOnly()
        if int(dut.answer_start_o.value):
            ports = (dut.sequence_o, dut.command_o, dut.status_o, dut.answer_length_o)
            self.answers.append(tuple(int(port.value) for port in ports))
            self.left = 8 * (self.answers[-1][-1] + 2) + rng.randrange(9)
        for taken, way in ((self.images, "image"), (self.given, "word")):
            byte, valid, ready, last = (
                getattr(dut, f"{way}_t{name}") for name in ("data", "valid", "ready", "last")
            )
            if int(valid.value) and int(ready.value):
                taken.append((int(byte.value), int(last.value)))
        self.reads.append(None)
        if int(dut.cfg_valid_o.value):
            bank, address = int(dut.cfg_bank_o.value), int(dut.cfg_addr_o.value)
            assert bank == 1, f"bank {bank} was not asked for"
            if int(dut.cfg_write_o.value):
                self.memory[address] = int(dut.cfg_data_o.value)
            else:
                self.reads[-1] = self.memory[address]
        is_taken = bool(int(dut.s_axis_tvalid.value) and int(dut.s_axis_tready.value))
        await RisingEdge(dut.clk_i)
        return is_taken

    async def send(self, sequence: int, command: int, payload: bytes = b"") -> None:
        """A frame without its start and its CRC, as a page holds it."""
        head = len(payload).to_bytes(2, "little") + bytes([sequence, command])
        for byte in head + payload:
            while self.rng.random() < self.gap:
                await self.cycle()
            self.dut.s_axis_tdata.value, self.dut.s_axis_tvalid.value = byte, 1
            while not await self.cycle():
                pass
            spoil(self.dut.s_axis_tdata)
            self.dut.s_axis_tvalid.value = 0
        FRAME.sample(command=COMMANDS[command], bytes="with gaps" if self.gap else "back to back")
        while not await self._is_idle():
            pass

    async def _is_idle(self) -> bool:
        await self.cycle()
        return bool(int(self.dut.idle_o.value))


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(gap=[0.0, 0.5])
async def takes_frames_byte_by_byte(dut: Any, gap: float) -> None:
    """Words written and read, images and a name asked for, at any pace of the bytes."""
    around = Around(dut, gap)
    rng = around.rng
    size = int(dut.IMAGE_BYTES.value)
    dut.s_axis_tvalid.value = dut.page_status_i.value = 0
    dut.image_room_i.value = dut.quiet_i.value = 1
    dut.bank_words_i.value = DEPTH
    await reset(dut)
    content = [rng.getrandbits(64) for _ in range(5)]
    images = [rng.randbytes(size) for _ in range(2)]
    await around.send(1, WRITE, at(1, 7) + words(*content))
    await around.send(2, INFER, images[0])
    await around.send(3, READ, at(1, 8, 3))
    await around.send(4, IDENTIFY)
    await around.send(5, INFER, images[1])
    length = 8 * 3 + 1
    named = int(dut.INFO_BYTES.value) + 1
    expect(around.answers, [(1, WRITE, OK, 1), (3, READ, OK, length), (4, IDENTIFY, OK, named)])
    expect([around.memory], [[0] * 7 + content + [0] * (DEPTH - 12)], "memory")
    sent = [(byte, i == size - 1) for image in images for i, byte in enumerate(image)]
    expect(around.images, sent, "byte of an image")
    read = words(*content[1:4])
    expect(around.given, [(byte, i == len(read) - 1) for i, byte in enumerate(read)], "byte read")

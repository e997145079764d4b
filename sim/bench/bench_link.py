"""Bench of `stoic_link` and `stoic_uart`: every frame is answered, and a bad one changes nothing.

The frames here are written from docs/link.md, not by `stoic.hw.link`: neither checks itself.
Parameters of the design: PAGE_W=7, TIMEOUT_W=8, IMAGE_BYTES=67, N_CLASSES=3, INFO=0x0D0C0B0A.
"""

import random
import zlib
from collections import deque
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from .cover import Group
from .tally import expect

IDENTIFY, WRITE, READ, INFER, COUNTERS, INJECT = range(1, 7)
OK, BAD_CRC, BAD_LENGTH, CUT_OFF, UNKNOWN, RANGE, SIZE, NOT_BUILT_IN = range(8)
MAX_PAYLOAD, SILENCE, IMAGE_BYTES, N_CLASSES = 124, 256, 67, 3
IDENTITY = b"\x0a\x0b\x0c\x0d"
IDLE, STALL = [0.0, 0.4], [0.0, 0.5]  # corners: host and core idle or not, stalling or not
DEPTHS = (7, 7, 20)  # words of banks 0, 1, 2
COMMANDS = {IDENTIFY: "identify", WRITE: "write", READ: "read", INFER: "infer",
            COUNTERS: "counters", INJECT: "inject"}  # fmt: skip
STATUSES = ("ok", "crc", "length", "cut off", "unknown", "range", "size", "not built in")
ANSWER = Group("answer", {"command": tuple(COMMANDS.values()), "status": STATUSES})
WAITING = 2  # the state S_WAIT of stoic_link_exec
# a memory command is executed at once, or finds images inside the core and waits
WAITS = Group("memory_command", {"images_inside": (False, True)})
LINE = Group(
    "line",
    {"host": ("idle", "sends", "waits"), "answer": ("none", "taken", "stalled")},
    [("host", "answer")],
)
Answer = tuple[int, int, int, bytes]  # sequence, command, status, payload


def frame(sequence: int, command: int, payload: bytes = b"") -> bytes:
    """A request on the line."""
    body = len(payload).to_bytes(2, "little") + bytes([sequence, command]) + payload
    return b"\xa5" + body + zlib.crc32(body).to_bytes(4, "little")


def answers_in(data: bytes) -> list[Answer]:
    """Answers on the line; asserts that there is nothing else on it."""
    found = []
    while data:
        length = int.from_bytes(data[1:3], "little")
        body, crc = data[1 : 5 + length], data[5 + length : 9 + length]
        assert data[0] == 0xA5 and zlib.crc32(body) == int.from_bytes(crc, "little"), data.hex(" ")
        assert body[3] & 0x80 and length >= 1
        found.append((body[2], body[3] & 0x7F, body[4], body[5:]))
        data = data[9 + length :]
    return found


def words(*values: int) -> bytes:
    """Words of a WRITE or of an answer to READ."""
    return b"".join(value.to_bytes(8, "little") for value in values)


def at(bank: int, address: int, count: int | None = None) -> bytes:
    """Address of a WRITE, or of a READ when there is a count."""
    numbers = [bank, address] if count is None else [bank, address, count]
    return b"".join(number.to_bytes(2, "little") for number in numbers)


def scores_of(image: bytes) -> list[int]:
    """What the model core answers: signed, with ties."""
    return [image[0] - image[1], 1000 * (image[2] - 128), (image[3] - image[4]) << 16]


def scores_payload(image: bytes) -> bytes:
    """Payload of the answer to INFER."""
    scores = scores_of(image)
    best = scores.index(max(scores)).to_bytes(1, "little")
    return b"".join(score.to_bytes(4, "little", signed=True) for score in scores) + best


class Link:
    """A host on one side of `stoic_link`, a core on the other, both with random gaps and stalls."""

    def __init__(self, dut: Any, idle: float, stall: float) -> None:
        self.dut, self.idle, self.stall = dut, idle, stall
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.to_board: deque[int] = deque()
        self.from_board = bytearray()
        self.banks = [[0] * depth for depth in DEPTHS]
        self.image = bytearray()
        self.scores: deque[tuple[int, bool]] = deque()
        self.reads: deque[int | None] = deque([None, None])  # the memories answer 2 cycles later
        self.depth = 0
        self.rx_valid = self.scores_valid = False
        self.n_writes = self.quiet_cycles = 0

    def drive(self) -> None:
        """Inputs of this cycle."""
        dut, rng = self.dut, self.rng
        if not self.rx_valid and self.to_board and rng.random() >= self.idle:
            self.rx_valid = True
            dut.rx_tdata.value = self.to_board[0]
        dut.rx_tvalid.value = self.rx_valid
        if not self.scores_valid and self.scores and rng.random() >= self.idle:
            self.scores_valid = True
            dut.s_axis_tdata.value = self.scores[0][0] & 0xFFFFFFFF
            dut.s_axis_tlast.value = self.scores[0][1]
        dut.s_axis_tvalid.value = self.scores_valid
        dut.tx_tready.value = rng.random() >= self.stall
        dut.m_axis_tready.value = rng.random() >= self.stall
        dut.busy_i.value = self.is_inside
        dut.bank_words_i.value = self.depth
        read = self.reads.popleft()
        dut.cfg_rvalid_i.value = read is not None
        dut.cfg_rdata_i.value = read or 0

    @property
    def is_inside(self) -> bool:
        """An image is inside the core."""
        return bool(self.image or self.scores)

    def sample(self) -> None:
        """Transfers of this cycle."""
        dut = self.dut
        self.quiet_cycles += 1
        sent = "idle" if not self.rx_valid else "sends" if dut.rx_tready.value else "waits"
        answer = (
            "none" if not dut.tx_tvalid.value else "taken" if dut.tx_tready.value else "stalled"
        )
        LINE.sample(host=sent, answer=answer)
        if self.rx_valid and dut.rx_tready.value:
            self.to_board.popleft()
            self.rx_valid = False
            self.quiet_cycles = 0
        if self.scores_valid and dut.s_axis_tready.value:
            self.scores.popleft()
            self.scores_valid = False
        if dut.tx_tvalid.value and dut.tx_tready.value:
            self.from_board.append(int(dut.tx_tdata.value))
            self.quiet_cycles = 0
        self.reads.append(None)
        if dut.cfg_bank_o.value.is_resolvable:  # unknown until the first command with a bank
            bank = int(dut.cfg_bank_o.value)
            self.depth = DEPTHS[bank] if bank < len(DEPTHS) else 0
        if self.is_inside and int(dut.u_exec.state_q.value) == WAITING:
            if int(dut.u_exec.command_q.value) in (WRITE, READ):
                WAITS.sample(images_inside=True)
        if dut.cfg_valid_o.value:
            WAITS.sample(images_inside=self.is_inside)
            bank, address = int(dut.cfg_bank_o.value), int(dut.cfg_addr_o.value)
            assert not self.is_inside, "memories are touched while an image is inside"
            if dut.cfg_write_o.value:
                self.banks[bank][address] = int(dut.cfg_data_o.value)
                self.n_writes += 1
            else:
                self.reads[-1] = self.banks[bank][address]
        if dut.m_axis_tvalid.value and dut.m_axis_tready.value:
            self.image.append(int(dut.m_axis_tdata.value))
            assert bool(dut.m_axis_tlast.value) == (len(self.image) == IMAGE_BYTES)
            if len(self.image) == IMAGE_BYTES:
                scores = scores_of(bytes(self.image))
                self.scores.extend((s, i == N_CLASSES - 1) for i, s in enumerate(scores))
                self.image.clear()

    async def cycles(self, n: int) -> None:
        """Let n clocks pass."""
        for _ in range(n):
            await RisingEdge(self.dut.clk_i)
            self.drive()
            await ReadOnly()
            self.sample()

    async def exchange(self, *frames: bytes) -> list[Answer]:
        """Send bytes, wait until nothing more comes, and give what came."""
        self.to_board.extend(b"".join(frames))
        self.quiet_cycles = 0
        while self.to_board or not self.dut.idle_o.value or self.quiet_cycles < 40:
            await self.cycles(1)
        answers = answers_in(bytes(self.from_board))
        for _, command, status, _ in answers:
            ANSWER.sample(command=COMMANDS.get(command, "none"), status=STATUSES[status])
        self.from_board.clear()
        assert not self.scores and not self.image, "something was left over"
        return answers


async def make(dut: Any, idle: float = 0.0, stall: float = 0.0) -> Link:
    """A link after reset."""
    link = Link(dut, idle, stall)
    Clock(dut.clk_i, 10, unit="ns").start()
    dut.rst_i.value = 1
    link.drive()
    link.reads.append(None)
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0
    return link


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def answers_every_command(dut: Any, idle: float, stall: float) -> None:
    """Every command does what docs/link.md says, in the order of the frames."""
    link = await make(dut, idle, stall)
    full = [link.rng.getrandbits(64) for _ in range(15)]
    got = await link.exchange(
        frame(9, IDENTIFY),
        frame(10, WRITE, at(1, 5) + words(0xA5A5A5A5A5A5A5A5, 2)),
        frame(11, WRITE, at(2, 5) + words(*full)),
        frame(12, READ, at(1, 4, 3)),
        frame(13, READ, at(2, 5, 15)),
        frame(14, INJECT, bytes(12)),
        frame(15, COUNTERS),
    )
    wanted = [
        (9, IDENTIFY, OK, IDENTITY),
        (10, WRITE, OK, b""),
        (11, WRITE, OK, b""),
        (12, READ, OK, words(0, 0xA5A5A5A5A5A5A5A5, 2)),
        (13, READ, OK, words(*full)),
        (14, INJECT, NOT_BUILT_IN, b""),
        (15, COUNTERS, OK, bytes([0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])),
    ]
    expect(got, wanted, "answer")


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def answers_images_in_order(dut: Any, idle: float, stall: float) -> None:
    """Images in flight are answered in order, and memory commands wait until none is inside."""
    link = await make(dut, idle, stall)
    images = [link.rng.randbytes(IMAGE_BYTES) for _ in range(12)]
    images[3] = bytes([7, 7, 128, 9, 9]) + bytes(IMAGE_BYTES - 5)  # all scores tie: class 0
    requests, wanted = [], []
    for n, image in enumerate(images):
        requests.append(frame(250 + n & 0xFF, INFER, image))
        wanted.append((250 + n & 0xFF, INFER, OK, scores_payload(image)))
        if n % 5 == 4:
            requests.append(frame(n, WRITE, at(0, n % 7) + words(n)))
            wanted.append((n, WRITE, OK, b""))
    expect(await link.exchange(*requests), wanted, "answer")
    [(_, _, status, payload)] = await link.exchange(frame(1, COUNTERS))
    assert status == OK and payload[0] == 12 and payload[4] == 14
    assert int.from_bytes(payload[10:], "little") > 12 * IMAGE_BYTES


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(idle=IDLE, stall=STALL)
async def refuses_what_does_not_fit(dut: Any, idle: float, stall: float) -> None:
    """Whole frames that ask for what is not there get their error and write nothing."""
    link = await make(dut, idle, stall)
    cases = [
        (0x00, b"", UNKNOWN),
        (0x84, b"", UNKNOWN),
        (IDENTIFY, b"x", SIZE),
        (COUNTERS, b"x", SIZE),
        (INFER, bytes(IMAGE_BYTES - 1), SIZE),
        (INFER, bytes(IMAGE_BYTES + 1), SIZE),
        (INJECT, bytes(11), SIZE),
        (WRITE, at(0, 0), SIZE),
        (WRITE, at(0, 0) + words(1) + b"x", SIZE),
        (WRITE, b"", SIZE),
        (WRITE, at(0, 7) + words(1), RANGE),
        (WRITE, at(0, 6) + words(1, 2), RANGE),
        (WRITE, at(3, 0) + words(1), RANGE),
        (WRITE, at(256, 0) + words(1), RANGE),
        (WRITE, at(0, 0xFFFF) + words(1), RANGE),
        (READ, at(0, 0, 0), RANGE),
        (READ, at(0, 0, 8), RANGE),
        (READ, at(2, 0, 16), RANGE),
        (READ, at(2, 0xFFF8, 15), RANGE),
        (READ, at(0, 0), SIZE),
    ]
    got = await link.exchange(*[frame(n, c, payload) for n, (c, payload, _) in enumerate(cases)])
    wanted = [(n, c & 0x7F, status, b"") for n, (c, _, status) in enumerate(cases)]
    expect(got, wanted, "answer")
    assert link.n_writes == 0
    [(_, _, _, counters)] = await link.exchange(frame(0, COUNTERS))
    assert counters[4] == 0 and counters[8] == len(cases)


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(idle=[0.0, 0.4])
async def rejects_every_damaged_bit(dut: Any, idle: float) -> None:
    """A frame with one bit wrong writes nothing; after a silence the line is good again."""
    link = await make(dut, idle)
    good = frame(7, WRITE, at(1, 2) + words(0x1122334455667788))
    for bit in link.rng.sample(range(24, 8 * len(good)), 16) + list(range(8, 24)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        bad += good[1:]  # bytes that would be a frame if one hunted inside damaged ones
        got = await link.exchange(bytes(bad))
        assert link.n_writes == 0, f"bit {bit} was not noticed"
        length = int.from_bytes(bad[1:3], "little")
        status = (
            BAD_LENGTH if length > MAX_PAYLOAD else CUT_OFF if len(bad) < length + 9 else BAD_CRC
        )
        expect(got, [(bad[3], bad[4] & 0x7F, status, b"")], f"answer with bit {bit} wrong")
    for n in range(MAX_PAYLOAD + 1, MAX_PAYLOAD + 5):
        expect(await link.exchange(frame(7, WRITE, bytes(n))), [(7, WRITE, BAD_LENGTH, b"")])
    expect(await link.exchange(good), [(7, WRITE, OK, b"")])
    assert link.banks[1][2] == 0x1122334455667788


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def forgets_half_a_frame(dut: Any) -> None:
    """Silence inside a frame ends it: unanswered before its sequence number, answered after it."""
    link = await make(dut)
    whole = frame(3, READ, at(0, 0, 1))
    expect(await link.exchange(b"noise", whole[:3]), [])
    expect(await link.exchange(whole), [(3, READ, OK, words(0))])
    expect(await link.exchange(whole[:8]), [(3, READ, CUT_OFF, b"")])
    expect(await link.exchange(b"noise", whole), [(3, READ, OK, words(0))])
    link.to_board.extend(whole[:8])
    await link.cycles(SILENCE - 50)
    expect(await link.exchange(whole[8:]), [(3, READ, OK, words(0))])

"""Bench of `stoic_mvu_host`: which memory a request is for, and what the next layer is asked."""

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from . import host
from .cover import Group
from .stream import reset
from .tally import expect

REQUEST = Group(
    "request",
    {"bank": ("weights", "thresholds", "injector", "another"), "write": (False, True)},
    [("bank", "write")],
)
STROBES = ("w_we_o", "w_re_o", "i_we_o", "t_we_o", "t_re_o")
PASSED = ("cfg_valid_o", "cfg_write_o", "cfg_bank_o", "cfg_addr_o", "cfg_data_o")
LATENCY = 3  # cycles to the memories
INJECTOR = 1 << 15  # and a weight bank


@dataclass(frozen=True)
class Request:
    """What the host asks."""

    is_write: bool
    bank: int
    address: int
    data: int


def banks(p: dict[str, int]) -> list[int]:
    """Banks of the layer, those beside them, and the same with any one bit turned."""
    own = [first + i for first in (p["W_BANK"], p["T_BANK"]) for i in range(-1, p["PE"] + 1)]
    return sorted({bank ^ turned for bank in own for turned in (0, *(1 << i for i in range(16)))})


def strobe(p: dict[str, int], request: Request) -> tuple[str, int]:
    """(strobe, number of the memory) that a request raises; ("", 0) if it is for another layer."""
    bank = request.bank
    way = "we" if request.is_write else "re"
    if p["INJECTOR_EN"] and bank & INJECTOR and (bank ^ INJECTOR) - p["W_BANK"] in range(p["PE"]):
        return ("i_we_o" if request.is_write else "w_re_o"), (bank ^ INJECTOR) - p["W_BANK"]
    if bank - p["W_BANK"] in range(p["PE"]):
        return f"w_{way}_o", bank - p["W_BANK"]
    if p["THRESHOLD_EN"] and bank - p["T_BANK"] in range(p["PE"]):
        return f"t_{way}_o", bank - p["T_BANK"]
    return "", 0


def kind(p: dict[str, int], request: Request) -> str:
    """The bin of a request."""
    if not (name := strobe(p, request)[0]):
        return "another"
    if name.startswith("t"):
        return "thresholds"
    return "injector" if p["INJECTOR_EN"] and request.bank & INJECTOR else "weights"


async def watch(dut: Any, asked: deque[Request | None], p: dict[str, int]) -> None:
    """Assert what the memories get for the request of LATENCY cycles ago; and a cycle passes."""
    await ReadOnly()
    if asked[-1]:
        names = tuple(int(getattr(dut, name).value) for name in PASSED)
        assert names == (1, *vars(asked[-1]).values()), f"the next layer is asked {names}"
    else:
        assert not int(dut.cfg_valid_o.value)
    request = asked[-LATENCY]
    name, number = strobe(p, request) if request else ("", 0)
    assert [s for s in STROBES if int(getattr(dut, s).value)] == [name] * bool(name), request
    if request and name:
        at = dut.t_sel_o if name.startswith("t") else dut.w_sel_o
        got = [int(signal.value) for signal in (at, dut.addr_o, dut.data_o)]
        expect([got], [[number, request.address, request.data]], "number, address, data")
    await RisingEdge(dut.clk_i)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def tells_whose_a_request_is(dut: Any) -> None:
    """Every bank of the layer and many others, with gaps; nothing after a reset."""
    rng = random.Random(cocotb.RANDOM_SEED)
    names = ("PE", "W_BANK", "T_BANK", "THRESHOLD_EN", "INJECTOR_EN")
    p = {name: int(getattr(dut, name).value) for name in names}
    for signal in ("w_read_valid_i", "t_read_valid_i", "cfg_rvalid_i"):
        getattr(dut, signal).value = 0
    for signal in ("w_read_i", "t_read_i", "cfg_rdata_i"):
        getattr(dut, signal).value = 0
    host.release(dut)
    await reset(dut)
    asked = deque[Request | None]([None] * LATENCY, maxlen=LATENCY)
    todo = [(bank, is_write) for bank in banks(p) for is_write in (False, True)]
    rng.shuffle(todo)
    for bank, is_write in todo:
        request = Request(is_write, bank, rng.getrandbits(16), rng.getrandbits(64))
        dut.cfg_valid_i.value, dut.cfg_write_i.value = 1, is_write
        dut.cfg_bank_i.value, dut.cfg_addr_i.value = bank, request.address
        dut.cfg_data_i.value = request.data
        REQUEST.sample(bank=kind(p, request), write=is_write)
        await watch(dut, asked, p)
        asked.append(request)
        if rng.random() < 0.2:
            host.release(dut)
            await watch(dut, asked, p)
            asked.append(None)
    for _ in range(LATENCY):  # requests on their way, and a reset
        await host.write_word(dut, p["W_BANK"], 0, 0)
    dut.rst_i.value = 1
    await RisingEdge(dut.clk_i)
    asked.extend([None] * LATENCY)
    for cycle in range(2 * LATENCY):
        dut.rst_i.value = cycle < LATENCY
        await watch(dut, asked, p)


@cocotb.test(timeout_time=20, timeout_unit="us")
async def answers_are_those_of_the_layer_and_of_others(dut: Any) -> None:
    """An answer of weights, of thresholds or of another layer comes a cycle later, and alone."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ways = (
        (dut.w_read_valid_i, dut.w_read_i),
        (dut.t_read_valid_i, dut.t_read_i),
        (dut.cfg_rvalid_i, dut.cfg_rdata_i),
    )
    for valid, data in ways:
        valid.value = data.value = 0
    host.release(dut)
    await reset(dut)
    for way in [rng.randrange(4) for _ in range(40)]:  # 3: none
        word = rng.getrandbits(64)
        for i, (valid, data) in enumerate(ways):
            valid.value = i == way
            data.value = word if i == way else 0
        await ReadOnly()
        assert not int(dut.cfg_rvalid_o.value), "an answer in the cycle in which it came in"
        await RisingEdge(dut.clk_i)
        for valid, _ in ways:
            valid.value = 0
        await ReadOnly()
        assert int(dut.cfg_rvalid_o.value) == (way < 3)
        assert int(dut.cfg_rdata_o.value) == (word if way < 3 else 0)
        await RisingEdge(dut.clk_i)

"""Bench of `stoic_spram`: every word that is read is the last one written there.

The addresses differ from each other in one bit at least, and every bit of them makes a difference.
"""

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from .bench_ram import text
from .cover import Group
from .stream import CLOCK_NS, spoil
from .tally import expect

ADDRESS_BITS, WIDTH = 14, 64
N_CYCLES = 1500
ACCESS = Group(
    "access",
    {
        "target": ("generic", "ice40"),
        "access": ("read", "write"),
        "after": ("read", "write"),
        "address": ("the same", "another"),
    },
    [("target", "access", "after", "address")],
)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def reads_what_was_written(dut: Any) -> None:
    """Write words at addresses a bit apart, then read and write at random, one a cycle."""
    rng = random.Random(cocotb.RANDOM_SEED)
    target, most = text(dut.TARGET.value), (1 << ADDRESS_BITS) - 1
    single = [1 << k for k in range(ADDRESS_BITS)]
    addresses = [0, most, *single, *(most ^ bit for bit in single), rng.randrange(most)]
    Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    requests = [("write", address) for address in addresses]
    for _ in range(N_CYCLES):
        address = requests[-1][1] if rng.random() < 0.2 else rng.choice(addresses)
        requests.append((rng.choice(("read", "write")), address))
    requests += [("read", address) for address in (*addresses, 0)]
    memory: dict[int, int] = {}
    got, wanted = [], []
    was, place, due = "write", -1, 0  # a cycle ago: what was asked, where, and the word there
    for access, address in requests:
        await RisingEdge(dut.clk_i)
        dut.addr_i.value, dut.we_i.value = address, access == "write"
        if access == "write":
            memory[address] = dut.wdata_i.value = rng.getrandbits(WIDTH)
        else:
            spoil(dut.wdata_i)
        await ReadOnly()
        if was == "read":
            got.append(int(dut.rdata_o.value))
            wanted.append(due)
        ACCESS.sample(
            target=target,
            access=access,
            after=was,
            address="the same" if address == place else "another",
        )
        was, place, due = access, address, memory[address]
    expect(got, wanted)

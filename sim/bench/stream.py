"""AXI-Stream in benches: drive it with gaps, collect it with stalls, and hold it to its rules.

Signals are written just after the rising edge; a transfer is what `ReadOnly` of that cycle shows.
The payload is X while nothing is offered, so that a unit that looks at it then spoils its output.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from cocotb.types import LogicArray

from .cover import Group

Beat = tuple[int, ...]  # one integer for every payload signal
CLOCK_NS = 10

# a beat goes in: after a gap or at once; the unit takes it at once or lets it wait
SOURCE = Group("source", {"gap": (False, True), "waits": (False, True)}, [("gap", "waits")])
# a cycle of a sink: what it says, and what it is offered
SINK = Group(
    "sink", {"ready": (False, True), "offered": ("nothing", "new", "held")}, [("ready", "offered")]
)


@dataclass(frozen=True)
class Stream:
    """Handles of one AXI-Stream of a design."""

    clk: Any
    valid: Any
    ready: Any
    payload: tuple[Any, ...]


def stream(dut: Any, prefix: str, *payload: str) -> Stream:
    """The stream with signals `<prefix>_tvalid`, `<prefix>_tready` and `<prefix>_t<payload>`."""
    handles = tuple(getattr(dut, f"{prefix}_t{name}") for name in payload)
    return Stream(
        dut.clk_i, getattr(dut, f"{prefix}_tvalid"), getattr(dut, f"{prefix}_tready"), handles
    )


def spoil(*signals: Any) -> None:
    """Make signals unknown."""
    for signal in signals:
        signal.value = LogicArray("X" * len(signal))


async def reset(dut: Any, *sources: Stream, start_clock: bool = True, n_cycles: int = 3) -> None:
    """Start the clock and reset the design while no source offers anything."""
    if start_clock:
        Clock(dut.clk_i, CLOCK_NS, unit="ns").start()
    for source in sources:
        source.valid.value = 0
        spoil(*source.payload)
    dut.rst_i.value = 1
    for _ in range(n_cycles):
        await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0


async def drive(source: Stream, beats: Iterable[Beat], is_idle: Callable[[], bool]) -> None:
    """Offer beats one after another, with a gap as long as `is_idle` says so."""
    for beat in beats:
        source.valid.value = 0
        spoil(*source.payload)
        gap = n_waits = 0
        while is_idle():
            await RisingEdge(source.clk)
            gap += 1
        source.valid.value = 1
        for signal, value in zip(source.payload, beat, strict=True):
            signal.value = value
        is_taken = False
        while not is_taken:
            await ReadOnly()
            is_taken = bool(int(source.ready.value))
            n_waits += not is_taken
            await RisingEdge(source.clk)
        SOURCE.sample(gap=gap > 0, waits=n_waits > 0)
    source.valid.value = 0
    spoil(*source.payload)


async def collect(sink: Stream, n_beats: int, is_stalled: Callable[[], bool]) -> list[Beat]:
    """Take `n_beats` beats; asserts that one that is offered stays as it is until it is taken."""
    beats: list[Beat] = []
    held: Beat | None = None
    while len(beats) < n_beats:
        is_ready = not is_stalled()
        sink.ready.value = is_ready
        await ReadOnly()
        is_valid = bool(int(sink.valid.value))
        offered = "held" if held else "new" if is_valid else "nothing"
        SINK.sample(ready=is_ready, offered=offered)
        assert is_valid or held is None, f"beat {len(beats)} was offered and withdrawn"
        if is_valid:
            beat = tuple(int(signal.value) for signal in sink.payload)
            assert held in (None, beat), f"beat {len(beats)} changed from {held} to {beat}"
            held = None if is_ready else beat
            if is_ready:
                beats.append(beat)
        await RisingEdge(sink.clk)
    sink.ready.value = 0
    return beats


async def blocked(source: Stream, n_cycles: int) -> None:
    """Wait until a source has been refused for so many cycles in a row."""
    n = 0
    while n < n_cycles:
        await ReadOnly()
        n = n + 1 if int(source.valid.value) and not int(source.ready.value) else 0
        await RisingEdge(source.clk)


async def assert_quiet(sink: Stream, n_cycles: int) -> None:
    """Assert that nothing is left over: a ready sink is offered nothing for so many cycles."""
    sink.ready.value = 1
    for _ in range(n_cycles):
        await ReadOnly()
        assert int(sink.valid.value) == 0, "something was left over"
        await RisingEdge(sink.clk)
    sink.ready.value = 0

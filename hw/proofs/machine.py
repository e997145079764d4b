"""A unit that z3 steps from cycle to cycle, with symbols for inputs, registers and memories.

Yosys says what a unit does in one cycle (`write_smt2`, word-level). Putting the values of one cycle
into that of the next gives every output as a formula over what came in, cycle by cycle. Inputs that
a step leaves open are fresh symbols, and so is all that registers and memories hold at the start;
so an output that equals its specification does so whatever stood there and whatever else came in,
and it does so in just that cycle: the latency is part of what is proved.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

import z3

from .elaborate import WORD_LEVEL, Design

Word: TypeAlias = z3.BitVecRef

_INPUT = re.compile(r"^; yosys-smt2-input (\S+) (\d+)$", re.MULTILINE)
_CLOCK = re.compile(r"^; yosys-smt2-clock (\S+) ", re.MULTILINE)
_WORD = r"\(_ BitVec \d+\)"
_SEEN = re.compile(
    r"^\(define-fun \|\S+_([nm]) (\S+)\| \(\(state \S+\)\) "
    rf"(Bool|{_WORD}|\(Array {_WORD} {_WORD}\)) ",
    re.MULTILINE,
)


class Cycle:
    """One cycle of a machine: what its wires hold in it."""

    def __init__(self, seen: Mapping[str, z3.ExprRef], at: list[tuple[z3.ExprRef, z3.ExprRef]]):
        self._seen = seen
        self._at = at

    def __getitem__(self, name: str) -> Word:
        """A wire, by its name in the Verilog, with dots into instances."""
        return z3.simplify(_as_word(z3.substitute(self._seen[name], *self._at)))


class Machine:
    """The unit of a design; it starts in an arbitrary state.

    >>> design = Design("stoic_skid", {"WIDTH": 4})
    >>> machine = Machine(design)
    >>> _ = machine.step(rst_i=1)
    >>> machine.step()["m_axis_tvalid"]
    0
    """

    def __init__(self, design: Design) -> None:
        text = design.elaborate(WORD_LEVEL, "write_smt2 -wires").decode()
        top = design.top
        self.inputs = {name: int(width) for name, width in _INPUT.findall(text)}
        for clock in _CLOCK.findall(text):
            self.inputs.pop(clock, None)  # those inside are wires
        seen = {name: (kind, sort) for kind, name, sort in _SEEN.findall(text)}
        self._memories = [name for name, (kind, _) in seen.items() if kind == "m"]
        ask = [text, f"(declare-fun now () |{top}_s|)(declare-fun then () |{top}_s|)"]
        ask.append(f"(assert (|{top}_t| now then))")
        for i, (name, (kind, sort)) in enumerate(seen.items()):
            ask.append(
                f"(declare-fun seen{i} () {sort})(assert (= seen{i} (|{top}_{kind} {name}| now)))"
            )
        steps, *equal = list(z3.parse_smt2_string("\n".join(ask)))
        self._seen = {name: term.arg(1) for name, term in zip(seen, equal, strict=True)}
        moves = steps.children() if z3.is_and(steps) else [steps] if z3.is_eq(steps) else []
        self._now = [_at_now(move.arg(1)) for move in moves]
        self._parts = {name: _parts(self._seen[name]) for name in self.inputs}
        # one term of all next values, so that what they share is substituted once
        sorts = [move.arg(0).sort() for move in moves]
        self._next = None
        if moves:
            pack = z3.Function("next", *sorts, z3.BoolSort())
            self._next = pack(*(move.arg(0) for move in moves))
        self._held = [z3.Const(f"start{i}", sort) for i, sort in enumerate(sorts)]
        self.n_steps = 0
        parts = [leaf for found in self._parts.values() for leaf, _ in found]
        known = {term.get_id() for term in [*self._now, *parts]}
        for term in _leaves([self._next] if moves else []):
            assert term.get_id() in known, f"{top}: {term} is neither register nor input"

    def step(self, **inputs: int | Word) -> Cycle:
        """The cycle in which the inputs hold; the others are fresh symbols. Ends with the clock."""
        at = list(zip(self._now, self._held, strict=True))
        for name, width in self.inputs.items():
            value = inputs.pop(name, None)
            if value is None:
                value = z3.BitVec(f"{name}@{self.n_steps}", width)
            elif isinstance(value, int):
                value = z3.BitVecVal(value, width)
            assert value.size() == width, f"{name} has {width} bits, not {value.size()}"
            for leaf, low in self._parts[name]:
                part = z3.Extract(low + _size(leaf) - 1, low, value)
                at.append((leaf, part == 1 if z3.is_bool(leaf) else part))
        assert not inputs, f"no such inputs: {', '.join(inputs)}"
        if self._next is not None:
            self._held = list(z3.simplify(z3.substitute(self._next, *at)).children())
        self.n_steps += 1
        return Cycle(self._seen, at)

    def memory(self, instance: str = "") -> str:
        """Name of the one memory in an instance, as `Cycle` knows it; "" for the top."""
        within = f"{instance}." if instance else ""
        found: set[str] = {name for name in self._memories if name.startswith(within)}
        (memory,) = found
        return memory

    def contents(self, instance: str = "") -> z3.ArrayRef:
        """Let the one memory in an instance hold anything now; gives the symbol for what it holds.

        Args:
            instance: its name from the top down; "" for the top.
        """
        memory = self.memory(instance)
        place = next(i for i, term in enumerate(self._now) if term.eq(self._seen[memory]))
        self._held[place] = z3.Const(f"{memory}@{self.n_steps}", self._now[place].sort())
        return self._held[place]

    def put(self, name: str, value: Word) -> None:
        """Let a register, by its name in the Verilog, hold a value now."""
        assert value.size() == _size(self._seen[name]), f"{name} does not have {value.size()} bits"
        for leaf, low in _parts(self._seen[name]):
            place = next(i for i, term in enumerate(self._now) if term.eq(leaf))
            part = z3.Extract(low + _size(leaf) - 1, low, value)
            self._held[place] = part == 1 if z3.is_bool(leaf) else part

    def idle(self, cycles: int, **inputs: int | Word) -> None:
        """Some steps with the same inputs."""
        for _ in range(cycles):
            self.step(**inputs)


def _as_word(value: z3.ExprRef) -> z3.ExprRef:
    """A Boolean as a word of one bit; words as they are."""
    return z3.If(value, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1)) if z3.is_bool(value) else value


def _at_now(register: z3.ExprRef) -> z3.ExprRef:
    """The register in the state `now` whose next value is compared with it in the state `then`."""
    function = register.decl()
    return function(z3.Const("now", function.domain(0)))


def _size(value: z3.ExprRef) -> int:
    return 1 if z3.is_bool(value) else value.size()


def _parts(seen: z3.ExprRef) -> list[tuple[z3.ExprRef, int]]:
    """The symbols that Yosys made of an input, each with its lowest bit: one, or one a slice."""
    found, low = [], 0
    for part in reversed(seen.children() if seen.decl().kind() == z3.Z3_OP_CONCAT else [seen]):
        if part.decl().kind() == z3.Z3_OP_CONCAT:
            inner = _parts(part)
        else:  # a symbol, or one bit of it shown as a Boolean, or the other way round
            (leaf,) = _leaves([part])
            assert _size(leaf) == _size(part), f"{part} is not all of {leaf}"
            inner = [(leaf, 0)]
        found += [(leaf, low + at) for leaf, at in inner]
        low += _size(part)
    return found


def _leaves(terms: list[z3.ExprRef]) -> list[z3.ExprRef]:
    """What the terms read of the state `now`."""
    found, visited, stack = [], set[int](), list(terms)
    while stack:
        term = stack.pop()
        if term.get_id() in visited:
            continue
        visited.add(term.get_id())
        is_leaf = term.num_args() == 1 and term.arg(0).eq(z3.Const("now", term.arg(0).sort()))
        if is_leaf:
            found.append(term)
        else:
            stack += term.children()
    return found

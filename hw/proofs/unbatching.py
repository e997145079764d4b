"""Images side by side to one after another, at real sizes, by induction over the cycles.

What is inside says what every register of stoic_unbatch and its FIFOs holds. Reset empties it; and
a cycle leads from what may be inside to what may be inside, whatever comes in. Outputs follow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import z3

from .claims import Claim
from .elaborate import Design
from .machine import Cycle, Machine, Word
from .specification import flag, where, widened

_YES = z3.BitVecVal(1, 1)


@dataclass(frozen=True)
class _Inside:
    """What is inside. Beats are numbered, modulo 2 DEPTH, which is more than are ever inside.

    Attributes:
        parameters: of the unit.
        beat: that comes next.
        first: with the first words of the images that leave.
        turn: image that leaves.
        word: of it, that leaves next.
        came: a beat came in the cycle before; one bit.
        freed: of each image: a word of it left in the cycle before; one bit.
    """

    parameters: Mapping[str, int]
    beat: Word
    first: Word
    turn: int
    word: Word
    came: Word
    freed: list[Word]

    def left(self, image: int) -> Word:
        """The beat of the next word of an image; all words of those before the turn left."""
        words = self.parameters["WORDS"] if image < self.turn else 0
        return self.first + (self.word if image == self.turn else words)

    def taken(self, image: int) -> Word:
        """Places of its FIFO that the unit knows no better than to be taken."""
        return self.beat - self.left(image) + widened(self.freed[image], self.beat.size())

    def is_offered(self, image: int) -> z3.BoolRef:
        """Whether its next word came, two cycles ago or more."""
        left = self.left(image)
        return z3.And(left != self.beat, z3.Or(left + 1 != self.beat, self.came == 0))

    def is_full(self, image: int) -> z3.BoolRef:
        """Whether its FIFO takes no beat."""
        return self.taken(image) == _depth(self.parameters)

    def is_possible(self) -> z3.BoolRef:
        """The last image has most inside, and no more than there is room for."""
        depth, last = _depth(self.parameters), self.taken(self.parameters["B"] - 1)
        parts = [z3.ULT(self.word, self.parameters["WORDS"]), z3.ULE(last, depth)]
        for k in range(self.parameters["B"]):
            parts += [z3.ULE(self.beat - self.left(k), depth), z3.ULE(self.taken(k), last)]
        return z3.And(*parts)

    def registers(self) -> dict[str, Word]:
        """What the registers hold."""
        n_images, n_words = self.parameters["B"], self.parameters["WORDS"]
        word_bits = max(1, (n_words - 1).bit_length())
        found = {
            "turn_q": z3.BitVecVal(1 << self.turn, n_images),
            "word_q": z3.Extract(word_bits - 1, 0, self.word),
            "end_q": flag(self.word == n_words - 1),
        }
        for k in range(n_images):
            left = self.left(k)
            fifo = {
                "write_q": self.beat,
                "write_next_q": self.beat + 1,
                "read_q": left,
                "read_next_q": left + 1,
                "valid_q": flag(self.is_offered(k)),
                "full_q": flag(self.is_full(k)),
            }
            found |= {f"g_image[{k}].fifo.{name}": value for name, value in fifo.items()}
        return found

    def keeps(self, at: Cycle, image: int, memory: str, place: Word, value: Word) -> z3.BoolRef:
        """The word of an image that came with a beat is inside, and has this value."""
        left = self.left(image)
        address = z3.Extract(place.size() - 2, 0, place)
        is_seen = z3.And(left == place, self.is_offered(image))
        return z3.And(
            z3.ULT(place - left, self.beat - left),
            z3.Select(at[memory], address) == value,
            z3.Implies(is_seen, at[f"g_image[{image}].data"] == value),
        )


def _depth(p: Mapping[str, int]) -> int:
    """Words of a FIFO."""
    return 2 << (p["WORDS"] - 1).bit_length()


def unbatch(design: Design) -> Iterator[Claim]:
    """stoic_unbatch: every word of every image in its place, whatever source and sink do."""
    p = design.parameters
    zero, no = z3.BitVecVal(0, _depth(p).bit_length()), z3.BitVecVal(0, 1)
    unit = Machine(design)
    unit.step(rst_i=1)
    reset = unit.step()
    for name, value in _Inside(p, zero, zero, 0, zero, no, [no] * p["B"]).registers().items():
        yield Claim(f"{name} after reset", reset[name], value)
    for turn in range(p["B"]):
        yield from _cycle(design, turn)


def _cycle(design: Design, turn: int) -> Iterator[Claim]:
    """What a cycle puts out in which it is the turn of an image, and what is inside after it."""
    p = design.parameters
    n_images, n_words, width = p["B"], p["WORDS"], p["WIDTH"]
    beat, first, word, place = z3.BitVecs("beat first word place", _depth(p).bit_length())
    here = _Inside(
        p, beat, first, turn, word, z3.BitVec("came", 1),
        [z3.BitVec(f"freed{k}", 1) for k in range(n_images)],
    )  # fmt: skip
    given = here.is_possible()
    unit = Machine(design)
    for name, held in here.registers().items():
        unit.put(name, held)
    now, then = unit.step(rst_i=0), unit.step()

    is_full, is_last_word = here.is_full(n_images - 1), word == n_words - 1
    yield Claim("tready", now["s_axis_tready"], flag(z3.Not(is_full)), given)
    yield Claim("tvalid", now["m_axis_tvalid"], flag(here.is_offered(turn)), given)
    yield Claim("tlast", now["m_axis_tlast"], flag(is_last_word), given)

    value, offered = z3.BitVec("value", width), z3.And(given, here.is_offered(turn))
    seen = here.keeps(now, turn, unit.memory(f"g_image[{turn}]"), here.left(turn), value)
    yield Claim("word", now["m_axis_tdata"], value, z3.And(offered, seen))

    comes = z3.And(now["s_axis_tvalid"] == 1, z3.Not(is_full))
    leaves = z3.And(now["m_axis_tready"] == 1, here.is_offered(turn))
    freed = [flag(leaves) if k == turn else z3.BitVecVal(0, 1) for k in range(n_images)]
    next_beat, next_turn = where(comes, beat + 1, beat), (turn + 1) % n_images
    next_first = first + n_words if next_turn == 0 else first
    zero = z3.BitVecVal(0, word.size())
    cases = [
        (z3.Not(leaves), first, turn, word),
        (z3.And(leaves, is_last_word), next_first, next_turn, zero),
    ]
    if n_words > 1:
        cases.append((z3.And(leaves, z3.Not(is_last_word)), first, turn, word + 1))
    for happens, first_then, turn_then, word_then in cases:
        case = z3.And(given, happens)
        after = _Inside(p, next_beat, first_then, turn_then, word_then, flag(comes), freed)
        yield Claim("what may be inside", flag(after.is_possible()), _YES, case)
        for name, held in after.registers().items():
            yield Claim(f"next {name}", then[name], held, case)
        for k in range(n_images):
            memory = unit.memory(f"g_image[{k}]")
            data = z3.Extract(width * (k + 1) - 1, width * k, now["s_axis_tdata"])
            enters = after.keeps(then, k, memory, beat, data)
            yield Claim(f"word of image {k} enters", flag(enters), _YES, z3.And(case, comes))
            kept = z3.And(case, here.keeps(now, k, memory, place, value))
            if k == turn:
                goes = z3.And(place == here.left(k), leaves)
                kept = z3.And(kept, z3.Not(goes))
            stays = after.keeps(then, k, memory, place, value)
            yield Claim(f"word of image {k} stays", flag(stays), _YES, kept)

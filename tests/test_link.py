"""Frames of the host link survive any garbage, and no damaged one is taken for a good one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoic.hw import link
from stoic.hw.hosted import changed
from stoic.hw.link import Frame

frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60))


@given(st.lists(st.tuples(st.binary(max_size=20), frames), max_size=5), st.binary(max_size=20))
def test_decodes_every_frame_between_any_garbage(
    parts: list[tuple[bytes, Frame]], tail: bytes
) -> None:
    line = b"".join(garbage + link.encode(frame) for garbage, frame in parts) + tail
    found, rest = link.decode(line, final=True)
    assert found == [frame for _, frame in parts]
    assert rest == b""


@given(st.lists(frames, max_size=4), st.lists(st.integers(1, 40), min_size=1))
def test_decodes_the_same_in_any_pieces(sent: list[Frame], sizes: list[int]) -> None:
    line = b"".join(link.encode(frame) for frame in sent)
    found: list[Frame] = []
    rest, n = b"", 0
    while line:
        size = sizes[n % len(sizes)]
        got, rest = link.decode(rest + line[:size])
        found += got
        line, n = line[size:], n + 1
    assert (found, rest) == (sent, b"")


@given(frames, st.data())
def test_rejects_every_single_damaged_bit(frame: Frame, data: st.DataObject) -> None:
    good = link.encode(frame)
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    bad = bytearray(good)
    bad[bit // 8] ^= 1 << bit % 8
    found, _ = link.decode(bytes(bad) + link.encode(Frame(1, 2)), final=True)
    assert frame not in found
    assert found[-1:] == [Frame(1, 2)]


@given(frames, st.data())
def test_missing_bytes_are_needed_and_enough(frame: Frame, data: st.DataObject) -> None:
    line = link.encode(frame)
    cut = data.draw(st.integers(1, len(line)))
    head = line[:cut]
    while wanted := link.missing(head, 0xFFFF):
        assert link.decode(head) == ([], head)
        head += line[len(head) : len(head) + wanted]
    assert head == line


def test_a_length_over_the_maximum_holds_nothing_up() -> None:
    noise = b"\xa5\xff\xff\x00\x00"
    assert link.decode(noise + link.encode(Frame(1, 2)), max_payload=1020)[0] == [Frame(1, 2)]


@given(st.lists(st.integers(0, 3), max_size=30), st.data())
def test_changed_runs_turn_the_old_words_into_the_new(old: list[int], data: st.DataObject) -> None:
    new = data.draw(st.lists(st.integers(0, 3), min_size=len(old), max_size=len(old)))
    before, after = np.array(old, np.uint64), np.array(new, np.uint64)
    n_written = 0
    memory = before.copy()
    for address, words in changed(before, after):
        memory[address : address + len(words)] = words
        n_written += len(words)
    assert (memory == after).all()
    assert n_written == (before != after).sum()


@pytest.mark.parametrize("length", [0, 45, 47])
def test_an_identity_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="46 bytes"):
        link.unpack_identity(bytes(length))

"""Packing, against Python integers."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim.bits import Words, lane_mask, n_words, pack, popcount, unpack

SIZES = [1, 7, 63, 64, 65, 100, 128]
rows = st.sampled_from(SIZES).flatmap(lambda n: st.lists(st.integers(0, 1), min_size=n, max_size=n))


def is_lsb_first(packer: Callable[[NDArray[np.uint8]], Words], bits: list[int]) -> bool:
    """Whether element i is bit i % 64 of word i // 64, and pad bits are 0."""
    number = sum(bit << i for i, bit in enumerate(bits))
    words = packer(np.array([bits], np.uint8))[0]
    return number == sum(int(word) << (64 * k) for k, word in enumerate(words))


@given(rows)
def test_element_zero_is_the_lowest_bit(bits: list[int]) -> None:
    assert is_lsb_first(pack, bits)
    array = np.array(bits)
    assert pack(array).shape == (n_words(len(bits)),)
    assert (unpack(pack(array), len(bits)) == array).all()
    assert (pack(array.astype(np.bool_)) == pack(array.astype(np.float32))).all()
    assert popcount(pack(array)) == sum(bits)


def test_packing_the_other_way_round_is_caught() -> None:
    def msb_first(bits: NDArray[np.uint8]) -> Words:
        return pack(bits[:, ::-1])

    assert not all(is_lsb_first(msb_first, [1] + [0] * (n - 1)) for n in SIZES)


@given(st.integers(1, 200))
def test_lane_mask_has_a_one_for_each_real_lane(n: int) -> None:
    assert sum(int(word) << (64 * k) for k, word in enumerate(lane_mask(n))) == (1 << n) - 1


@pytest.mark.parametrize("bad", [[2], [-1], [0.5], [float("nan")], [256]])
def test_what_is_not_a_bit_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        pack(np.array([0, 1, *bad]))


def test_wrong_word_counts_and_scalars_are_refused() -> None:
    with pytest.raises(ValueError, match="65 bits need 2 words, not 1"):
        unpack(np.zeros((3, 1), np.uint64), 65)
    with pytest.raises(ValueError, match="scalar"):
        pack(np.array(1))

"""The encoding of the kit: bit 1 is +1, bit 0 is -1, and the LSB of word 0 is element 0."""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Bits = NDArray[np.uint8]

WORD_BITS = 64


def n_words(n_bits: int) -> int:
    """Words of 64 bits that hold `n_bits` bits.

    >>> n_words(1), n_words(64), n_words(65)
    (1, 1, 2)
    """
    return -(-n_bits // WORD_BITS)


def pack(bits: NDArray[np.generic]) -> Words:
    """Bits of the last axis packed into 64-bit words, LSB first, pad bits 0.

    Args:
        bits: (..., n_bits), every element 0 or 1 (or bool).

    Returns:
        (..., n_words(n_bits)) uint64.

    Raises:
        ValueError: an element is neither 0 nor 1, or there is no bit axis.

    >>> pack(np.array([[1, 0, 1]]))
    array([[5]], dtype=uint64)
    """
    if bits.ndim == 0:
        raise ValueError("bits must have at least one axis, not a scalar")
    if bits.dtype == np.uint8:  # much the most common, and one pass is enough
        is_binary = not bits.size or bits.max() <= 1
    else:
        is_binary = bits.dtype == np.bool_ or bool(((bits == 0) | (bits == 1)).all())
    if not is_binary:
        raise ValueError("bits must be 0 or 1; map -1 to 0 before packing")
    packed = np.packbits(bits.astype(np.uint8, copy=False), axis=-1, bitorder="little")
    padded = np.zeros((*bits.shape[:-1], n_words(bits.shape[-1]) * WORD_BITS // 8), np.uint8)
    padded[..., : packed.shape[-1]] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


def unpack(words: Words, n_bits: int) -> Bits:
    """The first `n_bits` bits of the last axis; the inverse of `pack`.

    Args:
        words: (..., n_words(n_bits)) uint64.

    Raises:
        ValueError: the last axis does not hold exactly the words that `n_bits` bits need.

    >>> unpack(np.array([[5]], np.uint64), 3)
    array([[1, 0, 1]], dtype=uint8)
    """
    if words.shape[-1] != n_words(n_bits):
        raise ValueError(f"{n_bits} bits need {n_words(n_bits)} words, not {words.shape[-1]}")
    as_bytes = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, bitorder="little", count=n_bits)


def lane_mask(n_bits: int) -> Words:
    """(n_words,) words whose bit is 1 for a real lane and 0 for a pad lane.

    >>> [hex(w) for w in lane_mask(68)]
    ['0xffffffffffffffff', '0xf']
    """
    return pack(np.ones(n_bits, np.uint8))


def popcount(words: Words) -> NDArray[np.int64]:
    """(...,) number of ones over the last axis of (..., n_words) words.

    >>> popcount(np.array([[5, 1]], np.uint64))
    array([3])
    """
    return np.asarray(np.bitwise_count(words).sum(axis=-1, dtype=np.int64))

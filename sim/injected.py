"""What many images meet of `injector.ReadErrors`, by array operations, and the scores they get.

`masks` equals `injector.word_errors` word for word, and `scores` applies it: the integer answer of
a core whose weights are read with errors. Neither needs a simulator.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .bits import Words, pack
from .core import core_of, n_windows, planes
from .exceptions import InputError
from .golden import encode, or_pool, windows
from .injector import ReadErrors, image_words, next_word, read_index
from .layers import Conv
from .memory import bank_words, stored_bits
from .network import Network, check_images

_AT_ONCE = 1 << 21  # words of a broadcast
_PLAIN = 128  # words by the plain recurrence; those after follow from 127 and 64 before
_DEGREE, _TAP = 127, 63


def _later(start: tuple[int, ...], n: int) -> tuple[int, ...]:
    """The four words of a generator after n more: x^(32 n) modulo its polynomial, applied."""
    power, square, m = 1, 2, 32 * n
    while m:
        if m & 1:
            power = _product(power, square)
        square, m = _product(square, square), m >> 1
    state = start[3] | start[2] << 32 | start[1] << 64 | start[0] << 96
    bits = [state >> (_DEGREE - 1 - i) & 1 for i in range(_DEGREE)]  # in the order of time
    for i in range(_DEGREE):
        bits.append(bits[i] ^ bits[i + _TAP])
    line = sum(bit << i for i, bit in enumerate(bits))
    found = 0
    for i in range(_DEGREE):
        found |= ((power & line >> i).bit_count() & 1) << (_DEGREE - 1 - i)
    return tuple(found >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0))


def _product(a: int, b: int) -> int:
    """Of two polynomials over two elements, modulo x^127 + x^63 + 1."""
    found = 0
    while b:
        found ^= a if b & 1 else 0
        a, b = a << 1, b >> 1
        if a >> _DEGREE:
            a ^= 1 << _DEGREE | 1 << _TAP | 1
    return found


def _sequence(start: tuple[int, ...], n: int) -> NDArray[np.uint64]:
    """The first n 32-bit words of a generator, those it starts from included.

    A trinomial squared is one of twice the lags: 2**5 times the lags are 127 and 64 whole words.
    """
    words = list(start)
    while len(words) < min(n, _PLAIN):
        words.append(next_word(words))
    found = np.empty(max(n, _PLAIN), np.uint64)
    found[: len(words)] = words
    at, scale = len(words), 1
    while at < n:
        while 127 * 2 * scale < at:
            scale *= 2
        end = min(n, at + 64 * scale)
        far, near = 127 * scale, 64 * scale
        found[at:end] = found[at - far : end - far] ^ found[at - near : end - near]
        at = end
    return found[:n]


def _rotated(words: Words, by: NDArray[np.uint64], width: int) -> Words:
    """Bit i is bit (i + by) mod width; words have `width` bits."""
    mask = np.uint64((1 << width) - 1)
    left = (np.uint64(width) - by) % np.uint64(64)  # by 0 needs none
    return np.where(by == 0, words, (words >> by) | (words << left)) & mask


def masks(errors: ReadErrors, layer: int, first: int, n: int) -> tuple[Words, Words]:
    """Lanes in which stored 0 reads as 1, and stored 1 as 0, in every read of n images.

    Args:
        first: number of the first of them since the injector was set; of a convolution, windows
            count and not images.

    Returns:
        Two (n, n_folds, n_planes, n_steps, pe) uint64, the top plane first.
    """
    pattern, hit01, hit10 = _drawn(errors, layer, first, n)
    return np.where(hit01, pattern, np.uint64(0)), np.where(hit10, pattern, np.uint64(0))


def disturbed_words(errors: ReadErrors, n: int, first: int = 0) -> tuple[int, ...]:
    """What the core counts in n images: of each layer, words that element 0 reads with errors.

    Args:
        first: number of the first image since the injector was set.
    """
    found = []
    for layer in range(len(errors.core.layout.shapes)):
        n_reads, count = n_windows(errors.core, layer), 0
        step = max(1, _AT_ONCE // image_words(errors.core, layer))
        for at in range(0, n * n_reads, step):
            here = min(step, n * n_reads - at)
            _, hit01, hit10 = _drawn(errors, layer, first * n_reads + at, here, 1)
            count += int((hit01 | hit10).sum())
        found.append(count)
    return tuple(found)


def _drawn(
    errors: ReadErrors, layer: int, first: int, n: int, n_pe: int | None = None
) -> tuple[Words, NDArray[np.bool_], NDArray[np.bool_]]:
    """Lanes of the errors, and whether a word meets them on stored 0s and on stored 1s.

    Args:
        layer, first, n: as in `masks`.
        n_pe: processing elements, the first ones; all by default.
    """
    layout = errors.core.layout
    n_planes = planes(layout.shapes[layer])
    n_words = image_words(errors.core, layer)
    sequence = _sequence(_later(errors.start(layer), first * n_words), n * n_words + 4)
    image, f, b, w = np.ogrid[:n, : layout.n_folds(layer), :n_planes,
                              : layout.n_steps(layer)]  # fmt: skip
    at = image * n_words + read_index(errors.core, layer, f, n_planes - 1 - b, w)
    oldest, second, third, newest = (sequence[at + i][..., None] for i in range(4))

    def bits(word: Words, low: int, count: int) -> Words:
        return (word >> np.uint64(low)) & np.uint64((1 << count) - 1)

    simd, rates = layout.folds[layer].simd, errors.rates(layer)
    pe = np.arange(n_pe or layout.folds[layer].pe, dtype=np.uint64)
    lanes = (newest | third << np.uint64(32)) & np.uint64((1 << simd) - 1)
    salt = bits(second, 22, 10) | bits(oldest, 0, 31) << np.uint64(10)
    if errors.form == "independent":
        salt = _rotated(salt, pe, 41)
        lanes = _rotated(lanes, pe % np.uint64(simd), simd)
    own = bits(second, 11, 11) ^ bits(salt, 0, 11)
    places = np.array(
        [sum(int((i ^ place) & rates.care == 0) << i for i in range(simd)) for place in range(64)],
        np.uint64,
    )
    pattern = (lanes ^ (-bits(own, 4, 1) & np.uint64((1 << simd) - 1))) & places[bits(own, 5, 6)]
    if errors.form == "ring":
        pattern = _rotated(pattern, pe % np.uint64(simd), simd)
    is_on = np.array(
        [b.name not in errors.off for b in layout.banks if (b.layer, b.kind) == (layer, "weights")]
    )[: len(pe)]

    def hit(t: int) -> NDArray[np.bool_]:
        carry = bits(second, 0, 11) < np.uint64(t & 0x7FF)
        is_hit = 2 * bits(own, 0, 4) < np.uint64(2 * (t >> 11)) + carry
        return np.asarray(is_hit & is_on)

    return pattern, hit(rates.t01), hit(rates.t10)


def scores(
    network: Network, images: NDArray[np.generic], errors: ReadErrors, first: int = 0
) -> NDArray[np.int32]:
    """(n_images, n_classes) scores of a core whose weights are read with these errors.

    Args:
        network: what the memories hold; apply a fault map first for persistent faults.
        first: number of the first image since the injector was set.

    Raises:
        InputError: the network is not of the core, or the images do not fit it.
    """
    core = errors.core
    if core_of(network, core.layout) != replace(core, injector=None, words=False):
        raise InputError(f"the read errors are not of a core for network {network.name!r}")
    stored = bank_words(stored_bits(network, core.layout), core.layout)
    image = encode(network, check_images(network, images))
    found = np.zeros((len(image), network.n_classes), np.int32)
    for chain in core.chains:
        x = image
        for i in chain:
            layer = network.layers[i]
            seen = windows(layer.window, x) if isinstance(layer, Conv) else x[:, None, None]
            sums = _sums_of_all(errors, i, seen, stored, first)
            if layer.thresholds is None:  # the last of its chain
                scores = sums if layer.input == "uint8" else 2 * sums - layer.n_inputs
                found += scores.reshape(found.shape)
                continue
            fired = (sums >= layer.thresholds).astype(np.uint8)
            pool = layer.pool if isinstance(layer, Conv) else None
            x = (or_pool(pool, fired) if pool else fired).reshape(len(x), -1)
    return found


def _sums_of_all(
    errors: ReadErrors, layer: int, seen: NDArray[np.uint8], stored: list[Words], first: int
) -> NDArray[np.int64]:
    """(n_images, rows, columns, n_outputs) what the layer compares in every window."""
    core = errors.core
    rows = seen.reshape(-1, seen.shape[-1])
    start = first * seen.shape[1] * seen.shape[2]
    step = max(1, _AT_ONCE // (image_words(core, layer) * core.layout.folds[layer].pe))
    parts = [
        _sums(errors, layer, rows[at : at + step], stored, start + at)
        for at in range(0, len(rows), step)
    ]
    n_outputs = core.layout.shapes[layer].n_outputs
    sums = np.concatenate([np.empty((0, n_outputs), np.int64), *parts])
    return sums.reshape(*seen.shape[:3], n_outputs)


def _sums(
    errors: ReadErrors, layer: int, x: NDArray[np.uint8], stored: list[Words], first: int
) -> NDArray[np.int64]:
    """(n, n_outputs) what the layer compares, P on bits and s on uint8, of images or windows."""
    layout = errors.core.layout
    shape, simd = layout.shapes[layer], layout.folds[layer].simd
    n_folds, n_steps, n_planes = layout.n_folds(layer), layout.n_steps(layer), planes(shape)
    banks = [i for i, b in enumerate(layout.banks) if (b.layer, b.kind) == (layer, "weights")]
    weights = np.stack([stored[b].reshape(n_folds, n_steps) for b in banks], axis=-1)
    reads01, reads10 = masks(errors, layer, first, len(x))
    held = weights[:, None]  # (n_folds, 1, n_steps, pe)
    read = (held & ~reads10) | (~held & reads01)

    lanes = np.zeros((len(x), n_planes, n_steps * simd), np.uint8)
    for b in range(n_planes):
        lanes[:, n_planes - 1 - b, : shape.n_inputs] = (x >> b) & 1
    words = pack(lanes.reshape(len(x), 1, n_planes, n_steps, simd))  # one a step
    real = np.zeros((n_steps, simd), np.uint8)
    real.reshape(-1)[: shape.n_inputs] = 1
    found: NDArray[np.int64]
    if n_planes == 1:
        counts = np.bitwise_count(~(words ^ read) & pack(real))
        found = counts.sum(axis=(2, 3), dtype=np.int64)
    else:
        counts = np.bitwise_count(words & read).sum(axis=3, dtype=np.int64)
        found = 2 * (counts << np.arange(n_planes)[::-1, None]).sum(axis=2)
        found -= x.sum(axis=1, dtype=np.int64)[:, None, None]
    return found.reshape(len(x), -1)[:, : shape.n_outputs]

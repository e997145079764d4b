"""Images and labels that a chip keeps in front of its core, and what it counts of them, as words.

`stoic_store` keeps records, `stoic_tally` runs them and counts. A confusion is all that leaves the
chip: which image was given which class, and its scores, nobody sees.
"""

import numpy as np
from numpy.typing import NDArray

from .bits import Words
from .core import Core, image_bytes

IMAGE_BANK, COUNT_BANK, CONFUSION_BANK = 0x4000, 0x4001, 0x4002
IMAGES, CORRECT = 0, 1  # words of COUNT_BANK; a write to the first one is a run
N_COUNTS = 2
MAX_WORDS = (1 << 16) - 1  # of a bank
MIN_CLASSES = 2  # of one class there is nothing to count
_WORD_BYTES = 8
_LANES = 4  # counts of a word


def record_words(core: Core) -> int:
    """Words that an image and its label take."""
    return image_bytes(core) // _WORD_BYTES + 1


def records(images: NDArray[np.uint8], labels: NDArray[np.generic]) -> Words:
    """(n_images * words,) what IMAGE_BANK holds: of every image its label, then its bytes.

    Args:
        images: (n_images, image_bytes) as they enter the core.
        labels: (n_images,) 0..255.

    >>> records(np.array([[2, 3]], np.uint8), np.array([1])).tolist() == [0x030201]
    True
    """
    n_images, n_bytes = images.shape
    found = np.zeros((n_images, (n_bytes // _WORD_BYTES + 1) * _WORD_BYTES), np.uint8)
    found[:, 0] = labels
    found[:, 1 : 1 + n_bytes] = images
    return found.view("<u8").astype(np.uint64).reshape(-1)


def row_words(n_classes: int) -> int:
    """Words of CONFUSION_BANK for each label: a power of two."""
    return max(1, (1 << (n_classes - 1).bit_length()) // _LANES)


def unpack_confusion(words: Words, n_classes: int) -> NDArray[np.int64]:
    """(n_classes, n_classes) images of each label (row) given each class, of words as read.

    >>> unpack_confusion(np.uint64([5, 7 << 16]), 2).tolist()
    [[5, 0], [0, 7]]
    """
    counts = words.astype("<u8").view("<u2").reshape(n_classes, -1)
    return counts[:, :n_classes].astype(np.int64)

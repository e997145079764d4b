"""Weight memories as FINN stores them: `memblock.dat` for `$readmemh`, and words for its AXI-Lite.

A matrix-vector unit of PE x SIMD reads, cycle after cycle, line m = k * (MW / SIMD) + b: of rows
k * PE ... k * PE + PE - 1 the columns b * SIMD ... b * SIMD + SIMD - 1. Bit p * SIMD + s of the
line is the weight of row k * PE + p, column b * SIMD + s; bit 1 is +1.

Source: Xilinx/finn dev 73ba5ed64, matrixvectoractivation.py, get_hw_compatible_weight_tensor and
make_weight_file; compared byte for byte by `make finn-check`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ..sim.bits import unpack
from ..sim.exceptions import InputError
from ..sim.layers import Layer
from ..sim.memory import Fold

WORD_BITS = 32  # of the AXI-Lite port


def lines(layer: Layer, fold: Fold) -> list[int]:
    """The memory lines of a layer's rows, address 0 first.

    Raises:
        InputError: PE does not divide the rows, or SIMD the columns.
    """
    check_fold(layer, fold)
    bits = unpack(layer.weights, layer.n_inputs)
    n_rows, n_columns = bits.shape
    shape = (n_rows // fold.pe, fold.pe, n_columns // fold.simd, fold.simd)
    words = bits.reshape(shape).transpose(0, 2, 1, 3).reshape(-1, fold.pe * fold.simd)
    packed = np.packbits(words, axis=1, bitorder="little")
    return [int.from_bytes(line.tobytes(), "little") for line in packed]


def check_fold(layer: Layer, fold: Fold) -> None:
    """Refuse a folding that FINN does.

    Raises:
        InputError: with what would do.
    """
    n_rows, n_columns = layer.n_outputs, layer.n_inputs
    if n_rows % fold.pe or n_columns % fold.simd or fold.simd * 1024 < n_columns:
        raise InputError(
            f"layer {layer.name!r}: PE {fold.pe} must divide {n_rows} rows, SIMD {fold.simd} must "
            f"divide {n_columns} columns and be {math.ceil(n_columns / 1024)} or more"
        )


def memblock(layer: Layer, fold: Fold) -> str:
    """Text of `memblock.dat`: one line of hex digits for each line of the memory.

    Raises:
        InputError: as `lines`.
    """
    digits = -(-fold.pe * fold.simd // 4)
    return "".join(f"{line:0{digits}x}\n" for line in lines(layer, fold))


def runtime_words(layer: Layer, fold: Fold) -> NDArray[np.uint32]:
    """Words that the host writes to a unit's AXI-Lite port; each line takes a power of two of them.

    Raises:
        InputError: as `lines`.
    """
    per_line = max(1, 2 ** math.ceil(math.log2(fold.pe * fold.simd / WORD_BITS)))
    data = b"".join(line.to_bytes(4 * per_line, "little") for line in lines(layer, fold))
    return np.frombuffer(data, "<u4").astype(np.uint32)


def runtime_text(layer: Layer, fold: Fold) -> str:
    """Text of the `.dat` file that FINN's own driver reads those words from.

    Raises:
        InputError: as `lines`.
    """
    return "".join(f"{int(word):08x}\n" for word in runtime_words(layer, fold))

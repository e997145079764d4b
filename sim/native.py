"""The shared library of the kit's C++: the engine and the sampler, built with the package."""

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from .exceptions import ToolError

NUMBERS = {"portable": 0, "avx2": 1, "avx512": 2}
"""Instruction sets as the library numbers them."""

_ABI = 7


@cache
def library() -> ctypes.CDLL:
    """The library; its calls release the interpreter's lock.

    Raises:
        ToolError: it is not built, or was built for another version of the kit.
    """
    folder = Path(__file__).parent
    built = [path for s in EXTENSION_SUFFIXES if (path := folder / f"_engine{s}").exists()]
    if not built:
        raise ToolError(f"{folder}: engine not built; install the package with a C++17 compiler")
    found = ctypes.CDLL(str(built[0]))
    if found.stoic_engine_abi() != _ABI:
        raise ToolError(f"{built[0]}: of another version of the kit; install the package again")
    return found

"""Boards: one folder each; what is soldered on, and the Verilog between its pins and the top."""

from .board import Board, load, names, read
from .wrapper import wrapper_verilog

__all__ = ["Board", "load", "names", "read", "wrapper_verilog"]

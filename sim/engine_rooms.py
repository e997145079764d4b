"""Rooms for what a memory reads: panels that are written again when nobody reads them any more.

A campaign fills a room for each chip. A fresh one costs more than filling it, since the system
hands out its pages one by one; and a few that take turns stay in the caches of the processor.
"""

from .engine_layers import Prepared


class Room:
    """Owns one room until it is forgotten; whoever reads it holds on to this.

    Attributes:
        prepared: written by its first holder only.
    """

    def __init__(self, prepared: Prepared, spare: list[Prepared]) -> None:
        self.prepared = prepared
        self._spare = spare

    def __del__(self) -> None:
        self._spare.append(self.prepared)


class Rooms:
    """Owns as many rooms like `clean` as were ever held at once. Threads may share it."""

    def __init__(self, clean: Prepared) -> None:
        self._clean = clean
        self._spare: list[Prepared] = []

    def take(self) -> Room:
        """A room that nobody else holds; what it holds but pads is left from before."""
        try:
            prepared = self._spare.pop()  # one call: no other thread gets the same
        except IndexError:
            prepared = self._clean.room()
        return Room(prepared, self._spare)

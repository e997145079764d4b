"""The device `netlist`: the netlist that is placed, simulated, behind the driver of boards.

What is simulated is what synthesis hands to place and route, to the last LUT, flip-flop and block
memory; PLL and pins of the UART are left out, everything from the byte stream on is there. The
driver is the one of real boards. Only images are sent otherwise: to each of 64 copies its own.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim.core import Core, image_cycles
from ..sim.exceptions import BoardError
from . import link, synth
from .boards import Board
from .device import BoardDevice
from .link import Command, Frame, Status
from .netlist_engine import N_COPIES, Netlist
from .netlist_program import Program, load
from .session import Progress
from .steps import alone

BUILD_DIR = Path("build/netlist")
_ROUNDS = 8  # images that a copy is sent at once, so that none waits for the one before


class NetlistPort:
    """The byte stream of a simulated netlist, all copies of which are told the same.

    Attributes:
        busy_s: time that the simulation took.
    """

    url = "netlist"

    def __init__(self, program: Program, core: Core, build_dir: Path = BUILD_DIR) -> None:
        """Start the simulation and let its reset pass.

        Args:
            core: that it was synthesised from; tells after how many cycles a silent one is dead.
        """
        self._netlist = Netlist(program, build_dir)
        self._patience = 4096 + 4 * (1 + len(core.layout.shapes)) * image_cycles(core)
        self._waiting, self.busy_s = b"", 0.0
        for _ in range(64):
            self._netlist.clock()

    @property
    def n_cycles(self) -> int:
        """Clock cycles so far."""
        return self._netlist.n_cycles

    def write(self, data: bytes) -> None:
        """Keep it until an answer is read."""
        self._waiting += data

    def read(self, least: int, timeout_s: float) -> bytes:
        """`least` bytes, fewer when they do not come; simulated time counts, not the clock's.

        Raises:
            BoardError: copies that were told the same answer otherwise.
        """
        sent, self._waiting = np.frombuffer(self._waiting, np.uint8)[:, None], b""
        start = time.perf_counter()
        got = self._netlist.talk(sent, least, self._patience)
        self.busy_s += time.perf_counter() - start
        if (got != got[:, :1]).any():
            raise BoardError("copies of one netlist answer the same bytes otherwise")
        return got[:, 0].tobytes()

    def ask_each(self, sent: NDArray[np.uint8], n_answered: int) -> NDArray[np.uint8]:
        """(n_copies, n_answered) bytes; as `Netlist.talk`, a row a copy."""
        return np.ascontiguousarray(
            self._netlist.talk(np.ascontiguousarray(sent.T), n_answered, self._patience).T
        )

    def close(self) -> None:
        """End the simulation."""
        self._netlist.close()


class NetlistDevice(BoardDevice):
    """A simulated netlist as a Device.

    Args:
        program: of the netlist.
        core: that it was synthesised from.

    Raises:
        ToolError: there is no C++ compiler.
        BoardError: it does not answer, or is of another core.
    """

    def __init__(self, program: Program, core: Core, build_dir: Path = BUILD_DIR) -> None:
        self._copies = NetlistPort(program, core, build_dir)
        self._n_images = 0
        super().__init__(self._copies, core)
        self.name = "netlist"

    def counters(self) -> dict[str, int]:
        """Images inferred, and the cycles simulated for them and for all else."""
        return {"images": self._n_images, "cycles": self._copies.n_cycles}

    def _stream(self, images: list[bytes], progress: Progress | None) -> list[bytes]:
        answers: list[bytes] = []
        for start in range(0, len(images), _ROUNDS * N_COPIES):
            answers += self._infer_some(images[start : start + _ROUNDS * N_COPIES])
            if progress:
                progress(len(answers))
        self._n_images += len(images)
        return answers

    def _infer_some(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Answers to images of which copy c is given the c-th of every 64; it repeats the last."""
        n_rounds = -(-len(payloads) // N_COPIES)
        rows = [
            b"".join(
                link.encode(
                    Frame(r, Command.INFER, payloads[min(r * N_COPIES + c, len(payloads) - 1)])
                )
                for r in range(n_rounds)
            )
            for c in range(N_COPIES)
        ]
        sent = np.frombuffer(b"".join(rows), np.uint8).reshape(N_COPIES, -1)
        n_bytes = link.OVERHEAD_BYTES + 2 + 4 * self.identity.n_classes  # status, scores, class
        found = [
            link.decode(row.tobytes(), self.identity.max_payload)[0]
            for row in self._copies.ask_each(sent, n_rounds * n_bytes)
        ]
        answers = []
        for i in range(len(payloads)):
            frames = found[i % N_COPIES]
            if len(frames) <= i // N_COPIES:
                raise BoardError(f"{self.url}: no answer to image {i}")
            frame = frames[i // N_COPIES]
            head = (frame.sequence, frame.command, frame.payload[0])
            if head != (i // N_COPIES, Command.INFER | link.ANSWER, Status.OK):
                raise BoardError(f"{self.url}: image {i} was answered with {head}")
            answers.append(frame.payload[1:])
        return answers


def netlist_program(name: str, core: Core, board: Board, out_dir: Path) -> Program:
    """The netlist of a core on a board, synthesised as `stoic synth` does if that is to be done.

    Args:
        name: of the network.
        out_dir: of the board's build: the netlist that its bitstream is placed from is there.

    Raises:
        ToolError: a tool is missing or fails, or the netlist is not what it should be.
    """
    design = synth.Design(name, core, board, synth.design_sources(core, board))
    synth.tool_versions(board)  # refused before there is a folder of the board
    with alone(out_dir):
        return load(synth.synthesise(design, out_dir), board)

"""Faults by other ways than the host: memories that start faulty, and saboteurs at their reads.

`RtlDevice` writes faulty words through the host port. Two more devices put the same map into the
same core, so that no one way is trusted alone:

    PresetDevice     memories start with the faulty words, by `$readmemh`; the host writes nothing
    SaboteurDevice   the host writes the clean words; a saboteur lies at every read of a memory

A saboteur is put by the syntax tree of `stoic_ram` at the expression that reads a memory:
`mem[a]` becomes `mem[a] ^ mem_flips[a]`. The masks `mem_flips` are zero until the core reads them
by `$readmemh`; without that the sabotaged text is proven equal to the original.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyverilog.vparser import ast

from .bits import Words
from .container import file_sha256, write_whole
from .core import Core, group
from .exceptions import InputError
from .hardware import written
from .memory import bank_words
from .rtl import HARNESS, RtlDevice
from .rtl_core import core_sources, core_verilog
from .syntax import memories, parse, walk
from .verilate import verilate

MASKS = "_flips"  # what the name of a memory's masks ends with
RAM = "stoic_ram.v"


@dataclass(frozen=True)
class Memory:
    """A memory of the core and the banks that it holds.

    Attributes:
        path: from `stoic_core` to the scope of the register array `mem`.
        depth: words.
        banks: number of a bank -> address of its word 0.
        width: bits of a word.
    """

    path: str
    depth: int
    width: int
    banks: dict[int, int]

    @property
    def file(self) -> str:
        """Name of its `$readmemh` file."""
        return f"{self.path}.mem"

    def text(self, words: list[Words]) -> str:
        """What its `$readmemh` file holds when the banks hold these words; zeros elsewhere."""
        content = np.zeros(self.depth, np.uint64)
        for bank, start in self.banks.items():
            content[start : start + len(words[bank])] = words[bank]
        digits = -(-self.width // 4)
        return "".join(f"{int(word):0{digits}x}\n" for word in content)


def memories_of(core: Core) -> list[Memory]:
    """The memories that hold the banks of a core, as `stoic_mvu` builds them.

    Every weight bank has its own. The thresholds of lane g of all stages share one, at address
    stage * 2 ** bits(n_folds - 1) + fold (`stoic_threshold`).
    """
    found: dict[str, Memory] = {}
    for number, bank in enumerate(core.layout.banks):
        n_lanes = group(core, bank.layer)
        stage, lane = divmod(bank.pe, n_lanes)
        if bank.kind == "weights":
            path = f"layer{bank.layer}.chain.g_stage[{stage}].stage.g_pe[{lane}].pe.ram.g_inferred"
            found[path] = Memory(path, bank.n_words, bank.width, {number: 0})
            continue
        n_stages = core.layout.folds[bank.layer].pe // n_lanes
        room = 1 << max(1, (bank.n_words - 1).bit_length())
        depth = n_stages * room if n_stages > 1 else bank.n_words
        path = f"layer{bank.layer}.drain.g_thresholds.threshold.g_lane[{lane}].ram.g_inferred"
        memory = found.setdefault(path, Memory(path, depth, bank.width, {}))
        memory.banks[number] = stage * room
    return list(found.values())


def sabotaged(text: str) -> str:
    """Verilog in which every clocked read of a memory is XORed with a mask of the same address.

    Raises:
        InputError: no memory is read in a clocked assignment.
    """
    tree = parse(text)
    found = memories(tree)
    insertions = []
    reads = [
        node.right.var
        for node, _ in walk(tree.root)
        if isinstance(node, ast.NonblockingSubstitution)
        and isinstance(node.right.var, ast.Pointer)
        and node.right.var.var.name in found
    ]
    for read in reads:
        start, end = tree.span(read)
        name = read.var.name
        insertions.append((end, f" ^ {text[start:end].replace(name, name + MASKS, 1)}"))
    for name in {read.var.name for read in reads}:
        declared = found[name]
        start = text.rindex("reg", 0, declared.lineno + len("reg"))
        end = text.index(";", start) + 1
        last = text[slice(*tree.span(declared.dimensions.lengths[0].lsb))]
        masks, i = name + MASKS, f"i_{name}{MASKS}"
        insertions.append(
            (
                end,
                f" {text[start:end].replace(name, masks)} integer {i};"
                f" initial for ({i} = 0; {i} <= {last}; {i} = {i} + 1) {masks}[{i}] = 0;",
            )
        )
    if not reads:
        raise InputError("there is no read of a memory to sabotage")
    for place, new in sorted(insertions, reverse=True):
        text = text[:place] + new + text[place:]
    return text


def with_files(core: Core, array: str) -> str:
    """`stoic_core` that reads the files of `memories_of` into register arrays of this name.

    Memories start with them; masks, which start as zeros, get them at the first clock.
    """
    text = core_verilog(core)
    start = "    initial begin\n"
    if array.endswith(MASKS):
        start = "    reg loaded = 1'b0;\n    always @(posedge clk_i) if (!loaded) begin\n"
        start += "        loaded = 1'b1;\n"
    loads = "".join(
        f'        $readmemh("{m.file}", {m.path}.{array});\n' for m in memories_of(core)
    )
    place = text.rindex("endmodule")
    return f"{text[:place]}{start}{loads}    end\n{text[place:]}"


class PresetDevice(RtlDevice):
    """The core whose memories start with what they read; the host only reads them back."""

    name = "rtl-readmemh"

    def _build(self, core: Core) -> Path:
        return verilate(
            "stoic_core", with_files(core, "mem"), core_sources(), HARNESS, self._build_dir
        )

    def _open(self, core: Core) -> None:
        self._save(core, np.zeros(core.layout.n_cells, np.uint8))
        super()._open(core)

    def _start(self) -> None:
        with contextlib.chdir(self._folder):  # `$readmemh` reads when the simulation starts
            super()._start()

    def _write_words(self, cells: NDArray[np.uint8]) -> None:
        self._restart(cells)

    def _restart(self, cells: NDArray[np.uint8]) -> None:
        """Start the simulation again with these cells in the files that it reads."""
        assert self._library is not None and self._built is not None
        self._save(self._built, cells)
        self._library.stoic_close(self._core)
        self._start()

    @property
    def _folder(self) -> Path:
        return self._build_dir / self.name

    def _save(self, core: Core, cells: NDArray[np.uint8]) -> None:
        words = bank_words(cells, core.layout)
        for memory in memories_of(core):
            write_whole(self._folder / memory.file, memory.text(words).encode())


class SaboteurDevice(PresetDevice):
    """The core with a saboteur at every memory; the host writes the network itself."""

    name = "rtl-saboteur"

    def _build(self, core: Core) -> Path:
        text = with_files(core, f"mem{MASKS}")
        sources = [self._sabotaged(p) if p.name == RAM else p for p in core_sources()]
        return verilate("stoic_core", text, sources, HARNESS, self._build_dir)

    def _sabotaged(self, path: Path) -> Path:
        copy = self._build_dir / f"saboteur-{file_sha256(path)[:12]}" / path.name
        write_whole(copy, sabotaged(path.read_text(encoding="utf-8")).encode())
        return copy

    def _write_words(self, cells: NDArray[np.uint8]) -> None:
        network, core = self._loaded()
        clean = written(network, core.layout)
        self._restart(clean ^ cells)
        super(PresetDevice, self)._write_words(clean)

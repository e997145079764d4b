"""Verilog to what solvers read: `python -m stoic.hw.proofs.elaborate SCRIPT`, a process of its own.

Yosys prints what it likes and ends the process when it fails; so it gets a process. The script is
one Yosys command a line.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ... import rtl
from ...sim.exceptions import InputError, ToolError

HARNESSES = Path(__file__).parent
# What a proof of another unit reads instead of this one: what the unit's own proof shows it to be.
PROVED = {"stoic_fifteen": HARNESSES / "word_level_fifteen.sv"}

# Words stay words and adders as wide as they are written: nothing is narrowed, mapped or optimised.
WORD_LEVEL = ("proc -noopt", "flatten", "opt_clean", "memory_collect")
# Registers without a reset start anywhere; memories too, and they become registers.
BIT_LEVEL = (
    "proc", "flatten", "async2sync", "chformal -lower", "chformal -cover -remove", "opt_clean",
    "memory -nordff", "formalff -clk2ff -ff2anyinit -hierarchy", "setundef -undriven -anyseq",
    "opt -fast", "dffunmap", "techmap", "opt -fast", "aigmap",
)  # fmt: skip
# The same for smtbmc, which has words and starts registers without a reset anywhere by itself.
FORMAL = (
    "prep -flatten", "async2sync", "chformal -lower", "memory_nordff",
    "setundef -undriven -anyseq", "opt_clean",
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A wrong version of the RTL: one place of one file reads otherwise.

    Attributes:
        file: name of the file, without `.v`.
        old: text that stands there exactly once.
        new: what stands there instead.
    """

    file: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The wrong file.

        Raises:
            InputError: the text is not there, or more than once; the mutant must be written anew.
        """
        found = text.count(self.old)
        if found != 1:
            raise InputError(f"mutant of {self.file}.v: {self.old!r} stands there {found} times")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Design:
    """What a proof is about.

    Attributes:
        top: module of `rtl/`, or of a harness beside this file.
        parameters: of the top.
        harness: file of the top, if it is none of `rtl/`.
        mutant: None for the RTL as it is.
    """

    top: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    harness: str = ""
    mutant: Mutant | None = None

    def elaborate(self, passes: Sequence[str], output: str) -> bytes:
        """What the Yosys command `output` writes into a file, after the passes.

        Raises:
            ToolError: Yosys is missing, or refuses the design.
        """
        with tempfile.TemporaryDirectory(prefix="stoic-proof-") as name:
            written = Path(name) / "written"
            script = Path(name) / "script"
            script.write_text("\n".join([*self._read(Path(name)), *passes, f"{output} {written}"]))
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(script)],
                capture_output=True, text=True, errors="replace", check=False,
            )  # fmt: skip
            if done.returncode or not written.is_file():
                lines = (done.stdout + done.stderr).strip().splitlines()
                why = next((line for line in lines if "ERROR" in line), "".join(lines[-1:]))
                raise ToolError(f"Yosys refuses {self.top}: {why}")
            return written.read_bytes()

    def _read(self, folder: Path) -> list[str]:
        files = []
        for source in rtl.sources():
            if self.mutant is not None and source.stem == self.mutant.file:
                mutated = folder / source.name
                mutated.write_text(self.mutant.applied(source.read_text()))
                source = mutated
            elif source.stem != self.top:
                source = PROVED.get(source.stem, source)
            files.append(source)
        read = [f'read_verilog -defer -sv "{path}"' for path in files]
        if self.harness:
            rules = sorted(HARNESSES.glob("*_rules.sv"))
            for path in [*rules, HARNESSES / self.harness]:
                read.append(f'read_verilog -defer -sv -formal "{path}"')
        chosen = "".join(
            f" -chparam {name} {value.bit_length()}'h{value:x}" if value >> 31 else
            f" -chparam {name} {value}"
            for name, value in self.parameters.items()
        )  # fmt: skip
        return [*read, f"hierarchy -check -top {self.top}{chosen}"]


def main() -> None:
    """Run the commands in the file that is the argument."""
    from pyosys import libyosys  # type: ignore[attr-defined]

    design = libyosys.Design()
    for command in Path(sys.argv[1]).read_text().splitlines():
        libyosys.run_pass(command, design)


if __name__ == "__main__":
    main()

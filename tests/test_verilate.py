"""Verilator's run time is compiled once for all designs."""

from pathlib import Path

import pytest

from stoic.sim.exceptions import ToolError
from stoic.sim.verilate import verilate


def build(top: str, folder: Path) -> Path:
    """Library of a module of nothing but an inverter."""
    harness = folder / f"{top}.cpp"
    harness.write_text(f'#include "V{top}.h"\nextern "C" void* make() {{ return new V{top}; }}\n')
    text = f"module {top} (input wire a, output wire b); assign b = !a; endmodule\n"
    return verilate(top, text, (), harness, folder)


def test_the_run_time_is_kept_and_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert build("one", tmp_path).is_file()
    kept = sorted(tmp_path.glob("cache/stoic/verilated-*/*"))
    assert [path.name for path in kept] == ["verilated.o", "verilated_threads.o"]
    kept[0].write_bytes(b"not an object")
    with pytest.raises(ToolError, match="Verilator failed on two"):
        build("two", tmp_path)

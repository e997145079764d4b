"""Mutants stand where the syntax tree says; the benches of a small unit kill them all."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from stoic import rtl
from stoic.sim import mutation
from stoic.sim.bench.runner import Bench
from stoic.sim.exceptions import InputError
from stoic.sim.mutants import KINDS, Mutant, mutants_of, sample
from stoic.sim.syntax import load, parse, walk
from stoic.sim.verilate import find_iverilog

FIFO = tuple(rtl.ROOT / f"stoic_{name}.v" for name in ("fifo", "ram", "ram_ecp5", "ram_lut"))
ALL = [mutant for path in rtl.sources() for mutant in mutants_of(path)]
SKID = Bench("stoic_skid", "bench_pipe", (rtl.ROOT / "stoic_skid.v",), {"WIDTH": 3})


def fifo(depth: int) -> Bench:
    return Bench("stoic_fifo", "bench_pipe", FIFO, {"DEPTH": depth, "WIDTH": 2})


@pytest.mark.parametrize("path", rtl.sources(), ids=lambda path: path.stem)
def test_every_source_has_a_syntax_tree_with_places(path: Path) -> None:
    tree = load(path)
    found = 0
    for node, _ in walk(tree.root):
        if type(node).__name__ == "Identifier" and node.scope is None:
            assert tree.text.startswith(node.name, node.lineno)
            found += 1
    assert found > 10


def test_spans_are_those_of_expressions() -> None:
    tree = parse(
        "module m; assign x = ((a) + b[1]) && (c.d || f(e)); endmodule\n".replace("c.d", "c")
    )
    texts = {
        type(n).__name__: tree.text[slice(*tree.span(n))]
        for n, _ in walk(tree.root)
        if type(n).__name__ in ("Land", "Plus", "Lor", "Pointer", "FunctionCall")
    }
    assert texts == {
        "Land": "((a) + b[1]) && (c || f(e))",
        "Plus": "(a) + b[1]",
        "Lor": "c || f(e)",
        "Pointer": "b[1]",
        "FunctionCall": "f(e)",
    }


def test_what_pyverilog_does_not_read_is_named() -> None:
    with pytest.raises(InputError, match="a file: pyverilog does not read line 2"):
        parse("module m;\nassign = 1;\nendmodule\n", "a file")


def test_mutants_are_many_of_all_kinds_the_same_each_time_and_mostly_elaborate(
    tmp_path: Path,
) -> None:
    assert len(set(ALL)) == len(ALL) > 3000
    kinds = Counter(m.kind for m in ALL)
    assert set(kinds) == set(KINDS) and min(kinds.values()) > 100
    drawn = sample(ALL, 50, 1)
    assert drawn == sample(ALL[::-1], 50, 1) != sample(ALL, 50, 2)
    n_elaborate = 0
    for mutant in sample(mutants_of(FIFO[0]), 12, 1):
        (tmp_path / mutant.file).write_text(mutant.apply(FIFO[0].read_text()))
        files = [str(tmp_path / mutant.file), *map(str, FIFO[1:])]
        build = [find_iverilog(), "-g2005", "-o", str(tmp_path / "out"), "-s", "stoic_fifo", *files]
        n_elaborate += subprocess.run(build, capture_output=True).returncode == 0
    assert n_elaborate >= 10


def test_a_draw_stays_when_lines_and_files_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = ["stoic_skid.v", "stoic_gate.v"]
    before = [(m.file, m.kind, m.old, m.new) for m in mutation.draw(1, kept)]
    for name in (*kept, "stoic_add.v"):
        (tmp_path / name).write_text(f"// a line more\n{(rtl.ROOT / name).read_text()}")
    monkeypatch.setattr(rtl, "sources", lambda: sorted(tmp_path.iterdir()))
    after = [(m.file, m.kind, m.old, m.new) for m in mutation.draw(1)]
    assert len(after) > len(before) + 20
    assert [m for m in after if m[0] in kept] == before


def test_loops_and_checks_of_parameters_are_left_alone() -> None:
    trees = {path.name: load(path) for path in rtl.sources()}
    for mutant in ALL:
        tree = trees[mutant.file]
        start = tree.text.rindex("\n", 0, mutant.start) + 1
        line = tree.text[start:].splitlines()[0].strip()
        assert not line.startswith(("parameter ", "input ", "output "))
        assert "g_illegal" not in line
        if line.startswith("for ("):
            assert mutant.start > tree.closing(start).end


def test_benches_kill_the_mutants_of_a_small_unit(tmp_path: Path) -> None:
    targets = mutation.Range([SKID], tmp_path, 1, 2)
    verdicts = targets.shoot(mutation.draw(1, ["stoic_skid.v"]), 6)
    result = mutation.summary(verdicts, 1)
    assert result["mutants"] == 6 and result["survived"] == 0 and result["mutation_score"] == 1
    again = mutation.Range([SKID], tmp_path, 1, 2)  # all of it from the books
    assert again.shoot(mutation.draw(1, ["stoic_skid.v"]), 6) == verdicts


@pytest.fixture(scope="module")
def fifos(tmp_path_factory: pytest.TempPathFactory) -> mutation.Range:
    return mutation.Range([fifo(2)], tmp_path_factory.mktemp("fifos"), 1, 1)


@pytest.mark.parametrize(
    "old, new, verdict",
    [
        ("valid_q && m_axis_tready", "m_axis_tready && valid_q", "equivalent"),
        ("valid_q && m_axis_tready", "(valid_q && m_axis_tready)", "equivalent"),
        ("write_q != read_next_q", "write_q != read_q", "killed"),
        # slower but right; a FIFO of two words promises no rate, so its bench cannot tell
        ("pop ? write_q != read_next_q", "pop ? 1'b0", "survived"),
        ("pop ? write_q != read_next_q", "pop ?", "stillborn"),
    ],
)
def test_verdicts(fifos: mutation.Range, old: str, new: str, verdict: str) -> None:
    text = FIFO[0].read_text()
    start = text.index(old)
    line = text.count("\n", 0, start) + 1
    mutant = Mutant("stoic_fifo.v", start, start + len(old), "operand", line, old, new)
    found = fifos.judge(mutant)
    assert found.verdict == verdict
    assert verdict != "survived" or found.why == "unexplained"
    same = mutation.SAME if new == f"({old})" else mutation.PROVEN
    assert verdict != "equivalent" or found.why == same
    assert verdict != "killed" or found.why.startswith("stoic_fifo(DEPTH=2,WIDTH=2) fails ")


def test_a_bench_that_fails_as_it_is_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "rtl"
    folder.mkdir()
    text = (rtl.ROOT / "stoic_skid.v").read_text()
    (folder / "stoic_skid.v").write_text(text.replace("held ? spare_q : s_axis_tdata", "spare_q"))
    broken = Bench(SKID.unit, SKID.module, (folder / "stoic_skid.v",), SKID.parameters)
    with pytest.raises(InputError, match="stoic_skid .* fails"):
        mutation.Range([broken], tmp_path, 1, 1).judge(mutation.draw(1, ["stoic_skid.v"])[0])

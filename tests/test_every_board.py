"""Every open board with three networks: what is planned, and what a row says of a build."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stoic.hw import boards, every_board, synth
from stoic.hw.every_board import NETWORKS, line, pairs, planned, summary
from stoic.hw.reports import Route
from stoic.models.recipe import load_recipe
from stoic.sim.core import image_cycles
from stoic.sim.exceptions import ArtefactError, ToolError
from stoic.sim.report.board_tables import boards as block

CLOCK_MHZ = 36.0  # of an iCEBreaker
REFUSED = {("fashion-sfc", "up5k"), ("fashion-sfc", "hx8k"), ("sfc", "hx8k")}


def test_every_pair_is_planned_and_what_does_not_fit_says_why() -> None:
    listed = {path.parent.name for path in boards.board.FOLDER.glob("*/board.toml")}
    open_boards = listed - {"arty-a7-35t", "pynq-z2"}
    assert set(pairs()) == {(network, board) for network in NETWORKS for board in open_boards}
    chips = {boards.load(name).device: boards.load(name) for name in sorted(open_boards)}
    assert set(chips) == {"25k", "85k", "um5g-85k", "hx8k", "up5k"}
    for network in NETWORKS:
        for device, board in chips.items():
            core, row = planned(network, board)
            assert row["clock_mhz_asked"] == board.core_hz / 1e6
            if (network, device) in REFUSED:
                assert core is None and row["verdict"] == "refused"
                assert re.search(rf"needs \d+ SB_RAM40_4K, {board.name} has \d+$", row["why"])
            else:
                assert core is not None
                assert row["images_per_s_at_clock_asked"] == round(
                    board.core_hz / image_cycles(core)
                )
                assert row["engine"] == core.engine == ((network, device) == ("sfc", "up5k"))


@pytest.mark.parametrize("name", ["fashion-tfc", "fashion-sfc"])
def test_sizes_are_those_of_the_zoo(name: str) -> None:
    recipe, (sizes, first) = load_recipe(name), NETWORKS[name]
    assert (recipe.hidden, recipe.input) == (sizes[1:-1], first)


def run(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    fmax_mhz: dict[int, float],
    *more: str,
    cells: int = 4615,
    memories: int = 30,
) -> tuple[int, dict[str, Any]]:
    """Status and results of a run with made-up tools; a seed that they do not know fails.

    Args:
        cells, memories: that the design is packed into.
    """

    def build(design: synth.Design, out_dir: Path, seeds: range, jobs: int) -> Any:
        out_dir.mkdir(parents=True, exist_ok=True)
        used = {"ICESTORM_LC": {"used": cells, "available": 5280}}
        used["ICESTORM_RAM"] = {"used": memories, "available": 30}
        counts = {"design": {"num_cells_by_type": {"SB_LUT4": 3067}}}
        (out_dir / "synth.stat.json").write_text(json.dumps(counts))
        for name in ("synth", "pack", *(f"seed{n}" for n in seeds)):
            values = {"key": "", "wall_s": 10.0, "cpu_s": 4.0}
            (out_dir / f"{name}.step.json").write_text(json.dumps(values))
        for n in seeds:
            if n not in fmax_mhz:
                raise ToolError(f"seed{n} failed: no way")
            (out_dir / f"seed{n}.report.json").write_text(json.dumps({"utilization": used}))
            text = "HeAP Placer Time: 2.5s\nSA placement time 0.5s\nRouter1 time 1.25s\n"
            (out_dir / f"seed{n}.log").write_text(text)
        routes = tuple(Route(n, fmax_mhz[n], "a -> b", 10.0) for n in seeds)
        if max(r.fmax_mhz for r in routes) < CLOCK_MHZ:
            raise synth.ClockMissedError("36 MHz not met", routes)
        return SimpleNamespace(routes=routes, bitstream_sha256="ab")

    monkeypatch.setattr(synth, "build_design", build)
    json_file = folder / "boards.json"
    argv = ["", "--json", str(json_file), "--out", str(folder), "--networks", "fashion-tfc", *more]
    monkeypatch.setattr("sys.argv", argv)
    status = every_board.main()
    return status, json.loads(json_file.read_text())


def test_the_first_seed_that_meets_the_clock_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fmax = {1: 35.9, 2: 36.9}
    status, found = run(monkeypatch, tmp_path, fmax, "--boards", "icebreaker", "upduino")
    row = found["rows"][0]
    assert status == 0 and found["met"] == 2 and len(found["not_measured"]) == len(pairs()) - 2
    assert (row["verdict"], row["seeds"], row["fmax_mhz"]) == ("met", [1, 2], [35.9, 36.9])
    assert row["margin_percent"] == 2.5
    assert row["place_s"] == [3.0, 3.0] and row["route_s"] == [1.2, 1.2]
    assert row["first_bitstream_wall_s"] == 40 and row["first_bitstream_cpu_s"] == 16
    text = "\n".join(block(tmp_path))
    assert "**2 of 2** designs" in text and f"{len(pairs()) - 2} pairs are not measured" in text
    assert "| `fashion-tfc` | icebreaker | 36 | 35.9, 36.9 | +2.5 % |" in text


def test_a_design_that_misses_and_a_tool_that_fails_are_rows_and_status_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    some = ("--boards", "icebreaker", "upduino")
    status, found = run(monkeypatch, tmp_path, {1: 35.9, 2: 35.8}, *some, "--seeds", "2")
    assert status == 1 and (found["missed"], found["met"]) == (2, 0)
    row = found["rows"][0]
    assert (row["why"], row["margin_percent"]) == ("36 MHz not met", -0.3)
    assert "missed" in line(row) and "35.9 MHz of 36 asked" in line(row)
    assert "**0 of 2** designs" in next(iter(block(tmp_path)))
    # what is measured again takes the place of what was, other rows stay
    status, found = run(monkeypatch, tmp_path, {1: 35.9}, "--boards", "upduino")
    assert status == 1 and (found["missed"], found["failed"]) == (1, 1)
    assert found["rows"][1]["why"] == "seed2 failed: no way"
    assert "fashion-tfc` on upduino: failed, seed2 failed: no way" in "\n".join(block(tmp_path))
    status, found = run(monkeypatch, tmp_path, {1: 36.0}, *some)
    assert status == 0 and summary(found["rows"])["met"] == 2


@pytest.mark.parametrize(
    ("packed", "worst", "wrong"),
    [({"cells": 4020}, 0.1502, 0), ({"cells": 4022}, 0.1497, 0), ({"memories": 29}, 0.0020, 1)],
)
def test_a_planner_that_is_off_fails_a_run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    packed: dict[str, int],
    worst: float,
    wrong: int,
) -> None:
    status, found = run(monkeypatch, tmp_path, {1: 36.9}, "--boards", "icebreaker", **packed)
    assert (found["worst_cells_error"], found["block_rams_wrong"]) == (worst, wrong)
    assert found["rows"][0]["cells_error"] == worst and status == (worst > 0.15 or wrong)
    text = "\n".join(block(tmp_path))
    assert f"at worst {worst:.1%} off (`fashion-tfc` on icebreaker: 4,624 for" in text
    assert f"that of block memories wrong for {wrong} of 1 designs." in text


def test_a_run_is_judged_by_its_own_rows_and_counts_those_of_other_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, {1: 35.9}, "--seeds", "1", "--boards", "upduino")[0] == 1
    for change, others in ((None, 0), ("sources", 1), ("no key", 1)):
        path = tmp_path / "boards.json"
        found = json.loads(path.read_text())
        upduino = next(row for row in found["rows"] if row["board"] == "upduino")
        if change == "no key":  # a file of before there was one
            del upduino["inputs_sha256"]
        elif change:
            upduino["inputs_sha256"] = "0" * 64
        path.write_text(json.dumps(found))
        status, found = run(monkeypatch, tmp_path, {1: 36.0}, "--boards", "icebreaker")
        assert status == 0 and (found["met"], found["missed"]) == (1, 1)
        said = capsys.readouterr().out.splitlines()[-1]
        assert said == f"rows of earlier runs: 1, of other or unknown sources: {others}"
    assert shlex.split(found["command"])[:3] == ["python", "-m", "stoic.hw.every_board"]


def test_a_refusal_is_of_these_sources_while_the_planner_says_the_same() -> None:
    _, row = planned("sfc", boards.load("ice40-hx8k"))
    assert every_board.is_of_these_sources(row)
    assert not every_board.is_of_these_sources({**row, "why": "needs a million"})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("bench nix.stoic --json b.json", "nix.stoic: no such file"),
        ("bench nix.stoic --json /proc/x/b.json", "/proc: cannot be written"),
        ("soak --json /proc/x/b.json", "/proc: cannot be written"),
        ("fold_signoff --json /proc/x/b.json", "/proc: cannot be written"),
        ("hw_table --json /proc/x/b.json", "/proc: cannot be written"),
        ("hw_table --read --json nix.json", "nix.json: not a report"),
        ("hw_table --read --json [] --page page.md", "other.json: not of this kit's make hw-table"),
        ("hw_table --json [] --only sfc-b1", "other.json: not of this kit's make hw-table"),
        ("every_board --json /proc/x/b.json", "/proc: cannot be written"),
        ("every_board --json {}", "corrupt.json: not a report"),
        ("every_board --json binary.json", "binary.json: not a report"),
        ("every_board --json []", "other.json: no results of `make boards`"),
    ],
)
def test_bad_input_of_what_measures_is_one_line_and_status_2(
    tmp_path: Path, arguments: str, says: str
) -> None:
    corrupt, other = tmp_path / "corrupt.json", tmp_path / "other.json"
    corrupt.write_text("{")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    other.write_text('{"rows": [1]}')
    name, *words = arguments.replace("{}", str(corrupt)).replace("[]", str(other)).split()
    command = [sys.executable, "-m", f"stoic.hw.{name}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert says in done.stderr


def test_no_seeds_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, tmp_path, {}, "--seeds", "0")
    with pytest.raises(ArtefactError, match="make boards makes it"):
        list(block(tmp_path))

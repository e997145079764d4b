"""The campaign commands end to end: all axes of the file, watching, differences, refusals."""

import builtins
import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stoic.hw import cli
from stoic.sim import network as networks
from stoic.sim.random_network import random_network

RunStoic = Callable[..., tuple[int, str, str]]
PLAN = """
[campaign]
models = ["{folder}/a.stoic", "{folder}/b.stoic"]
data = "fashion-mnist"
n_images = 30
device = ["engine", "golden"]
protections = ["none", {{ name = "interleave", degree = 2 }}]
store = "{folder}/rows.sqlite"
[errors]
rates = [0, 0.1]
names = ["fefet-85C"]
chips = 2
each_layer = true
[[errors.models]]
model = "stuck"
label = "dead cells"
sweep = {{ rate = [0.05, 0.1], ones = [0.5, 1.0] }}
"""


@pytest.fixture
def stoic(capfd: pytest.CaptureFixture[str]) -> RunStoic:
    """Runs a command line in this process; gives status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        status = cli.run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return status, out, err

    return run


def as_json(ran: tuple[int, str, str]) -> dict[str, Any]:
    assert ran[0] == 0, ran[2]
    values: dict[str, Any] = json.loads(ran[1])
    return values


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    for seed, name in ((4, "a"), (5, "b")):
        net = random_network((784, 20, 10), "uint8", np.random.default_rng(seed))
        networks.save(net, tmp_path / f"{name}.stoic")
    (tmp_path / "plan.toml").write_text(PLAN.format(folder=tmp_path))
    return tmp_path / "plan.toml"


N_CONDITIONS = 4 * 3  # drawn models; all layers, and each of the two
N_ROWS = 2 * 2 * 2 * (1 + 2 * N_CONDITIONS)  # networks, devices, protections


def test_every_axis_of_a_campaign_runs_and_is_told(stoic: RunStoic, plan: Path) -> None:
    folder, out = plan.parent, ("--json",)
    # Two processes that compute, and a third that watches them.
    watcher = subprocess.Popen(
        [sys.executable, "-m", "stoic.hw.cli", "campaign", "run", str(plan), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / "rows.sqlite").exists():
        assert watcher.poll() is None
    shown = as_json(stoic("campaign", "show", plan, "--watch", 0.2, *out))
    assert watcher.wait(60) == 0
    assert shown["n_rows"] == shown["n_units"] == N_ROWS and shown["n_computed"] == 0
    assert as_json(stoic("campaign", "run", plan, *out))["rows"] == shown["rows"]

    points = shown["points"]
    assert len(points) == 8 * (1 + N_CONDITIONS)
    assert {p["protection"] for p in points} == {"none", "interleave(degree=2)"}
    assert {p["place"] for p in points} == {"", "layer 0", "layer 1"}
    assert {p["condition"] for p in points} >= {"iid-10%", "dead cells rate=0.1, ones=1.0"}
    unsourced = {p["condition"] for p in points if p["provisional"]}
    assert unsourced == {"fefet-85C"} and shown["provisional"]
    by_device = {
        device: [r["scores_sha256"] for r in shown["rows"] if r["device"] == device]
        for device in ("engine", "golden")
    }
    assert by_device["engine"] == by_device["golden"] and len(by_device["golden"]) == N_ROWS // 2

    as_json(stoic("campaign", "plot", plan, "-o", folder / "plan.svg", *out))
    drawn = (folder / "plan.svg").read_text()
    assert "(provisional)" in drawn and "layer 1" in drawn and "stuck" in drawn

    as_json(stoic("campaign", "export", plan, "-o", folder / "rows.csv", *out))
    with (folder / "rows.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == N_ROWS
    assert all(bool(r["provisional"]) == (r["condition"] == "fefet-85C") for r in table)

    a, b = f"{folder}/a.stoic", f"{folder}/b.stoic"
    found = as_json(stoic("campaign", "diff", a, b, "--of", plan, *out))["differences"]
    assert len(found) == 4 * (1 + N_CONDITIONS)
    assert all(d["low"] <= d["mean"] <= d["high"] for d in found)
    assert {d["method"].split(";")[0] for d in found[1:2]} == {"paired Student t over common chips"}
    rates = as_json(stoic("campaign", "diff", "iid-10%", "fefet-85C", "--of", plan, *out))
    assert len(rates["differences"]) > 0
    assert "there are" in stoic("campaign", "diff", a, "c.stoic", "--of", plan)[2]

    other = plan.with_name("other.toml")
    other.write_text(plan.read_text().replace("rows.sqlite", "other.sqlite"))
    as_json(stoic("campaign", "run", other, *out))
    stores = (folder / "rows.sqlite", folder / "other.sqlite")
    same = as_json(stoic("campaign", "diff", *stores, *out))
    assert (same["n_rows"], same["n_scores_differ"]) == (N_ROWS, 0)


def test_a_stop_rule_in_the_file_ends_points_early(stoic: RunStoic, plan: Path) -> None:
    text = plan.read_text().replace(
        "chips = 2", "stop_half_width = 0.07\nmin_chips = 3\nmax_chips = 16"
    )
    plan.write_text(text.replace('device = ["engine", "golden"]', 'device = "engine"'))
    found = as_json(stoic("campaign", "run", plan, "--json"))
    chips = [p["n_chips"] for p in found["points"]]
    assert min(chips) == 1 and max(chips) <= 16 and len(set(chips)) > 3
    assert all(p["half_width"] <= 0.07 or p["n_chips"] == 16 for p in found["points"])
    assert sum(chips) == found["n_units"] == found["n_rows"]


def test_what_is_missing_is_said_in_one_line(
    stoic: RunStoic, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("dask", "distributed", "pyarrow", "matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
        return whole(name, *arguments, **more)

    plan.write_text(plan.read_text().replace("chips = 2", "chips = 1"))
    as_json(stoic("campaign", "run", plan, "--json"))
    refused = [
        ("--cluster", "tcp://127.0.0.1:1", "--workers", "2"),
        ("--workers", "0"),
    ]
    says = ["not both", "greater than or equal to 1"]
    for options, words in zip(refused, says, strict=True):
        status, _, err = stoic("campaign", "run", plan, *options)
        assert status == 2 and words in err and len(err.splitlines()) == 1
    for module in ("campaign.cluster", "report.figures"):
        monkeypatch.delitem(sys.modules, f"stoic.sim.{module}", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    for command, words in (
        (("run", plan, "--cluster", "tcp://127.0.0.1:1"), "install stoic[cluster]"),
        (("export", plan, "-o", plan.with_suffix(".parquet")), "install stoic[table]"),
        (("plot", plan), "needs the package 'matplotlib'"),
    ):
        status, _, err = stoic("campaign", *command)
        assert status == 2 and words in err and len(err.splitlines()) == 1

"""The command line does what it is asked, or refuses in one line and with status 2."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from stoic.hw import cli
from stoic.sim import golden
from stoic.sim import network as networks
from stoic.sim.network import Network
from stoic.sim.random_network import random_network

N_IMAGES = 20
COUNTED = ["images", "margin_sum", "low_margins"]
Files = dict[str, str]
RunStoic = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stoic(capfd: pytest.CaptureFixture[str]) -> RunStoic:
    """Runs a command line in this process; gives status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        status = cli.run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return status, out, err

    return run


@pytest.fixture
def net(tmp_path: Path) -> Network:
    found = random_network((30, 67, 13, 5), "uint8", np.random.default_rng(1))
    networks.save(found, tmp_path / "net.stoic")
    return found


@pytest.fixture
def files(tmp_path: Path, net: Network) -> Files:
    """Paths of good and bad files, by what they are."""
    images = np.random.default_rng(2).integers(0, 256, (N_IMAGES, 30))
    arrays = {
        "x": images.astype(np.uint8),
        "nan": np.full((3, 30), np.nan),
        "float": images.astype(np.float32),
        "narrow": images[:, :29],
        "large": images + 1000,
        "empty": images[:0],
    }
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}.npy", values)
    other = random_network((30, 9, 5), "uint8", np.random.default_rng(3))
    networks.save(other, tmp_path / "other.stoic")
    good = (tmp_path / "net.stoic").read_bytes()
    (tmp_path / "cut.stoic").write_bytes(good[:-40])
    first = 8 + int.from_bytes(good[:8], "little")  # of the stored words, after the JSON header
    (tmp_path / "flipped.stoic").write_bytes(
        good[:first] + bytes([good[first] ^ 1]) + good[first + 1 :]
    )
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "nothing.npy").write_bytes(b"")
    (tmp_path / "list.npy").write_bytes(b"\x93NUMPY")
    np.savez(tmp_path / "archive.npy.npz", images=images)
    np.save(tmp_path / "number.npy", np.int64(3))
    paths = {path.name: str(path) for path in tmp_path.iterdir()}
    paths["inside a file"] = paths["x.npy"] + "/out.npy"
    return {**paths, "out": str(tmp_path / "out.npy"), "map": str(tmp_path / "map.faults")}


def as_json(result: tuple[int, str, str]) -> dict[str, Any]:
    status, out, err = result
    assert status == 0, err
    return dict(json.loads(out))


def test_help_lists_every_command_and_imports_no_heavy_package() -> None:
    probe = (
        "import sys; from stoic.hw import cli; status = cli.run(['--help'])\n"
        "heavy = {'torch', 'onnx', 'scipy', 'matplotlib', 'brevitas', 'serial', 'pyosys'}\n"
        "print(sorted(heavy & set(sys.modules))); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    names = "train export import show faults infer agree campaign synth virtual board report doctor"
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [n for n in names.split() if n not in listed] == []


def commands(entries: cli.Commands, *before: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, entry in entries.items():
        inner = entry[1] if isinstance(entry, tuple) else None
        found += commands(inner, *before, name) if inner else [(*before, name)]
    return found


@pytest.mark.parametrize("names", commands(cli.COMMANDS), ids=" ".join)
def test_every_command_exists_and_takes_json(stoic: RunStoic, names: tuple[str, ...]) -> None:
    status, out, err = stoic(*names, "--help")
    assert (status, err) == (0, "")
    assert "--json" in out


def test_a_map_drawn_by_the_command_line_gives_goldens_faulty_scores(
    stoic: RunStoic, net: Network, files: Files
) -> None:
    drawn = as_json(
        stoic(
            *("faults", "sample", files["net.stoic"], "--errors", "rram-3.3%"),
            *("--chip", 3, "--seed", 5, "-o", files["map"], "--json"),
        )
    )
    assert as_json(stoic("faults", "show", files["map"], "--json"))["sha256"] == drawn["sha256"]
    scores = {}
    for extra in ((), ("--faults", files["map"])):
        for device in ("golden", "engine", "torch"):
            result = as_json(
                stoic(
                    *("infer", files["net.stoic"], "--input", files["x.npy"]),
                    *("--device", device, "-o", files["out"], "--json", *extra),
                )
            )
            assert result["device"] == device and result["n_images"] == N_IMAGES
            scores[device, len(extra)] = np.load(files["out"])
    clean = golden.scores(net, np.load(files["x.npy"]))
    assert clean.dtype == scores["engine", 0].dtype == np.int32
    assert (scores["engine", 0] == clean).all() and (scores["torch", 0] == clean).all()
    faulty = scores["golden", 2]
    assert (faulty != clean).any()
    assert (scores["engine", 2] == faulty).all() and (scores["torch", 2] == faulty).all()


def test_rates_may_be_given_instead_of_a_name(stoic: RunStoic, net: Network, files: Files) -> None:
    found = []
    for errors in (("--p01", 0.02, "--p10", 0.1), ("--errors", "iid-p01=0.02-p10=0.10")):
        command = ("faults", "sample", files["net.stoic"], *errors, "-o", files["map"], "--json")
        found.append(as_json(stoic(*command))["sha256"])
    assert found[0] == found[1]


def test_agree_compares_writes_its_result_and_catches_mutants(
    stoic: RunStoic, net: Network, files: Files, tmp_path: Path
) -> None:
    stoic("faults", "sample", files["net.stoic"], "--errors", "iid-10%", "-o", files["map"])
    path = tmp_path / "results" / "agree.json"
    result = as_json(
        stoic(
            *("agree", files["net.stoic"], "--devices", "golden,engine", "--faults", files["map"]),
            *("--input", files["x.npy"], "--sample", "engine=7", "--json", "--result", path),
        )
    )
    assert json.loads(path.read_text()) == result
    assert result["command"].startswith("stoic agree ")
    assert result["n_mismatches"] == 0 and result["failure"] is None
    assert [c["n_images"] for c in result["comparisons"]] == [N_IMAGES] * 2 + [7] * 2
    assert result["n_mutants_caught"] == result["n_mutants"] == 6


def test_agree_fails_when_a_device_differs(
    stoic: RunStoic, net: Network, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stoic.hw import devices
    from stoic.sim.device import GoldenDevice

    class Wrong(GoldenDevice):
        def infer(self, images: Any) -> Any:
            scores = super().infer(images)
            scores[4, 2] -= 2
            return scores

    monkeypatch.setitem(devices.OPENERS, "golden", lambda at: Wrong())
    status, out, err = stoic(
        "agree", files["net.stoic"], "--devices", "golden", "--input", files["x.npy"], "--json"
    )
    assert status == 2 and json.loads(out)["n_mismatches"] == 1
    assert "image 4 class 2" in err.splitlines()[-1]


CAMPAIGN = """
[campaign]
models = ["{folder}/pixels.stoic"]
data = "fashion-mnist"
n_images = 50
device = "engine"
store = "{folder}/rows.sqlite"
[errors]
rates = [0, 0.1]
names = ["rram-3.3%"]
chips = 3
"""


def test_a_campaign_runs_shows_and_is_drawn(stoic: RunStoic, tmp_path: Path) -> None:
    pixels = random_network((784, 20, 10), "uint8", np.random.default_rng(4))
    networks.save(pixels, tmp_path / "pixels.stoic")
    plan = tmp_path / "plan.toml"
    plan.write_text(CAMPAIGN.format(folder=tmp_path))
    assert "no such result store" in stoic("campaign", "show", plan)[2]
    ran = as_json(stoic("campaign", "run", plan, "--json"))
    again = as_json(stoic("campaign", "run", plan, "--json"))
    shown = as_json(stoic("campaign", "show", plan, "--json"))
    assert [r["n_computed"] for r in (ran, again, shown)] == [7, 0, 0]
    assert ran["rows"] == again["rows"] == shown["rows"] and len(ran["points"]) == 3
    assert [p["n_chips"] for p in ran["points"]] == [1, 3, 3]
    as_json(stoic("campaign", "plot", plan, "-o", tmp_path / "plan.svg", "--json"))
    assert "<svg" in (tmp_path / "plan.svg").read_text()


def test_a_virtual_board_is_driven_by_the_board_commands(
    stoic: RunStoic, net: Network, files: Files, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "stoic.hw.cli", "virtual", files["net.stoic"], "--json"]
    board = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    try:
        assert board.stdout is not None
        url = json.loads(board.stdout.readline())["url"]
        assert as_json(stoic("board", "identify", "--url", url, "--json"))["image_bytes"] == 30
        loaded = as_json(stoic("board", "load", files["net.stoic"], "--url", url, "--json"))
        assert loaded["n_words"] > 100 and loaded["n_words_different"] == 0
        given = (files["net.stoic"], "--input", files["x.npy"], "-o", files["out"])
        noted = ("--note", "41 C", "--log", tmp_path / "lab.jsonl", "--json")
        as_json(stoic("board", "infer", *given, "--url", url, *noted))
        as_json(stoic("board", "infer", *given, "--held", "--url", url, *noted))
        lab = [json.loads(line) for line in (tmp_path / "lab.jsonl").read_text().splitlines()]
        noted_runs = [("infer", ["41 C"])] * 2
        assert [(row["command"], row["notes"]) for row in lab] == [("load", []), *noted_runs]
        assert lab[0]["build_id"] == loaded["build_id"] and lab[0]["url"] == url
        assert (np.load(files["out"]) == golden.scores(net, np.load(files["x.npy"]))).all()
        stoic("faults", "sample", files["net.stoic"], "--errors", "iid-10%", "-o", files["map"])
        tested = as_json(
            stoic(
                *("board", "selftest", files["net.stoic"], "--url", url),
                *("--faults", files["map"], "--n", 64, "--json"),
            )
        )
        assert tested["n_scores"] == 2 * 64 * 5 and tested["n_mismatches"] == 0
        assert [row["register"] for row in tested["registers"]] == COUNTED
        assert all(row["got"] == row["expected"] > 0 for row in tested["registers"])
        assert [m["is_caught"] for m in tested["mutants"]] == [True] * 3  # and none is left there
        as_json(stoic("board", "infer", *given, "--held", "--url", url, *noted))
    finally:
        os.kill(board.pid, signal.SIGINT)
        _, err = board.communicate(timeout=60)
    assert board.returncode == 2 and "interrupted" in err.splitlines()[-1]
    assert "of real time at 100 MHz" in err


REFUSED = [
    (("shw",), "No such command 'shw'"),
    (("show",), "Missing argument"),
    (("show", "absent.stoic"), "no such file"),
    (("show", "x" * 5000), "File name too long"),
    (("show", "@text.npy"), "corrupt or not a stoic-network file"),
    (("show", "@cut.stoic"), "corrupt or not"),
    (("show", "@flipped.stoic"), "do not match the hash"),
    (("faults", "show", "@net.stoic"), "is a 'stoic-network' file, not 'stoic-faults'"),
    (("faults", "sample", "@net.stoic", "-o", "@map"), "give either --errors NAME or --p01"),
    (("faults", "sample", "@net.stoic", "--errors", "x", "-o", "@map"), "one of rram-3.3%"),
    (("faults", "sample", "@net.stoic", "--p01", "0.1", "-o", "@map"), "given together"),
    (("faults", "sample", "@net.stoic", "--p01", "2", "--p10", "0", "-o", "@map"), "0..1, not 2"),
    (("faults", "sample", "@net.stoic", "--p01", "nan", "--p10", "0", "-o", "@map"), "not nan"),
    (("infer", "@net.stoic", "--input", "@x.npy"), "Missing option '-o'"),
    (("infer", "@net.stoic", "-o", "@out"), "give either --data NAME or --input"),
    (("infer", "@net.stoic", "--data", "cats", "-o", "@out"), "one of fashion-mnist"),
    (("infer", "@net.stoic", "--input", "@x.npy", "--n", "99", "-o", "@out"), "has 20 images"),
    (("infer", "@net.stoic", "--input", "@x.npy", "--n", "0", "-o", "@out"), "equal to 1"),
    (("infer", "@net.stoic", "--input", "@nan.npy", "-o", "@out"), "nan at (0, 0)"),
    (("infer", "@net.stoic", "--input", "@float.npy", "-o", "@out"), "must be integers"),
    (("infer", "@net.stoic", "--input", "@narrow.npy", "-o", "@out"), "must be (n, 30)"),
    (("infer", "@net.stoic", "--input", "@large.npy", "-o", "@out"), "must lie in 0..255"),
    (("infer", "@net.stoic", "--input", "@empty.npy", "-o", "@out"), "holds no image"),
    (("infer", "@net.stoic", "--input", "@text.npy", "-o", "@out"), "not a readable .npy"),
    (("infer", "@net.stoic", "--input", "@nothing.npy", "-o", "@out"), "not a readable .npy"),
    (("infer", "@net.stoic", "--input", "@list.npy", "-o", "@out"), "not a readable .npy"),
    (("infer", "@net.stoic", "--input", "@archive.npy.npz", "-o", "@out"), "an archive"),
    (("infer", "@net.stoic", "--input", "@number.npy", "-o", "@out"), "one number"),
    (("infer", "@net.stoic", "--input", "absent.npy", "-o", "@out"), "No such file"),
    (("infer", "@net.stoic", "--input", "@x.npy", "-o", "@inside a file"), "File exists"),
    (
        ("infer", "@net.stoic", "--input", "@x.npy", "-o", "@out", "--device", "tpu"),
        "one of golden, engine, torch, onnx, onnxruntime, finn, finn-base, rtl, netlist",
    ),
    (
        ("infer", "@net.stoic", "--input", "@x.npy", "-o", "@out", "--device", "/dev/absent"),
        "/dev/absent",
    ),
    (
        ("infer", "@net.stoic", "--input", "@x.npy", "-o", "@out", "--board", "toaster"),
        "unknown board 'toaster'",
    ),
    (("agree", "@net.stoic", "--devices", "engine,engine", "--input", "@x.npy"), "named twice"),
    (("agree", "@net.stoic", "--input", "@x.npy", "--sample", "engine"), "DEVICE=N"),
    (("agree", "@net.stoic", "--input", "@x.npy", "--sample", "onnx=5"), "sample for ['onnx']"),
    (("campaign", "run", "absent.toml"), "No such file"),
    (("campaign", "run", "@x.npy"), "not a readable TOML"),
    (("board", "identify", "--url", "socket://127.0.0.1:1"), "socket://127.0.0.1:1"),
    (("board", "identify", "--url", "socket://127.0.0.1:99999"), "with a port 1..65535"),
    (("board", "identify", "--url", "tcp:5000"), "it prints the URL of its board"),
    (("board", "identify", "--url", "hwgrep://("), "not a port that pyserial knows"),
    (("board", "selftest", "@net.stoic", "--url", "/x", "--n", "9" * 30), "equal to 2147483648"),
    (("board", "selftest", "@net.stoic", "--url", "/x", "--log", "@x.npy"), "is no lab log"),
    (("deploy", "@net.stoic", "--board", "icebreaker", "--url", "/dev/absent"), "not on PATH"),
    (("board", "identify", "--url", "socket://127.0.0.1"), "with a port 1..65535"),
    (("board", "selftest", "@net.stoic", "--url", "socket://127.0.0.1:1"), "socket://127.0.0.1:1"),
    (
        (
            "board",
            "selftest",
            "@net.stoic",
            "--url",
            "socket://127.0.0.1:1",
            "--campaign",
            "absent.toml",
        ),
        "absent.toml",
    ),
    (
        (
            "board",
            "selftest",
            "@net.stoic",
            "--url",
            "socket://127.0.0.1:1",
            "--log",
            "@inside a file",
        ),
        "cannot be written (File exists)",
    ),
    (("board", "program", "absent.bit", "--board", "icebreaker"), "absent.bit: no bitstream"),
    (("virtual", "@net.stoic", "--netlist"), "a netlist needs a board: --board colorlight-i5|"),
    (("virtual", "@net.stoic", "--url", "udp"), "pty or pty:LINK, not 'udp'"),
    (("virtual", "@net.stoic", "--images-on-chip", "99999999"), "addresses 1..16383 images"),
    (("serve", "--url", "virtual"), "a virtual board needs --network"),
    (("report", "--results", "absent"), "no such folder of results"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_is_refused_in_one_line(
    stoic: RunStoic, net: Network, files: Files, arguments: tuple[str, ...], says: str
) -> None:
    given = [files[a[1:]] if a.startswith("@") else a for a in arguments]
    status, out, err = stoic(*given)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and err.startswith("stoic: ") and says in err


def test_what_cannot_be_written_is_refused_before_the_work(
    stoic: RunStoic, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new" / "result.json"
    assert stoic("show", "absent.stoic", "--result", new)[0] == 2 and not new.parent.exists()
    assert stoic("show", files["net.stoic"], "--result", new)[0] == 0 and new.exists()
    monkeypatch.setattr(networks, "load", lambda path: pytest.fail("the work began"))
    for where, why in (
        (str(tmp_path), f"{tmp_path}: cannot be written (it is a folder)"),
        (f"{files['x.npy']}/deep/out", f"{files['x.npy']}: cannot be written (File exists)"),
        ("/proc/absent/out", "/proc: cannot be written"),  # not even by root
    ):
        for command in (
            ("infer", files["net.stoic"], "--input", files["x.npy"], "-o", where),
            ("board", "infer", files["net.stoic"], "--url", "virtual", "-o", where),
            ("board", "load", files["net.stoic"], "--url", "virtual", "--result", where),
        ):
            status, out, err = stoic(*command)
            assert (status, out, err.count("\n")) == (2, "", 1) and why in err


@pytest.mark.parametrize(
    ("arguments", "victim"),
    [
        (("infer", "@net.stoic", "--input", "@x.npy", "-o", "@net.stoic"), "net.stoic"),
        (("infer", "@net.stoic", "--input", "@x.npy", "-o", "@x.npy"), "x.npy"),
        (("show", "@net.stoic", "--result", "@net.stoic"), "net.stoic"),
        (("campaign", "diff", "@x.npy", "@net.stoic", "--result", "@net.stoic"), "net.stoic"),
        (("faults", "sample", "@net.stoic", "--errors", "iid-1%", "-o", "@net.stoic"), "net.stoic"),
        (("join", "@other.stoic", "@net.stoic", "-o", "@net.stoic"), "net.stoic"),
        (("board", "load", "@net.stoic", "--url", "/dev/x", "--result", "@net.stoic"), "net.stoic"),
        (("infer", "@net.stoic", "--input", "@x.npy", "-o", "@out", "--result", "@out"), "out.npy"),
        (
            ("board", "infer", "@net.stoic", "--url", "/x", "-o", "@out", "--log", "@net.stoic"),
            "net.stoic",
        ),
    ],
)
def test_no_output_takes_the_place_of_an_input_or_another_output(
    stoic: RunStoic, net: Network, files: Files, arguments: tuple[str, ...], victim: str
) -> None:
    link = Path(files["net.stoic"]).with_name("link.stoic")
    link.symlink_to(files["net.stoic"])  # the same file by another name
    before = Path(files["net.stoic"]).read_bytes(), Path(files["x.npy"]).read_bytes()
    given = [files[a[1:]] if a.startswith("@") else a for a in arguments]
    for last in dict.fromkeys((given[-1], given[-1].replace(files["net.stoic"], str(link)))):
        status, out, err = stoic(*given[:-1], last)
        assert (status, out, err.count("\n")) == (2, "", 1)
        name = "link.stoic" if last == str(link) else victim
        why = "is to be written twice" if victim == "out.npy" else "is what is read"
        assert f"/{name}: {why}" in err
    assert not Path(files["out"]).exists()
    assert before == (Path(files["net.stoic"]).read_bytes(), Path(files["x.npy"]).read_bytes())
    assert stoic("show", files["net.stoic"], "--result", "/dev/null")[0] == 0


def test_a_result_takes_the_place_of_no_file_that_was_made(
    stoic: RunStoic, net: Network, files: Files, tmp_path: Path
) -> None:
    graph = tmp_path / "net.onnx"  # where nothing is said
    status, out, err = stoic("export", files["net.stoic"], "--form", "qonnx", "--result", graph)
    assert status == 2 and err.count("\n") == 1 and "is a file of this result" in err
    assert '"qonnx"' in out or "qonnx" in out
    back = tmp_path / "back.stoic"
    assert stoic("import", graph, "-o", back)[0] == 0
    assert networks.load(back).sha256 == net.sha256


def test_tables_are_added_in_place(stoic: RunStoic, net: Network, files: Files) -> None:
    add = ("tables", files["net.stoic"], "--errors", "iid-10%", "--by", "closed")
    assert stoic(*add, "-o", files["net.stoic"])[0] == 0
    assert [table.name for table in networks.load(Path(files["net.stoic"])).tables] == ["iid-10%"]
    status, _, err = stoic(*add, "-o", files["net.stoic"], "--result", files["net.stoic"])
    assert status == 2 and "is what is read" in err


def test_a_result_that_cannot_be_written_is_shown(
    stoic: RunStoic, net: Network, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = stoic("show", files["net.stoic"], "--json", "--result", "/dev/full")
    assert status == 2 and err.count("\n") == 1 and "No space left" in err
    assert json.loads(out)["name"] == net.name


def test_a_netlist_that_is_refused_leaves_no_folder(
    stoic: RunStoic, net: Network, files: Files, tmp_path: Path
) -> None:
    status, _, err = stoic("virtual", files["net.stoic"], "--netlist", "--board", "arty-a7-35t")
    assert status == 2 and "is built by Vivado" in err
    assert not (tmp_path / "arty-a7-35t").exists()


def test_only_commands_that_boot_a_board_offer_it(stoic: RunStoic) -> None:
    offers = {name: "virtual" in stoic("board", name, "--help")[1] for name in ("identify", "load")}
    assert offers == {"identify": False, "load": True}


def test_a_map_of_another_network_is_refused(stoic: RunStoic, net: Network, files: Files) -> None:
    stoic("faults", "sample", files["other.stoic"], "--errors", "iid-1%", "-o", files["map"])
    status, _, err = stoic(
        *("infer", files["net.stoic"], "--input", files["x.npy"]),
        *("--faults", files["map"], "-o", files["out"]),
    )
    assert status == 2 and "not for the layer shapes" in err
    assert not Path(files["out"]).exists()


def test_scores_that_cannot_be_written_whole_are_not_written(
    stoic: RunStoic, net: Network, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("infer", files["net.stoic"], "--input", files["x.npy"], "-o", files["out"])
    assert stoic(*arguments)[0] == 0
    before = Path(files["out"]).read_bytes()

    def full(path: Path, data: bytes) -> int:
        path.open("wb").close()
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    status, _, err = stoic(*arguments)
    assert status == 2 and "No space left" in err
    assert Path(files["out"]).read_bytes() == before


def test_one_image_and_a_map_are_enough_to_compare(
    stoic: RunStoic, net: Network, files: Files
) -> None:
    stoic("faults", "sample", files["net.stoic"], "--errors", "none", "-o", files["map"])
    status, _, err = stoic(
        *("agree", files["net.stoic"], "--input", files["x.npy"], "--n", "1"),
        *("--faults", files["map"]),
    )
    assert status == 0, err


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ZeroDivisionError("by zero"), "unexpected ZeroDivisionError: by zero (a bug; "),
        (MemoryError("Unable to allocate 570. TiB"), "more memory than there is: Unable to alloc"),
    ],
)
def test_an_unexpected_error_is_one_line_too(
    stoic: RunStoic,
    net: Network,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    says: str,
) -> None:
    monkeypatch.setattr(networks, "summary", mock.Mock(side_effect=error))
    status, _, err = stoic("show", files["net.stoic"])
    assert status == 2 and err.count("\n") == 1 and says in err


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_kill_end_in_one_line(by: signal.Signals) -> None:
    load = "lambda path: (print('up', flush=True), time.sleep(60))"
    wait = f"import time; from stoic.sim import network; network.load = {load}"
    code = f"{wait}; from stoic.hw import cli; import sys; sys.argv[1:] = ['show', 'x']; cli.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    os.kill(process.pid, by)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and err.count("\n") == 1 and "interrupted" in err


def test_a_closed_stdout_is_no_error() -> None:
    show = "network.load = lambda path: sys.stdout.flush() or 1 / 0; sys.argv[1:] = ['show', 'x']"
    code = (
        f"import sys; from stoic.sim import network; from stoic.hw import cli; {show}; cli.main()"
    )
    command = shlex.join([sys.executable, "-c", code])
    done = subprocess.run(f"{command} >&-", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "ZeroDivisionError" in done.stderr


def test_it_runs_as_a_module_and_tells_its_version() -> None:
    command = [sys.executable, "-m", "stoic.hw.cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "stoic" and done.stderr == ""


def test_a_reader_that_leaves_early_gets_no_traceback(files: Files) -> None:
    command = f"{sys.executable} -m stoic.hw.cli show {files['net.stoic']} --json | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_stoic_data_names_the_folder_of_data(
    stoic: RunStoic, net: Network, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fashion-mnist").mkdir()
    from stoic.models import data

    for file in data.SOURCES["fashion-mnist"].files:
        (tmp_path / "fashion-mnist" / file).write_bytes(b"damaged")
    monkeypatch.setenv("STOIC_DATA", str(tmp_path))
    command = ("infer", files["net.stoic"], "--data", "fashion-mnist", "-o", files["out"])
    status, _, err = stoic(*command)
    assert status == 2 and f"{tmp_path}/fashion-mnist" in err and "not a gzip file" in err


def test_doctor_finds_what_runs_here(stoic: RunStoic) -> None:
    found = {item["name"]: item for item in as_json(stoic("doctor", "--json"))["items"]}
    assert found["package numpy"]["version"] == np.__version__
    assert "portable" in found["engine paths"]["version"]
    assert all(item["is_here"] or item["remedy"] for item in found.values())

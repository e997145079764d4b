"""The report is one page that needs nothing else and says what the results say, not more."""

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stoic.hw import cli
from stoic.hw.fold import Prediction
from stoic.hw.reports import Route, Utilisation
from stoic.hw.synth import LABEL, Build
from stoic.sim import campaign, faults, memory
from stoic.sim import network as networks
from stoic.sim.campaign import Campaign
from stoic.sim.device import GoldenDevice
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError
from stoic.sim.network import Network
from stoic.sim.points import confusions, point_rows
from stoic.sim.random_network import random_network
from stoic.sim.report import onnx_tables
from stoic.sim.report.figures import memory_figure
from stoic.sim.report.page import page, summary, write_report
from stoic.sim.report.readme import END, check, difference
from stoic.sim.report.results import read
from stoic.sim.store import Store

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """What a browser would have to do with the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.unnamed: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.open += [tag] if tag not in VOID else []
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src", "xlink:href"):
                self.links.append(str(value))
        if tag == "svg" and "aria-label" not in dict(attrs):
            self.unnamed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def small_network() -> Network:
    return random_network((30, 67, 13, 5), "uint8", np.random.default_rng(1))


def put(folder: Path, name: str, values: dict[str, Any]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(values))


@pytest.fixture
def results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder of results, of commands that ran and of a build as `stoic synth` describes it."""
    folder, net_path, map_path = tmp_path / "results", tmp_path / "n.stoic", tmp_path / "m.faults"
    net = small_network()
    networks.save(net, net_path)
    np.save(tmp_path / "x.npy", np.random.default_rng(2).integers(0, 256, (20, 30), np.uint8))
    layout = memory.layout_of(net, (memory.Fold(4, 9), memory.Fold(2, 32), memory.Fold(1, 7)))
    faults.save(Iid(0.05, 0.1).sample(layout, chip=2), map_path)
    agree = ["agree", str(net_path), "--devices", "golden,engine", "--faults", str(map_path)]
    end = ["--input", str(tmp_path / "x.npy"), "--result", str(folder / "agree.json")]
    assert cli.run([*agree, *end]) == 0
    put(folder, "campaign", run_campaign(net, tmp_path))
    put(folder, "synth-ulx3s-25f", synth_row())
    capsys.readouterr()
    return folder


def run_campaign(net: Network, folder: Path) -> dict[str, Any]:
    plan = Campaign(
        name="c",
        models=("n",),
        data=("random",),
        split="test",
        n_images=20,
        devices=("golden",),
        board="",
        store=folder / "c.sqlite",
        errors=tuple(campaign.from_rates(*p, seed=1) for p in ((0.0, 0.0), (0.1, 0.1), (0.0, 0.2))),
        rule=campaign.fixed(3),
        seed=1,
    )
    rng = np.random.default_rng(3)
    images, labels = rng.integers(0, 256, (20, 30)).astype(np.uint8), rng.integers(0, 5, 20)
    with Store(plan.store) as store:
        job = campaign.make(
            *(net, memory.layout_of(net), "golden", GoldenDevice, campaign.code_sha256()),
            *("random/test", images, labels, plan.errors),
        )
        rows = campaign.run([job], plan.rule, store).agenda.rows()
    return {
        "images": "random/test",
        "n_images": 20,
        "n_rows": len(rows),
        "device": "golden",
        "seeds": [1],
        "points": point_rows(rows),
        "confusions": confusions(rows),
    }


def synth_row() -> dict[str, Any]:
    built = Build(
        network="n",
        board="ulx3s-25f",
        core={},
        label=LABEL,
        clock_mhz_asked=100.0,
        utilisation=Utilisation(9000, 11000, 24288, 8000, 500, 0, 51, 56),
        routes=(Route(1, 111.5, "a -> b", 60.0), Route(2, 99.25, "c -> d", 60.0)),
        prediction=Prediction((10, 1408), 1408, 1331.0, 0.9453, 51, 11000),
        synth_wall_s=30.0,
        bitstream=Path("n.bit"),
        bitstream_sha256="ab" * 32,
        inputs_sha256="cd" * 32,
        tools={},
    )
    return built.row()


def test_the_page_needs_nothing_else_and_is_well_formed(results: Path) -> None:
    found = Page(page(read(results)))
    assert found.open == []
    assert found.tags["script"] == found.tags["link"] == 0
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found.links)
    assert len(set(found.ids)) == len(found.ids)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert found.tags["table"] == found.tags["caption"] >= 7
    assert found.unnamed == [] and found.tags["svg"] >= 4


def test_the_page_says_what_the_results_say(results: Path) -> None:
    text = Page(page(read(results))).text
    agree = json.loads((results / "agree.json").read_text())
    assert agree["n_scores"] == 2 * 2 * 20 * 5
    assert "0 of 400 scores differ" in text
    assert "6 of 6 mutants caught" in text and text.count(" caught") >= 6
    assert "place-and-route estimate" in text
    assert "51 of 56 (91 %)" in text and "111.5" in text and "99.25" in text and "1 of 2" in text
    for point in json.loads((results / "campaign.json").read_text())["points"]:
        assert f"{100 * point['mean']:.2f}" in text
    assert "Student t over chips" in text
    assert agree["command"] in text and agree["network_sha256"][:12] in text


def test_a_difference_and_an_escaped_mutant_are_shown(results: Path) -> None:
    agree = json.loads((results / "agree.json").read_text())
    first = {"image": 7, "class_index": 3, "expected": 11, "got": 13}
    agree["comparisons"][3] |= {"n_mismatches": 5, "first_mismatch": first}
    agree["mutants"][0]["is_caught"] = False
    put(results, "agree", agree)
    text = page(read(results))
    assert (
        '<strong class="bad">5</strong>' in text and '<strong class="bad">5 of 6</strong>' in text
    )
    assert '<span class="bad">escaped</span>' in text
    assert "first at image 7, class 3: 13, must be 11" in Page(text).text


def test_what_is_missing_is_named_with_the_command_that_makes_it(
    results: Path, tmp_path: Path
) -> None:
    for file in results.iterdir():
        file.unlink()
    missing = write_report(results, tmp_path / "out" / "report.html")
    text = Page((tmp_path / "out" / "report.html").read_text()).text
    for part in ("train", "agree", "cosim", "synth", "virtual", "campaign"):
        assert f"make {part}" in text and any(f"make {part}" in line for line in missing)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ("{", "agree.json: not JSON"),
        ("[]", "agree.json: not a JSON object"),
        ("{}", "agree.json: lacks 'comparisons'; make agree makes it again"),
        ('{"comparisons": 5}', "agree.json: is not as expected"),
    ],
)
def test_a_damaged_result_is_named(results: Path, contents: str, says: str) -> None:
    (results / "agree.json").write_text(contents)
    with pytest.raises(ArtefactError, match=says):
        page(read(results))


def test_names_are_escaped(results: Path) -> None:
    values = json.loads((results / "campaign.json").read_text())
    for point in (*values["points"], *values["confusions"]):
        point["network"] = "<script>alert(1)</script>&"
    put(results, "campaign", values)
    text = page(read(results))
    assert "<script" not in text and "&lt;script&gt;alert(1)" in text


def test_the_summary_has_accuracies_and_the_count_of_scores_that_differ(results: Path) -> None:
    rows = {row["what"]: row["result"] for row in summary(read(results))}
    n_scores = 2 * 2 * 20 * 5  # devices, maps, images, classes
    assert rows[f"of {n_scores} scores differ"] == "0"
    assert [what for what in rows if what.endswith(": accuracy at BER 0 %")]


def test_the_same_results_make_the_same_page(results: Path) -> None:
    assert page(read(results)) == page(read(results))


def test_a_map_that_changed_since_is_not_drawn(results: Path) -> None:
    assert "Every row is a bank" in page(read(results))
    agree = json.loads((results / "agree.json").read_text())
    for row in (*agree["maps"], *agree["comparisons"]):
        key = "map" if "map" in row else "map_sha256"
        row[key] = row[key][::-1]
    put(results, "agree", agree)
    assert "Every row is a bank" not in page(read(results))


def test_the_memory_picture_counts_every_fault_once() -> None:
    net = small_network()
    layout = memory.layout_of(net, (memory.Fold(4, 9), memory.Fold(2, 32), memory.Fold(1, 7)))
    drawn = Iid(0.05, 0.1).sample(layout, chip=2)
    counts = [int(np.asarray(ax.images[0].get_array()).sum()) for ax in memory_figure(drawn).axes]
    assert sum(counts[0::2]) == sum(counts[1::2]) == drawn.n_faults > 0


def test_readme_numbers_must_be_those_of_the_results() -> None:
    block = "| a | **0** of 2,000 | x |\n| b | ~9 s | y |"
    assert difference(block, block) == ""
    assert difference(block.replace("~9", "~12"), block) == ""  # timed on a noisy machine
    assert "~90" in difference(block.replace("~9", "~90"), block)
    assert "**1**" in difference(block.replace("**0**", "**1**"), block)
    assert "lines" in difference(block + "\nmore", block)


def test_blocks_of_pages_are_those_of_their_results(tmp_path: Path) -> None:
    own = {"network": "n", "network_sha256": "ab" * 32, "condition": "iid-5%", "chips": [0.5, 0.7]}
    row = {**own, "method": "own thresholds", "accuracy": 0.6, "low": 0.5, "high": 0.7}
    results = {"rows": [row], "n_images": 10}
    mark = "<!-- results threshold-tables: made by `make readme` -->"
    page = tmp_path / "page.md"
    page.write_text(f"before\n{mark}\n{END}\nafter\n")
    assert check(page, tmp_path, write=False) == ""  # no result yet
    with pytest.raises(ArtefactError, match="make tables makes it"):
        check(page, tmp_path, write=False, needs_all=True)
    (tmp_path / "tables.json").write_text(json.dumps(results))
    assert check(page, tmp_path, write=False)
    assert check(page, tmp_path, write=True) == "" == check(page, tmp_path, write=False)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| own thresholds | 60.00 ± 10.00 |" in text
    page.write_text(text.replace("60.00", "61.00"))
    assert "60.00" in check(page, tmp_path, write=False)
    page.write_text(text.replace("threshold-tables", "thresholds"))
    with pytest.raises(ArtefactError, match="no results 'thresholds'"):
        check(page, tmp_path, write=False)
    page.write_text(text.replace(mark, ""))
    with pytest.raises(ArtefactError, match="mark"):
        check(page, tmp_path, write=False)


def test_the_numbers_of_onnx_are_those_of_their_results(tmp_path: Path) -> None:
    row = {
        "network": "cnv_1w1a", "n_images": 10, "n_scores": 100, "n_wrong_exact": 0, "n_ties": 0,
        "n_wrong_torch": 0, "n_torch_scores": 100, "import_s": 1.5, "import_cpu_s": 0.25,
        "n_mutants": 9, "n_mutants_caught": 9,
    }  # fmt: skip
    tied = row | {"n_ties": 7, "n_wrong_torch": 3}
    compared = {"device": "onnxruntime", "n_images": 10, "n_scores": 100, "n_mismatches": 0}
    agree = {
        "network": "n", "comparisons": [compared], "n_mutants": 2, "n_mutants_caught": 2,
    }  # fmt: skip
    speed = {
        "network": "n", "bit_error_rate": 0.01, "engine_images_per_s": 5e4,
        "onnxruntime_images_per_s": 2e3, "engine_vs_onnxruntime": 25.0,
    }  # fmt: skip
    files: dict[str, Any] = {
        "hostile_import": {
            "n_cases": 60, "n_failures": 0, "limit_s": 5.0, "limit_memory_per_byte": 2.0,
            "slowest_s": 0.5, "greatest_memory_per_byte": 1.9,
        },
        "fuzz_import": {
            "n_cases": 940, "failures": [], "seconds": 600, "slowest_s": 2.0,
            "memory_growth_mib": 9.0,
        },
        "agree_onnx-n": agree,
        "bench_onnx": {"rows": [speed]},
    }  # fmt: skip
    for name in onnx_tables.IMPORTED:
        own = [r | {"network": name} for r in (row, tied)]
        files[f"import_zoo-{name}"] = {"rows": own}
    for name, values in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    text = "\n".join((*onnx_tables.onnx(tmp_path), *onnx_tables.in_short(tmp_path)))
    for line in (
        "LFC (2.9 Mbit) 1W1A that",
        "**0** of 200",
        "**0** of 800",
        "**0** of 400",
        "12 of 400",
    ):
        assert line in text
    assert "72 of 72" in text and "2 of 2 |" in text and "**0** of 1,000 |" in text
    assert "n, 1 % faults | ~50,000 and ~2,000 images/s, ~25 x" in text
    files["import_zoo-cnv_1w1a"]["rows"][0]["n_wrong_exact"] = 1
    (tmp_path / "import_zoo-cnv_1w1a.json").write_text(json.dumps(files["import_zoo-cnv_1w1a"]))
    assert "**1** of 800" in "\n".join(onnx_tables.in_short(tmp_path))
    (tmp_path / "import_zoo-tfc_1w1a.json").unlink()
    assert "SFC, LFC, CNV 1W1A, imported" in "\n".join(onnx_tables.in_short(tmp_path))
    (tmp_path / "agree_onnx-n.json").unlink()
    with pytest.raises(ArtefactError, match="make agree-onnx makes it"):
        list(onnx_tables.onnx(tmp_path))

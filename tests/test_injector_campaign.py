"""Campaigns of read errors that injectors on chip make: every row is golden's, on any hardware."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stoic.hw import boards, cli, fold, settings, virtual_device
from stoic.hw.wish import Wish
from stoic.sim import injected
from stoic.sim import network as networks
from stoic.sim.campaign import load
from stoic.sim.core import Core, core_of, default_core
from stoic.sim.device import GoldenDevice
from stoic.sim.engine import EngineDevice
from stoic.sim.errors import Iid, Injector
from stoic.sim.exceptions import InputError
from stoic.sim.memory import layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_network
from stoic.sim.rows import scores_sha256

RunStoic = Callable[..., tuple[int, str, str]]
N_IMAGES = 50
PLAN = """
[campaign]
models = ["{folder}/net.stoic"]
data = "fashion-mnist"
n_images = 50
device = "{device}"
store = "{folder}/rows.sqlite"
{more}
[errors]
rates = [0.01]
chips = 2
seed = 3
[[errors.models]]
model = "injector"
sweep = {{ p01 = [0.03, 0.001], p10 = [0.03, 0.2] }}
form = "{form}"
"""


@pytest.fixture
def stoic(capfd: pytest.CaptureFixture[str]) -> RunStoic:
    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        status = cli.run([str(a) for a in arguments])
        said = capfd.readouterr()
        return status, said.out, said.err

    return run


def net() -> Network:
    return random_network((784, 24, 10), "uint8", np.random.default_rng(1))


def written(folder: Path, device: str = "golden", form: str = "ring", more: str = "") -> Path:
    networks.save(net(), folder / "net.stoic")
    file = folder / "plan.toml"
    file.write_text(PLAN.format(folder=folder, device=device, form=form, more=more))
    return file


def as_json(ran: tuple[int, str, str]) -> dict[str, Any]:
    assert ran[0] == 0, ran[2]
    values: dict[str, Any] = json.loads(ran[1])
    return values


def of_injectors(rows: list[dict[str, Any]]) -> dict[tuple[float, int], str]:
    """Scores by p01 and chip."""
    found = [row for row in rows if row["model"] == "injector"]
    return {(row["p01"], row["chip"]): row["scores_sha256"] for row in found}


def wanted(core: Core, images: Any) -> dict[tuple[float, int], str]:
    """As the definition has them, without a campaign."""
    assert core.injector is not None
    return {
        (p01, chip): scores_sha256(
            injected.scores(
                net(), images, Injector(p01, p10, 3, core.injector).read_errors(core, chip)
            )
        )
        for p01, p10 in ((0.03, 0.03), (0.001, 0.2))
        for chip in range(2)
    }


def test_rows_are_those_of_the_definition_and_chips_and_seeds_differ(
    stoic: RunStoic, tmp_path: Path
) -> None:
    from stoic.hw import inputs

    file = written(tmp_path)
    ran = as_json(stoic("campaign", "run", file, "--json"))
    scores = of_injectors(ran["rows"])
    images = inputs.images(net(), "fashion-mnist", "test", N_IMAGES, None, None).values
    core = replace(default_core(net()), injector="ring")
    assert scores == wanted(core, images) and len(set(scores.values())) == 4
    assert {row["n_changed_bits"] for row in ran["rows"] if row["model"] == "injector"} == {None}
    other = file.with_name("other.toml")
    other.write_text(file.read_text().replace("seed = 3", "seed = 4"))
    others = of_injectors(as_json(stoic("campaign", "run", other, "--json"))["rows"])
    assert set(others.values()).isdisjoint(scores.values())
    independent = written(tmp_path, form="independent")
    forms = of_injectors(as_json(stoic("campaign", "run", independent, "--json"))["rows"])
    assert set(forms.values()).isdisjoint(scores.values())


def test_victims_are_the_banks_that_are_on(tmp_path: Path) -> None:
    from stoic.hw.campaign_jobs import jobs
    from stoic.sim.campaign import Task
    from stoic.sim.campaign.trial import Trials

    file = written(tmp_path)
    file.write_text(file.read_text().replace("seed = 3", "seed = 3\nlayers = [1]"))
    (job,) = jobs(load(file), None)
    trials = Trials([job])
    row = trials.row(Task(0, 1, 1, 0))
    trials.close()
    core = replace(core_of(net(), job.layout), injector="ring")
    off = [b.name for b in job.layout.banks if (b.layer, b.kind) == (0, "weights")]
    errors = Injector(0.03, 0.03, 3).read_errors(core, 1, off)
    assert off and row.scores_sha256 == scores_sha256(injected.scores(net(), job.images, errors))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('form = "ring"', 'form = "oval"'), "form"),
        (("p01 = [0.03, 0.001]", "p01 = [0.6, 0.1]"), "p01 of an injector must be 0..0.5, not 0.6"),
        (("0.001], p10 = [0.03, 0.2]", "0.05], p10 = [0.03, 1e-6]"), "p10 1e-06 cannot be had"),
        (("[0.03, 0.001], p10 = [0.03, 0.2]", "[1e-7], p10 = [1e-7]"), "the nearest is 0;"),
        (("seed = 3", 'seed = 3\nwhere = ["thresholds"]'), "injectors disturb reads of weights"),
        (("[errors]", 'protections = ["secded"]\n[errors]'), "protections must be none"),
        (('"golden"', '"engine"'), "has no injector of read errors; use golden, rtl, virtual"),
        (("[errors]", 'wish = "tiny"\n[errors]'), 'wish must be "fastest", "smallest"'),
        (
            ("[[errors.models]]", '[[errors.models]]\nmodel = "injector"\np01 = 0.1\np10 = 0.1\n'
             'form = "independent"\n[[errors.models]]'),
            "injectors of one core have one form",
        ),
    ],
)  # fmt: skip
def test_what_no_injector_does_is_refused(
    stoic: RunStoic, tmp_path: Path, change: tuple[str, str], why: str
) -> None:
    file = written(tmp_path)
    file.write_text(file.read_text().replace(*change))
    status, _, err = stoic("campaign", "run", file)
    assert status == 2 and why in err.splitlines()[-1]


def test_maps_of_every_image_are_not_taken_for_read_errors() -> None:
    """Nor has an injector a map; each refusal names the other."""
    core = replace(default_core(net()), injector="ring")
    with pytest.raises(InputError, match="are no fault map"):
        Injector(0.1, 0.1).sample(layout_of(net()), 0)
    with pytest.raises(InputError, match="'independent' are not those of the core"):
        Injector(0.1, 0.1, form="independent").read_errors(core, 0)
    with pytest.raises(InputError, match="use golden, rtl, virtual or a board"):
        engine = EngineDevice()
        engine.load(net())
        engine.inject(Injector(0.1, 0.1).read_errors(core, 0))
    chip = Iid(0.1, 0.1).sample(core.layout, 0)
    golden = GoldenDevice()
    golden.load(net())
    golden.inject(chip)


@pytest.mark.verilator
def test_a_board_with_injectors_is_found_and_its_rows_are_golden_s(
    stoic: RunStoic, tmp_path: Path
) -> None:
    """Of a board in the folding of a wish, through the commands that drive a real one."""
    board = boards.load("ulx3s-25f")
    wish = Wish(smallest=True)
    core = fold.fold(replace(core_of(net()), injector="ring"), board, wish)
    at = settings.setting(tmp_path / "net.stoic", net(), board.name, wish=wish, injector="ring")
    assert settings.hardware(at) == core
    more = f'board = "{board.name}"\nwish = "smallest"'
    file = written(tmp_path, more=more)
    with virtual_device.boot(core, board, tmp_path / "virtual") as running:
        command = ("board", "campaign", file, "--url", running.url, "--json")
        ran = as_json(stoic(*command, "--log", tmp_path / "lab.jsonl"))
        assert ran["n_rows_different"] == 0 and len(of_injectors(ran["rows"])) == 4
        assert len(set(of_injectors(ran["rows"]).values())) == 4
        tested = stoic("board", "selftest", tmp_path / "net.stoic", "--url", running.url, "--json")
        assert as_json(tested)["n_mismatches"] == 0  # which is found by itself
        other = file.with_name("other.toml")
        other.write_text(file.read_text().replace('wish = "smallest"', ""))
        status, _, err = stoic("board", "campaign", other, "--url", running.url)
        assert status == 2 and "another folding than the campaign's board" in err
        status, _, err = stoic(*command, "--reference", "engine")
        assert status == 2 and "golden alone knows" in err


@pytest.mark.slow
@pytest.mark.verilator
def test_images_on_the_chip_meet_the_same_errors(tmp_path: Path) -> None:
    """Each run of them is that of images 0, 1, ... since the injectors were set."""
    core = replace(default_core(net()), injector="ring")
    kept = replace(core, store=N_IMAGES)
    images = np.random.default_rng(2).integers(0, 256, (N_IMAGES, 784), dtype=np.uint8)
    labels = np.arange(N_IMAGES) % 10
    device = virtual_device.VirtualDevice(kept, None, tmp_path)
    try:
        device.load(net())
        assert device.keep(images, labels)
        for chip in range(2):
            errors = Injector(0.1, 0.1).read_errors(core, chip)
            device.inject(errors)
            classes = injected.scores(net(), images, errors).argmax(axis=1)
            want = np.zeros((10, 10), np.int64)
            np.add.at(want, (labels, classes), 1)
            np.testing.assert_array_equal(device.confusion(), want)
    finally:
        device.close()


@pytest.mark.slow
@pytest.mark.verilator
def test_the_rtl_gives_the_rows_of_golden(
    stoic: RunStoic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a board, in the folding that is quick to simulate."""
    monkeypatch.chdir(tmp_path)
    found = []
    for device in ("rtl", "golden"):
        file = written(tmp_path, device)
        found.append(of_injectors(as_json(stoic("campaign", "run", file, "--json"))["rows"]))
    assert found[0] == found[1] and len(set(found[0].values())) == 4

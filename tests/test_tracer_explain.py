"""What is made of a trace: influence beside brute force, what faults undo, the report, TracIn."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stoic.hw import cli
from stoic.models.checkpoint import load_checkpoint
from stoic.models.data import Images
from stoic.models.frozen import integers
from stoic.models.recipe import Recipe
from stoic.models.studies.judgement import CONFIRMED, MISSED, REACHED, REFUTED
from stoic.models.studies.judges.trace import judge
from stoic.models.tracer import explain, ledger, peer_captum
from stoic.models.tracer.faulted import auc, classes_of_steps, last_flips, undone, wrong_places
from stoic.models.tracer.float_nets import network
from stoic.models.tracer.gradients import Traced
from stoic.models.tracer.influence import by_example, top, trace, without_own_steps
from stoic.models.tracer.recorder import Recorder
from stoic.models.tracer.thresholds import thresholds
from stoic.models.tracer.tracin import tracin
from stoic.models.tracer.views import binary_views, toward
from stoic.models.train import fit
from stoic.sim import faults as fault_maps
from stoic.sim import golden
from stoic.sim.bits import unpack
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError
from stoic.sim.memory import layout_of
from stoic.sim.report.results import Result, Results
from stoic.sim.report.trace import traced as section

PEERS = Path(__file__).parent.parent / "build" / "peers"
RECIPE = Recipe(
    name="tiny",
    data="fashion-mnist",
    hidden=(12, 10),
    epochs=3,
    loss="cross_entropy",
    batch=16,
    batches="class_pure",
    n_ghosts=8,
    held_out=False,
    learning_rate=0.05,
    momentum=0.0,
    n_calibrations=2,
)


def _images(n: int, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n).astype(np.uint8)
    images = rng.integers(0, 120, (n, 8, 8)) + 40 * labels[:, None, None]
    return Images(images.astype(np.uint8), labels)


TRAINING, TEST = _images(120), _images(30, 5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ledger.Ledger:
    """The ledger of a small training."""
    out = tmp_path_factory.mktemp("made")
    none = Images(TRAINING.images[:0], TRAINING.labels[:0])
    fit(RECIPE, 1, TRAINING, none, out, recorder=Recorder(out / "tiny.ledger"))
    return ledger.load_ledger(out / "tiny.ledger", load_checkpoint(out / "tiny.ckpt"))


def test_a_margin_is_first_weights_flips_and_thresholds_exactly(made: ledger.Ledger) -> None:
    net = integers(made.checkpoint)
    views = binary_views(made.checkpoint, made.first, TEST.images)
    for i, (layer, of) in enumerate(zip(net.layers, thresholds(made), strict=False)):
        assert layer.thresholds is not None
        wanted = layer.thresholds if i == 0 else 2 * layer.thresholds - layer.n_inputs
        assert (of[-1] == wanted).all() and len(of) == made.n_epochs + 2
        first = 2.0 * unpack(made.first[i], layer.n_inputs) - 1
        sums = views[i].inputs[:, 0].numpy() @ first.T
        moved = views[i].refinement[:, 0].numpy() - (np.diff(of, axis=0).sum(0))
        now = 2.0 * unpack(layer.weights, layer.n_inputs) - 1
        margins = views[i].inputs[:, 0].numpy() @ now.T - wanted
        assert (sums - of[0] + moved == margins).all()


def test_decisions_are_scored_toward_their_class(made: ledger.Ledger) -> None:
    view = binary_views(made.checkpoint, made.first, TRAINING.images)[-1]
    traced = trace(made.epochs(), [toward(view, TRAINING.labels)])
    epochs = list(made.epochs())
    parts = torch.cat([epoch.updates[-1].contributions(view) for epoch in epochs])[:, :, 0].numpy()
    images = np.arange(len(TRAINING.labels))
    wanted = parts[:, images, TRAINING.labels] - parts.mean(2)
    assert traced.scores[0] == pytest.approx(wanted, abs=1e-4)
    shared = np.zeros((len(images), len(images)))
    alone = wanted.sum(0)
    for step, examples in enumerate(traced.examples):
        shared[examples] += wanted[step] / len(examples)
        alone[examples] -= wanted[step, examples]
    influence = by_example(traced, 0, len(images))
    assert influence == pytest.approx(shared, abs=1e-4)
    assert without_own_steps(traced, 0) == pytest.approx(alone, abs=1e-3)
    best = top(influence, 5)
    assert (np.diff(np.take_along_axis(influence, best, 0), axis=0) <= 0).all()
    assert influence.max(0) == pytest.approx(influence[best[0], images])


def test_faults_undo_the_last_step_that_set_a_bit(made: ledger.Ledger) -> None:
    checkpoint = made.checkpoint
    net = integers(checkpoint)
    wanted = [np.full(layer.n_outputs * layer.n_inputs, -1) for layer in checkpoint.layers]
    step = 0
    for epoch in made.epochs():
        for k in range(len(epoch.examples)):
            for of, updates in zip(wanted, epoch.updates, strict=True):
                start = int(updates.counts[:k].sum())
                of[updates.places[start : start + updates.counts[k]]] = step
            step += 1
    last = last_flips(made)
    assert all((a == b).all() for a, b in zip(last, wanted, strict=True))
    faults = Iid(0.2, 0.1, 3).sample(layout_of(net), 0)
    places = wrong_places(checkpoint, faults)
    assert sum(map(len, places)) == fault_maps.n_changed(net, faults)
    views, classes = binary_views(checkpoint, made.first, TEST.images), classes_of_steps(made)
    predicted = golden.classify(golden.scores(net, TEST.images.reshape(30, -1))).astype(np.int64)
    taken = undone(places, last, classes, checkpoint, views, predicted)
    for i, (layer, view) in enumerate(zip(checkpoint.layers, views, strict=True)):
        signs = 2.0 * unpack(layer.weights, layer.n_inputs).ravel() - 1
        met, p = view.inputs[:, 0].numpy(), view.refinement[:, 0].numpy()
        by_class = np.zeros((4, len(met)))
        for place in places[i]:
            row, lane = divmod(int(place), layer.n_inputs)
            taught = 3 if last[i][place] < 0 else classes[last[i][place]]
            by_class[taught] += 2 * signs[place] * met[:, lane] * p[:, row]
        share = by_class / np.maximum((p**2).sum(1), 1e-300)
        assert taken.shares[i] == pytest.approx(share, rel=1e-4, abs=1e-5)
        assert taken.n_bits[i].sum() == len(places[i])


def test_an_area_under_the_curve_counts_pairs() -> None:
    rng = np.random.default_rng(1)
    score, positive = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.3
    pairs = score[positive][:, None] - score[~positive]
    assert auc(score, positive) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert auc(score, np.zeros(40, bool)) == 0.5


def test_influence_takes_bounded_room(made: ledger.Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explain.explained(made, TRAINING, TEST, 0, 3)["layers"]
    monkeypatch.setattr(explain, "_CHUNK", 4 * 120 * 7)  # 7 of 30 images at a time
    some = explain.explained(made, TRAINING, TEST, 0, 3)["layers"]
    for a, b in zip(whole, some, strict=True):
        assert a["precision"] == pytest.approx(b["precision"])
    monkeypatch.setattr(explain, "_MAX_BYTES", 4 * whole[0]["steps"] * len(whole) * 9)
    with pytest.raises(InputError, match=r"steps on 30 images .* ask for at most 9 images"):
        explain.explained(made, TRAINING, TEST, 0, 3)


def test_wrong_thresholds_of_a_map_are_told(made: ledger.Ledger, tmp_path: Path) -> None:
    layout = layout_of(integers(made.checkpoint))
    flip = np.zeros_like(fault_maps.no_faults(layout).flip)
    for cell in layout.threshold_cells(0).ravel()[4::7].tolist():
        flip[cell // 64] |= np.uint64(1 << cell % 64)
    faults = replace(fault_maps.no_faults(layout), flip=flip)
    fault_maps.save(faults, tmp_path / "map.faults")
    found = explain.faulted(made, TEST, tmp_path / "map.faults")
    assert found["n_wrong_bits"] == 0 < found["n_changed"]
    assert found["n_wrong_threshold_bits"] == int(np.bitwise_count(flip).sum()) > 5


def test_the_report_shows_what_was_explained(made: ledger.Ledger, tmp_path: Path) -> None:
    path = tmp_path / "map.faults"
    fault_maps.save(Iid(0.2, 0.2, 0).sample(layout_of(integers(made.checkpoint)), 0), path)
    found = explain.explained(made, TRAINING, TEST, 2, 3)
    found["faults"] = explain.faulted(made, TEST, path)
    head = {"network": "tiny", "data": "none", "n_epochs": 3, "ledger_bytes": made.n_bytes}
    values = {**found, **head, "n_images": 30, "seconds": 0.1}
    shown = found["predictions"]
    assert [layer["name"] for layer in shown[0]["layers"]][-1] == "decision"
    assert all(layer["residual"] < 1e-5 for layer in found["layers"])
    assert sum(shown[0]["layers"][-1]["classes"]) == pytest.approx(
        shown[0]["layers"][-1]["total"], rel=1e-3, abs=1e-3
    )
    html = section(Results(tmp_path, (Result("trace", tmp_path, values, ""),)))
    n_pictures = len(shown) * (1 + 3 * len(found["layers"]))
    assert html.count("data:image/png;base64,") == n_pictures
    assert html.count("<svg") == len(shown) and f"Test image {shown[0]['image']}" in html
    assert "never trained" in html


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_trace_refuses_in_one_line(
    made: ledger.Ledger, tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    for path in made.folder.iterdir():
        (tmp_path / "ledger").mkdir(exist_ok=True)
        (tmp_path / "ledger" / path.name).write_bytes(path.read_bytes())
    end = tmp_path / "ledger" / "end.shard"
    end.write_bytes(end.read_bytes()[:40])
    folder = tmp_path / ("none" if damage == "missing" else "ledger")
    checkpoint = made.folder.parent / "tiny.ckpt"
    assert cli.run(["trace", str(checkpoint), "--ledger", str(folder)]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and str(folder) in said


def test_tracin_is_that_of_gradients_one_by_one_and_of_captum() -> None:
    rng = torch.Generator().manual_seed(3)
    model = network("conv", True, rng)
    layers: dict[str, Traced] = {
        name: layer for name, layer in model.named_children() if isinstance(layer, Traced)
    }
    x, y = torch.rand(9, 1, 28, 28, generator=rng), torch.randint(10, (9,), generator=rng)
    states = [{k: v * (1 + 0.1 * n) for k, v in model.state_dict().items()} for n in range(2)]
    given = ((x[:5], y[:5]), (x[5:], y[5:]))
    found, own = tracin(model, layers, states, 0.5, *given)
    wanted = torch.zeros(9, 9)
    for state in states:
        model.load_state_dict(state)
        model.eval()
        rows = []
        for k in range(9):
            loss = F.cross_entropy(model(x[k : k + 1]), y[k : k + 1])
            weights = [layer.weight for layer in layers.values()]
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]))
        wanted += 0.5 * torch.stack(rows) @ torch.stack(rows).T
    assert found == pytest.approx(wanted[:5, 5:].numpy(), rel=1e-4, abs=1e-6)
    assert own == pytest.approx(wanted.diagonal()[:5].numpy(), rel=1e-4)
    sys.path.append(str(PEERS))
    try:
        if peer_captum.is_here():
            plain = network("dense", False, rng)
            states = [dict(plain.state_dict())]
            theirs = peer_captum.captum_tracin(plain, states, 0.5, *given)
            dense: dict[str, Traced] = {
                n: la for n, la in plain.named_children() if isinstance(la, Traced)
            }
            ours, _ = tracin(plain, dense, states, 0.5, *given)
            assert theirs == pytest.approx(ours, rel=1e-4, abs=1e-6)
    finally:
        sys.path.remove(str(PEERS))


def test_the_judge_tells_a_trace_that_works_from_one_that_does_not() -> None:
    def verdicts(**changed: float) -> dict[str, str]:
        right = {"auc": 0.9, "precision": 0.8, "wrong": 0, "residual": 1e-7, "mb": 100.0}
        now = {**right, **changed}
        kind = "binary, dense"
        rows: list[dict[str, Any]] = [
            {
                "part": "net",
                "kind": kind,
                "seed": seed,
                "accuracy": 0.8,
                "residual": now["residual"],
                "n_wrong_integers": now["wrong"],
                "precision": dict.fromkeys(("1", "10", "64"), now["precision"]),
                "first_layer_precision": 0.3,
                "tracin_precision": 0.5,
                "tracin_rank": 0.2,
                "n_bytes": 1e6,
                "n_steps": 10,
                "training_cpu_s": 1.0,
                "tracing_cpu_s": 0.1,
                "mislabelled": {"trace": now["auc"], "loss": 0.7, "TracIn": 0.6},
            }
            for seed in (1, 2)
        ]
        aucs = {"undone": 0.6, "own class": 0.5, "decision": now["auc"], "margin": 0.7}
        both = {"margin and decision": now["auc"]}
        drops = (("trace", now["auc"]), ("at random", 0.1), ("TracIn", 0.2))
        for seed in (1, 2):
            one = {"kind": kind, "seed": seed}
            rows.append(
                {**one, "part": "faults", "rate": 0.1, "changed": 0.2, "never": 0.1}
                | {"auc": aucs | both}
            )
            rows += [{**one, "part": "deletion", "method": m, "drop": d} for m, d in drops]
        rows.append(
            {
                "part": "cost",
                "n_epochs": 30,
                "n_kept_epochs": 30,
                "n_bytes": 1e6 * now["mb"],
                "n_flips": 5,
                "n_steps": 2,
            }
            | {"epoch_bytes": [1e6 * now["mb"] / 30] * 30, "tracing_cpu_s": 1, "n_scored": 9}
            | {"training_cpu_s": 10, "scoring_cpu_s": 20, "residual": 1e-7}
        )
        return {f.claim: f.verdict for f in judge(rows, {}).findings}

    good = verdicts()
    assert set(good.values()) == {REACHED, CONFIRMED}
    for change, verdict, n in (
        ({"wrong": 1}, MISSED, 1),
        ({"residual": 1e-3}, MISSED, 1),
        ({"mb": 900.0}, MISSED, 1),
        ({"precision": 0.05}, REFUTED, 1),
        ({"auc": 0.05}, REFUTED, 3),
    ):
        told = verdicts(**change)
        assert list(told.values()).count(verdict) == n, change

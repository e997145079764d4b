"""The tracer: exact to the last bit, the same after a kill, refused where it is damaged."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stoic.models import train as train_module
from stoic.models import training_state
from stoic.models.binary import PositiveBatchNorm
from stoic.models.checkpoint import load_checkpoint
from stoic.models.data import Images
from stoic.models.frozen import integers
from stoic.models.recipe import Recipe
from stoic.models.topology import ConvSize
from stoic.models.tracer import ledger
from stoic.models.tracer.float_recorder import ExampleRecorder, StepRecorder
from stoic.models.tracer.float_trace import load_trace
from stoic.models.tracer.gradients import capturing
from stoic.models.tracer.influence import Chunk, by_class, by_example, cosines, top, trace
from stoic.models.tracer.recorder import Recorder
from stoic.models.tracer.updates import FlipUpdates
from stoic.models.tracer.views import along, binary_views, float_views
from stoic.models.train import fit
from stoic.sim import container
from stoic.sim.bits import unpack
from stoic.sim.exact_sums import steps
from stoic.sim.exceptions import ArtefactError, InputError

TINY = Recipe(
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
)
CONV = replace(TINY, hidden=(6,), convs=(ConvSize(4, pad=1, pool=2),), epochs=2)


def _images(n: int, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n).astype(np.uint8)
    images = rng.integers(0, 120, (n, 8, 8)) + 40 * labels[:, None, None]
    return Images(images.astype(np.uint8), labels)


def _train(out: Path, recipe: Recipe = TINY, limit_mb: float = 10.0) -> None:
    recorder = Recorder(out / "ledger", limit_mb)
    fit(recipe, 1, _images(120), _images(16, 1), out, recorder=recorder)


def _load(out: Path) -> ledger.Ledger:
    return ledger.load_ledger(out / "ledger", load_checkpoint(out / "tiny.ckpt"))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.shard")}


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a training that nobody interrupted."""
    out = tmp_path_factory.mktemp("traced")
    _train(out)
    return out


# ---- the ledger of flips ----


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 200_000), max_size=30), min_size=1, max_size=5))
def test_places_of_flips_come_back(rows: list[set[int]]) -> None:
    wanted = [np.array(sorted(row), np.int64) for row in rows]
    codes = [ledger.encode(places) for places in wanted]
    places, counts = ledger.decode(np.concatenate(codes), np.array([len(c) for c in codes]))
    found = np.split(places, np.cumsum(counts)[:-1])
    assert all((a == b).all() for a, b in zip(found, wanted, strict=True))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1, 5]))
def test_scores_of_flips_are_those_of_their_contributions(seed: int, n_windows: int) -> None:
    rng = np.random.default_rng(seed)
    n_inputs, n_outputs, n_steps, n = 7, 5, 4, 3
    change = rng.choice([-2, 0, 2], (n_steps, n_outputs * n_inputs), p=[0.2, 0.6, 0.2])
    of = [np.flatnonzero(row) for row in change]
    updates = FlipUpdates(
        n_inputs,
        n_outputs,
        np.concatenate(of),
        change[change != 0].astype(np.float32),
        np.array([len(row) for row in of]),
    )
    met = rng.integers(0, 256, (n, n_windows, n_inputs))
    dense = change.reshape(n_steps, n_outputs, n_inputs)
    wanted = np.einsum("toi,nwi->tnwo", dense, met)  # integers
    view = along("layer", 0, torch.tensor(met).float(), torch.tensor(wanted.sum(0)).float())
    assert (updates.contributions(view).numpy() == wanted).all()
    assert (updates.summed().numpy() == dense.sum(0)).all()
    scores = np.einsum("tnwo,nwo->tn", wanted, wanted.sum(0)) / view.length.numpy()
    assert updates.scores(view).numpy() == pytest.approx(scores, rel=1e-5, abs=1e-2)


@pytest.mark.parametrize("recipe", [TINY, CONV], ids=["dense", "conv"])
def test_a_decision_is_the_first_weights_and_every_flip_exactly(
    tmp_path: Path, recipe: Recipe
) -> None:
    _train(tmp_path, recipe)
    found, test = _load(tmp_path), _images(6, 3).images
    views = binary_views(found.checkpoint, found.first, test)
    epochs = list(found.epochs())
    assert sum(len(u.places) for epoch in epochs for u in epoch.updates) > 100
    for i, (view, step) in enumerate(
        zip(views, steps(integers(found.checkpoint), test.reshape(6, -1)), strict=True)
    ):
        parts = torch.cat([epoch.updates[i].contributions(view) for epoch in epochs])
        assert torch.equal(parts.sum(0), view.refinement), "not the last integer"
        first = 2.0 * unpack(found.first[i], view.inputs.shape[2]) - 1.0
        sums = view.inputs @ torch.from_numpy(first).float().T + view.refinement
        given = step.sums if step.layer.input == "uint8" else 2 * step.sums - step.layer.n_inputs
        assert (sums.numpy() == given).all(), "not what the datapath sums"
        dropped = parts.sum(0) - parts[parts.flatten(1).abs().sum(1).argmax()]
        assert not torch.equal(dropped, view.refinement), "a dropped step goes unseen"
    whole = trace(epochs, views)
    assert max(whole.residuals) < 1e-5
    labels = found.labels
    for i, length in enumerate(whole.totals):
        assert by_example(whole, i, len(labels)).sum(0) == pytest.approx(length, rel=1e-4)
        assert by_class(whole, i, labels, 3).sum(0) == pytest.approx(length, rel=1e-4)
    for step_examples in whole.examples:
        assert len(step_examples) == 8 and len(set(labels[step_examples])) == 1
    angles, sizes = cosines(epochs, views)
    for i, score in enumerate(whole.scores):
        assert angles[i] * sizes[i] == pytest.approx(score, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("stops_at", [0, 1, 2])
def test_a_killed_training_ends_with_the_same_ledger(
    traced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops_at: int
) -> None:
    class Killed(Exception):
        pass

    real = training_state.save

    def dies(run: object, path: Path, key: dict[str, object]) -> None:
        if (tmp_path / "ledger" / f"{stops_at + 1:05d}.shard").is_file():
            raise Killed  # its shard is there, its state is not
        real(run, path, key)  # type: ignore[arg-type]

    monkeypatch.setattr(train_module, "save", dies)
    with pytest.raises(Killed):
        _train(tmp_path)
    monkeypatch.undo()
    _train(tmp_path)
    assert _files(tmp_path / "ledger") == _files(traced / "ledger")
    assert (tmp_path / "tiny.ckpt").read_bytes() == (traced / "tiny.ckpt").read_bytes()


def test_tracing_changes_nothing_and_a_full_ledger_stops(traced: Path, tmp_path: Path) -> None:
    fit(TINY, 1, _images(120), _images(16, 1), tmp_path / "plain")
    plain = (tmp_path / "plain" / "tiny.ckpt").read_bytes()
    assert plain == (traced / "tiny.ckpt").read_bytes()
    limit = (ledger.check_shards(traced / "ledger", 2, _load(traced).run) + 9) / 1e6
    with pytest.raises(InputError, match=r"more than its limit of [\d.e-]+ MB; raise it"):
        _train(tmp_path / "full", limit_mb=limit)
    _train(tmp_path / "full")
    assert _files(tmp_path / "full" / "ledger") == _files(traced / "ledger")


def test_a_shorter_training_leaves_no_shard_of_a_longer_one(tmp_path: Path) -> None:
    _train(tmp_path / "fresh", replace(TINY, epochs=2))
    _train(tmp_path / "again")
    (tmp_path / "again" / "tiny.ckpt").unlink()
    for state in (tmp_path / "again").glob("*.state"):
        state.unlink()
    _train(tmp_path / "again", replace(TINY, epochs=2))
    assert _files(tmp_path / "again" / "ledger") == _files(tmp_path / "fresh" / "ledger")


def _drop_a_flip(folder: Path) -> None:
    """Take out the last flip of layer 0 in the first epoch; the file itself is sound."""
    path = ledger.shard_path(folder, 1)
    header, arrays = container.read(path, ledger.FORMAT, ledger.VERSION)
    counts = arrays["0.counts"].copy()
    counts[np.flatnonzero(counts)[-1]] -= 1
    arrays |= {"0.codes": arrays["0.codes"][:-1], "0.counts": counts}
    container.write(path, ledger.FORMAT, ledger.VERSION, header, arrays)


def _of_other_run(folder: Path) -> None:
    path = ledger.shard_path(folder, 2)
    header, arrays = container.read(path, ledger.FORMAT, ledger.VERSION)
    header["run"]["seed"] = 2
    container.write(path, ledger.FORMAT, ledger.VERSION, header, arrays)


def _cut(folder: Path) -> None:
    path = ledger.shard_path(folder, 2)
    path.write_bytes(path.read_bytes()[:-7])


def _turn_a_byte(folder: Path) -> None:
    path = ledger.shard_path(folder, 2)
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(bytes(data))


def _lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _swap(folder: Path) -> None:
    one, two = (ledger.shard_path(folder, number) for number in (1, 2))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


DAMAGE: Sequence[tuple[Callable[[Path], None], str]] = (
    (_drop_a_flip, "its flips do not lead to the checkpoint: 1 bits of layer 'dense0' differ"),
    (_of_other_run, "of another training"),
    (_cut, "corrupt"),
    (_turn_a_byte, "corrupt"),
    (_swap, "begins at step"),
    (_lose("00002.shard"), "no such file"),
    (_lose("00000.shard"), "no such file"),
    (_lose("end.shard"), "its training is not finished"),
)


@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=lambda d: getattr(d, "__name__", "")[1:])
def test_a_damaged_ledger_is_refused(
    traced: Path, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    for name, data in _files(traced / "ledger").items():
        container.write_whole(tmp_path / "ledger" / name, data)
    (tmp_path / "tiny.ckpt").write_bytes((traced / "tiny.ckpt").read_bytes())
    assert len(list(_load(tmp_path).epochs())) == 3
    damage(tmp_path / "ledger")
    with pytest.raises(ArtefactError, match=said) as caught:
        list(_load(tmp_path).epochs())
    assert "\n" not in str(caught.value)


def test_a_ledger_of_another_network_is_refused(traced: Path, tmp_path: Path) -> None:
    fit(TINY, 2, _images(120), _images(16, 1), tmp_path)
    with pytest.raises(ArtefactError, match="is the ledger of checkpoint"):
        ledger.load_ledger(traced / "ledger", load_checkpoint(tmp_path / "tiny.ckpt"))


# ---- batches of one class ----


def test_ghosts_normalise_and_teach_nothing() -> None:
    norm = PositiveBatchNorm(3).train()
    norm.n_ghosts = 5
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
    made = norm(x)
    ghosts = x.detach()[-5:]
    wanted = (x.detach() - ghosts.mean(0)) / (ghosts.var(0) + norm.eps).sqrt()
    assert torch.allclose(made, wanted, atol=1e-6)
    made[:4].square().sum().backward()
    assert x.grad is not None
    assert x.grad[:4].abs().min() > 0 and not x.grad[4:].any()


def test_a_batch_that_no_class_fills_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no class has the 72 examples of a batch"):
        _train(tmp_path, replace(TINY, batch=80))


# ---- float networks ----


class _Small(nn.Module):
    """Two convolutions' worth of paths: conv, maybe a norm of ghosts, dense."""

    def __init__(self, has_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, stride=2, bias=False)
        self.norm = PositiveBatchNorm(27) if has_norm else nn.Identity()
        self.dense = nn.Linear(27, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(self.norm(self.conv(x).flatten(1)).relu())  # type: ignore[no-any-return]


def _train_floats(
    folder: Path, by_example: bool, stops_at: int | None = None
) -> tuple[nn.Module, dict[str, nn.Linear | nn.Conv2d]]:
    torch.manual_seed(1)
    data = _images(96)
    x = torch.from_numpy(data.images).float()[:, None] / 255
    y = torch.from_numpy(data.labels).long()
    model = _Small(not by_example)
    layers: dict[str, nn.Linear | nn.Conv2d] = {"conv": model.conv, "dense": model.dense}
    run = {"seed": 1, "by_example": by_example}
    if by_example:
        optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        kept: ExampleRecorder | StepRecorder = ExampleRecorder(folder, layers, run, shard_mb=0.003)
    else:
        assert isinstance(model.norm, PositiveBatchNorm)
        model.norm.n_ghosts = 4
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01)
        kept = StepRecorder(folder, layers, run, shard_mb=0.003)
    kept.begin()
    with capturing(layers) as captured:
        for k in range(24):
            if k == stops_at:  # what was flushed is kept, the rest is made again
                kept.flush()
                kept = type(kept)(folder, layers, run, shard_mb=0.003)
                kept.begin(k)
            batch = torch.arange(4 * k, 4 * k + 4)
            seen = torch.cat([batch, torch.arange(4)]) if not by_example else batch
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[seen])[:4], y[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if isinstance(kept, ExampleRecorder):
                kept.step(batch, captured, optimizer)
            else:
                kept.step(batch)
    kept.finish()
    return model, layers


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.Linear(3, 2), "a bias"),
        (nn.Conv2d(2, 2, 3, bias=False, groups=2), "groups"),
        (nn.Conv2d(1, 2, 3, bias=False, padding=1, padding_mode="circular"), "number of zeros"),
        (nn.Conv2d(1, 2, 3, bias=False, padding="same"), "number of zeros"),
    ],
)
def test_a_layer_that_is_not_its_windows_and_weights_is_refused(
    tmp_path: Path, layer: nn.Linear | nn.Conv2d, said: str
) -> None:
    with pytest.raises(InputError, match=f"layer 'a' cannot be traced: it has .*{said}"):
        StepRecorder(tmp_path, {"a": layer}, {})


def test_examples_are_traced_under_plain_descent_alone(tmp_path: Path) -> None:
    weights = nn.Linear(3, 2, bias=False)
    kept = ExampleRecorder(tmp_path, {"a": weights}, {})
    for optimizer in (
        torch.optim.SGD(weights.parameters(), 0.1, momentum=0.9),
        torch.optim.SGD(weights.parameters(), 0.1, maximize=True),
        torch.optim.Adam(weights.parameters(), 0.1),
    ):
        with pytest.raises(InputError, match="plain SGD"):
            kept.step(torch.arange(2), {}, optimizer)


@pytest.mark.parametrize("has_examples", [True, False], ids=["examples", "steps"])
def test_a_float_trace_is_complete_and_goes_on_after_a_kill(
    tmp_path: Path, has_examples: bool
) -> None:
    model, layers = _train_floats(tmp_path / "a", has_examples)
    found = load_trace(tmp_path / "a")
    x = torch.from_numpy(_images(5, 4).images).float()[:, None] / 255
    views = float_views(model, layers, found.first, x)
    whole = trace(found.chunks(), views)
    assert found.n_shards > 2 and max(whole.residuals) < 1e-6
    chunks: list[Chunk] = list(found.chunks())
    for i, view in enumerate(views):
        parts = torch.cat([chunk.updates[i].contributions(view) for chunk in chunks])
        assert torch.allclose(parts.sum(0), view.refinement, rtol=0, atol=1e-6)
        dropped = parts.sum(0) - parts[parts.flatten(1).abs().sum(1).argmax()]
        assert not torch.allclose(dropped, view.refinement, rtol=0, atol=1e-6)
        dots = torch.einsum("tnwo,nwo->tn", parts, view.refinement) / view.length
        assert whole.scores[i] == pytest.approx(dots.numpy(), rel=1e-4, abs=1e-6)
    best = top(by_example(whole, 1, 96), 3)
    assert best.shape == (3, 5) and best.max() < 96
    _train_floats(tmp_path / "b", has_examples, stops_at=12)
    model_b, layers_b = _train_floats(tmp_path / "c", has_examples, stops_at=12)
    assert _files(tmp_path / "b") == _files(tmp_path / "c")
    again = load_trace(tmp_path / "b")
    resumed = trace(again.chunks(), float_views(model_b, layers_b, again.first, x))
    for i in range(2):
        assert resumed.lengths[i] == pytest.approx(whole.lengths[i])

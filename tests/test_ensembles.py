"""Ensembles: identities of their losses, members side by side, methods, and one integer network."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stoic.export.lower import lower
from stoic.export.qonnx import export_qonnx
from stoic.hw import cli
from stoic.models.binary import BinarySign
from stoic.models.ensembles import (
    CROSS_ENTROPY,
    NLL,
    SQUARED,
    Bagging,
    Boosting,
    DenseMembers,
    Ensemble,
    Flips,
    Gncl,
    Loss,
    Schedule,
    Stacking,
    bias_variance_covariance,
    calibrated,
    exact,
    fault_split,
    fit,
    layout_of_members,
    member_loss,
    network_of,
    snapshots,
    split,
    upper,
)
from stoic.models.ensembles.members import KINDS, Kind
from stoic.models.ensembles.methods import Jointly, Method
from stoic.models.frozen import TorchDevice
from stoic.models.nets import to_checkpoint
from stoic.sim import golden
from stoic.sim import network as networks
from stoic.sim.agreement import agree, find_mutants, reference_scores, try_mutants
from stoic.sim.engine import EngineDevice
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError
from stoic.sim.faults import apply
from stoic.sim.memory import layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_network, with_random_tables

# ---- objectives ----


def _case(seed: int, n_members: int = 5, batch: int = 6, n: int = 4) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    outputs = torch.randn(n_members, batch, n, generator=rng, dtype=torch.float64)
    return outputs, torch.randint(n, (batch,), generator=rng)


def _targets(loss: Loss, outputs: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and targets as the loss takes them."""
    if loss is SQUARED:
        return outputs, torch.nn.functional.one_hot(classes, outputs.shape[2]).double()
    return (outputs.softmax(-1) if loss is NLL else outputs), classes


SEEDS = st.integers(0, 2**31)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 8), st.floats(0, 1))
def test_squared_error_is_the_members_less_their_diversity(seed: int, m: int, lam: float) -> None:
    outputs, target = _targets(SQUARED, *_case(seed, m))
    found = split(SQUARED, outputs, target)
    assert found.member_loss - found.diversity == pytest.approx(found.ensemble_loss, abs=1e-10)
    assert abs(found.remainder) < 1e-10 and found.diversity >= 0
    slopes = []
    for form in (exact, upper):
        given_outputs = outputs.clone().requires_grad_()
        values = form(SQUARED, given_outputs, target, lam)
        slopes.append((values.detach(), *torch.autograd.grad(values.sum(), given_outputs)))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, NLL], ids=lambda loss: loss.name)
def test_the_remainder_of_other_losses_vanishes_faster_than_the_second_order(loss: Loss) -> None:
    outputs, target = _targets(loss, *_case(3))
    mean, shares = outputs.mean(0), []
    for spread in (1e-1, 1e-2, 1e-3):
        near = split(loss, mean + spread * (outputs - mean), target)
        gap = near.member_loss - near.ensemble_loss
        assert gap == pytest.approx(near.diversity + near.remainder, abs=1e-12)
        assert near.diversity == pytest.approx(gap, rel=3 * spread)
        shares.append(abs(near.remainder) / near.diversity)
    assert shares[0] > 5 * shares[1] > 25 * shares[2] > 0
    wrong = Loss("wrong", loss.value, lambda f, y, d: 2 * loss.curvature(f, y, d))
    far = split(wrong, mean + 1e-3 * (outputs - mean), target)
    assert abs(far.remainder) > 0.4 * far.diversity  # what the check would see of a wrong Hessian


@pytest.mark.parametrize("loss", [SQUARED, CROSS_ENTROPY, NLL], ids=lambda loss: loss.name)
def test_limits_of_lambda(loss: Loss) -> None:
    outputs, target = _targets(loss, *_case(5))
    alone = member_loss(loss, outputs, target)
    torch.testing.assert_close(exact(loss, outputs, target, 0.0), alone)
    torch.testing.assert_close(upper(loss, outputs, target, 0.0), alone)
    torch.testing.assert_close(upper(loss, outputs, target, 1.0), loss.of(outputs.mean(0), target))
    half = upper(loss, outputs, target, 0.5)
    torch.testing.assert_close(half, (alone + loss.of(outputs.mean(0), target)) / 2)
    for form in (exact, upper):  # at 0 the gradient of a member knows of no other
        both = []
        for others in (outputs, outputs.roll(1, 2)):
            given_outputs = torch.cat([outputs[:1], others[1:]]).requires_grad_()
            value = form(loss, given_outputs, target, 0.0).sum()
            both.append(torch.autograd.grad(value, given_outputs)[0][0])
        torch.testing.assert_close(*both)
    for lam in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="lambda must be 0..1"):
            exact(loss, outputs, target, lam)
        with pytest.raises(InputError, match="lambda must be 0..1"):
            Gncl(loss, lam)
    with pytest.raises(InputError, match="outputs must be"):
        upper(loss, outputs[0], target, 0.5)


def _log_cosh(f: Tensor, y: Tensor) -> Tensor:
    return (f - y).cosh().log().sum(-1)


@pytest.mark.parametrize("loss", [SQUARED, CROSS_ENTROPY, NLL, Loss("log cosh", _log_cosh)],
                         ids=lambda loss: loss.name)  # fmt: skip
def test_hessians_of_torch_are_those_written_out_and_those_of_single_examples(loss: Loss) -> None:
    outputs, classes = _case(7)
    outputs, target = _targets(SQUARED if loss.name == "log cosh" else loss, outputs, classes)
    mean, d = outputs.mean(0), outputs - outputs.mean(0)
    found = Loss(loss.name, loss.value).curvature(mean, target, d)
    assert found.shape == outputs.shape[:2]
    torch.testing.assert_close(found, loss.curvature(mean, target, d))
    for j in range(outputs.shape[1]):
        y = target[j : j + 1]
        hessian = torch.func.hessian(lambda f, y=y: loss.of(f[None], y)[0])(mean[j])
        torch.testing.assert_close(
            found[:, j], torch.einsum("mi,ij,mj->m", d[:, j], hessian, d[:, j])
        )
    value = exact(Loss(loss.name, loss.value), outputs.requires_grad_(), target, 0.5).sum()
    (through_torch,) = torch.autograd.grad(value, outputs)
    (written,) = torch.autograd.grad(exact(loss, outputs, target, 0.5).sum(), outputs)
    torch.testing.assert_close(through_torch, written)  # the gradient goes through D, too


def test_a_loss_without_a_hessian_is_refused_not_replaced() -> None:
    outputs, target = _case(1)
    for value, message in (
        (lambda f, y: BinarySign().train()(f).sum(-1), "has no Hessian that torch can find"),
        (lambda f, y: f.square().mean(), r"must give \(30,\), one an example, not \(\)"),
    ):
        loss = Loss("mine", value)
        with pytest.raises(InputError, match=message):
            exact(loss, outputs, target, 0.5)


# ---- what a loss is made of ----


def test_error_is_bias_variance_and_covariance() -> None:
    rng = torch.Generator().manual_seed(2)
    runs = torch.randn(7, 5, 30, 3, generator=rng, dtype=torch.float64) + torch.randn(
        7, 1, 30, 3, generator=rng, dtype=torch.float64
    )  # members of a run move together
    target = torch.randn(30, 3, generator=rng, dtype=torch.float64)
    found = bias_variance_covariance(runs, target)
    m = found.n_members
    parts = found.bias_squared + found.variance / m + (1 - 1 / m) * found.covariance
    assert parts == pytest.approx(found.error, abs=1e-10)
    assert found.covariance == pytest.approx(3 * 6 / 7, rel=0.2)
    off = (runs - runs.mean(0)).numpy()
    pairs = [(off[:, i] * off[:, j]).sum(-1).mean() for i in range(m) for j in range(m) if i != j]
    assert found.covariance == pytest.approx(np.mean(pairs), abs=1e-12)
    one = bias_variance_covariance(runs[:, :1], target)
    assert one.covariance == 0
    assert one.bias_squared + one.variance == pytest.approx(one.error, abs=1e-10)


def test_accuracy_of_members_stands_beside_that_of_the_ensemble() -> None:
    # three members that are each wrong on another example, and together right on all
    wrong = torch.tensor([[[2.0, 3.0], [9.0, 0.0], [9.0, 0.0]]]).repeat(3, 1, 1)
    outputs = torch.stack([row.roll(i, 0) for i, row in enumerate(wrong)]).double()
    found = split(CROSS_ENTROPY, outputs, torch.tensor([0, 0, 0]))
    assert found.ensemble_accuracy == 1 and found.member_accuracy == pytest.approx(2 / 3)
    assert np.isnan(split(SQUARED, outputs, outputs[0]).member_accuracy)


def test_faults_are_one_more_source_of_variance() -> None:
    rng = torch.Generator().manual_seed(4)
    clean = torch.randn(4, 1, 50, 3, generator=rng, dtype=torch.float64)
    moved = torch.randn(4, 60, 50, 3, generator=rng, dtype=torch.float64)
    classes = torch.randint(3, (50,), generator=rng)
    target = torch.nn.functional.one_hot(classes, 3).double()
    apart = fault_split(SQUARED, clean + moved, target)
    parts = apart.mean_loss + apart.member_variance + apart.fault_variance
    assert parts == pytest.approx(apart.member_loss, abs=1e-10) and abs(apart.remainder) < 1e-10
    assert apart.fault_variance == pytest.approx(3, rel=0.05)
    assert apart.independence == pytest.approx(1, rel=0.15)
    together = fault_split(SQUARED, clean + moved[:1], target)  # all members move alike
    assert together.independence == pytest.approx(1 / 4, rel=1e-9)
    still = fault_split(CROSS_ENTROPY, clean, classes)
    assert still.fault_variance == 0 and np.isnan(still.independence)
    both = split(CROSS_ENTROPY, clean[:, 0], classes)
    assert still.member_variance == pytest.approx(both.diversity)


# ---- members ----


def _learnable(n: int = 600, n_inputs: int = 20) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (n, n_inputs), generator=rng, dtype=torch.uint8)
    return x, (x[:, :3].long().argmax(1))


def _members(kind: Kind, n: int = 3, seed: int = 1) -> DenseMembers:
    return DenseMembers(n, (20, 7, 6, 3), kind, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_members_side_by_side_do_not_know_of_each_other(kind: Kind) -> None:
    x, y = _learnable()
    together = _members(kind)
    fit(together, Gncl(CROSS_ENTROPY), x, y, Schedule(1, 100), torch.Generator())
    before = together(x.float())
    with torch.no_grad():
        for weight in together.weights:
            weight[0] = -weight[0]
    after = together(x.float())
    assert before.shape == (3, 600, 3)
    torch.testing.assert_close(before[1:], after[1:])
    assert not torch.equal(before[0], after[0])


def test_training_on_a_loss_finds_what_is_to_be_learned_and_repeats() -> None:
    x, y = _learnable()
    for kind in KINDS:
        found = []
        for epochs in (5, 1, 1):
            members = _members(kind, 4)
            order = torch.Generator().manual_seed(2)
            fit(members, Gncl(CROSS_ENTROPY, 0.5, "exact"), x, y, Schedule(epochs, 25), order)
            found.append(members(x.float()).detach())
        assert torch.equal(*found[1:])
        assert split(CROSS_ENTROPY, found[0].double(), y).ensemble_accuracy > 0.6  # 1/3 is chance


def test_ensembles_that_train_jointly_become_what_they_become_alone() -> None:
    x, y = _learnable(300)
    for kind in ("float", "binary"):
        methods: list[Method] = [Gncl(CROSS_ENTROPY, 1.0), Stacking(CROSS_ENTROPY, 3, 3)]
        parts = [_members(kind, n, seed=n) for n in (1, 3)]
        whole = DenseMembers.joined(parts)
        jointly = Jointly(copy.deepcopy(methods), whole.counts)
        order = [torch.Generator().manual_seed(4) for _ in range(3)]
        fit(whole, jointly, x, y, Schedule(1, 50), order[0])
        for part, method, found, rng in zip(parts, methods, whole.parted(), order[1:], strict=True):
            fit(part, method, x, y, Schedule(1, 50), rng)
            torch.testing.assert_close(found(x.float()), part(x.float()), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="one kind and shape"):
        DenseMembers.joined([_members("float"), _members("binary")])


def test_members_on_bits_are_a_network_on_bits() -> None:
    x, y = _learnable()
    bits = (x >= 128).to(torch.uint8)
    rng = torch.Generator().manual_seed(1)
    members = DenseMembers(2, (20, 7, 6, 3), "binary", rng, "bits")
    fit(members, Gncl(CROSS_ENTROPY), 2.0 * bits - 1, y, Schedule(2, 100), rng)
    nets = calibrated(members, bits, 0.0, seed=1)
    whole = network_of(nets)
    assert [chain[0].input for chain in whole.chains] == ["bits"] * 2
    wanted = sum(net(2.0 * bits - 1) for net in nets)
    assert isinstance(wanted, Tensor)
    np.testing.assert_array_equal(golden.scores(whole, bits.numpy()), wanted.detach().numpy())


def test_any_module_can_be_a_member() -> None:
    x, y = _learnable()
    torch.manual_seed(1)
    kinds: list[nn.Module] = [nn.Linear(20, 3), nn.Sequential(nn.Linear(20, 5), nn.Linear(5, 3))]
    mixed = Ensemble([*kinds, _members("float", 2)], scale=0.1)
    fit(mixed, Gncl(CROSS_ENTROPY, 1.0), x, y, Schedule(1, 100), torch.Generator())
    outputs = mixed(x.float())
    assert outputs.shape == (4, 600, 3)
    assert mixed.log_scale is not None
    torch.testing.assert_close(outputs[0], kinds[0](x.float()) * mixed.log_scale.exp())
    with pytest.raises(InputError, match="a Linear has no memory"):
        mixed.set_memories(None)
    for bad in (lambda: Ensemble([]), lambda: _members("ternary"), lambda: _members("float", 0)):  # type: ignore[arg-type]
        with pytest.raises(InputError):
            bad()


# ---- methods ----


def test_methods_minimise_what_they_say() -> None:
    outputs, target = _case(9, n_members=3)
    outputs.requires_grad_()
    examples = torch.arange(10, 16)
    every = torch.stack([CROSS_ENTROPY.of(o, target) for o in outputs])

    bagging = Bagging.draw(CROSS_ENTROPY, 3, 20_000, torch.Generator().manual_seed(1))
    counts = bagging.weights
    assert [float((counts == k).double().mean()) for k in (0, 1, 2)] == pytest.approx(
        [0.368, 0.368, 0.184], abs=0.01
    )
    assert not torch.equal(counts[0], counts[1])
    found = bagging.objective(outputs, target, examples)
    torch.testing.assert_close(found, (every * counts[:, 10:16]).mean(0))

    stacking = Stacking(CROSS_ENTROPY, 3, 4).double()
    torch.testing.assert_close(stacking.combined(outputs), outputs.mean(0))

    boosting = Boosting(CROSS_ENTROPY)
    value = boosting.objective(outputs, target, examples).sum()
    (slope,) = torch.autograd.grad(value, outputs)
    sums = outputs.detach().cumsum(0).requires_grad_()
    stages = torch.stack([CROSS_ENTROPY.of(s, target) for s in sums]).mean(0).sum()
    torch.testing.assert_close(slope, torch.autograd.grad(stages, sums)[0])  # a stage's own alone
    torch.testing.assert_close(boosting.combined(outputs), outputs.sum(0))

    with pytest.raises(InputError, match="form must be exact or upper"):
        Gncl(CROSS_ENTROPY, 0.5, "lower")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch must be at most 600"):
        fit(_members("float"), Gncl(SQUARED), *_learnable(), Schedule(1, 601), torch.Generator())


def test_snapshots_are_what_one_member_was_after_each_cycle() -> None:
    x, y = _learnable()
    one, order = _members("binary", 1), torch.Generator().manual_seed(3)
    kept = snapshots(one, 3, CROSS_ENTROPY, x, y, Schedule(3, 100), order)
    outputs = kept(x.float())
    assert outputs.shape == (3, 600, 3)
    torch.testing.assert_close(outputs[2], one(x.float())[0])
    again, order = _members("binary", 1), torch.Generator().manual_seed(3)
    fit(again, Gncl(CROSS_ENTROPY), x, y, Schedule(1, 100), order)
    torch.testing.assert_close(outputs[0], again(x.float())[0])
    assert len({tuple(o.flatten().tolist()) for o in outputs.detach()}) == 3


# ---- one integer network ----


@pytest.fixture(scope="module")
def trained() -> Iterator[tuple[DenseMembers, Network, Tensor]]:
    """Three members, trained while their memories flip bits."""
    members, x = _members("binary"), _learnable()[0]
    _train(members, 0.2)
    yield members, network_of(members.apart()), x


def _train(members: DenseMembers, p_max: float) -> None:
    x, y = _learnable()
    hook = [Flips(p_max, seed=5).hook(members)] if p_max else []
    order = torch.Generator().manual_seed(2)
    fit(members, Gncl(CROSS_ENTROPY, 0.5), x, y, Schedule(4, 25), order, *hook)
    members.set_memories(None)


def test_scores_are_the_sum_of_members_in_every_world_under_faults(
    trained: tuple[DenseMembers, Network, Tensor],
) -> None:
    members, network, x = trained
    layout = layout_of_members(members)
    assert layout == layout_of(network) and network.members == (3, 3, 3)
    maps = [None, *(Iid(0.1, 0.1, seed=9).sample(layout, chip) for chip in range(3))]
    x = x[:200]
    images = x.numpy()
    apart = Ensemble(members.apart())
    for faults in maps:
        read = network if faults is None else apply(network, faults)
        wanted = golden.scores(read, images)
        for model in (members, apart):
            model.set_memories(faults)
            each = members.scores(x.float()) if model is members else apart(x.float())
            assert torch.equal(each.sum(0).int(), torch.from_numpy(wanted))
            model.set_memories(None)
        chains = [golden.scores(Network("one", chain), images) for chain in read.chains]
        np.testing.assert_array_equal(sum(chains), wanted)
    # a fault of one member that reaches another is seen
    members.set_memories(maps[1])
    assert members.memories is not None and members.memories[0].flip is not None
    members.memories[0] = type(members.memories[0])(members.memories[0].flip.roll(1, 0))
    assert maps[1] is not None
    wanted = golden.scores(apply(network, maps[1]), images)
    moved = members.scores(x.float()).sum(0).int().numpy()
    members.set_memories(None)
    assert (moved != wanted).any()

    for device in (TorchDevice(), EngineDevice(threads=1)):
        rows = agree(reference_scores(network, maps, images), device, network, maps, images)
        assert [row.n_mismatches for row in rows] == [0] * 4
        assert maps[2] is not None
        mutants = find_mutants(network, maps[2], images)
        trials = try_mutants(mutants, device, network, images)
        assert len(trials) == 3 and all(t.is_caught and not t.n_unexpected for t in trials)


def test_flips_are_new_at_every_step_and_tables_are_what_training_ends_with() -> None:
    members, x = _members("binary"), _learnable()[0]
    hook, met = Flips(0.2, seed=5).hook(members), []
    for step in (0, 5):
        hook(step, 10)
        assert [norm.on_running for norm in members.norms] == [step == 5] * 2
        assert members.memories is not None
        flips = [cells.flip for cells in members.memories if cells.flip is not None]
        assert len(flips) == 3 and all(0 < flip.double().mean() < 0.3 for flip in flips)
        met.append(flips[0])
        wrong = members.scores(x.float())
        members.set_memories(None)
        assert not torch.equal(wrong, members.scores(x.float()))
    assert not torch.equal(*met) and not torch.equal(met[0][0], met[0][1])


def test_calibration_moves_thresholds_alone(
    trained: tuple[DenseMembers, Network, Tensor],
) -> None:
    members, network, x = trained
    plain, flipped = (network_of(calibrated(members, x, p, seed=5)) for p in (0.0, 0.2))
    assert len({network.sha256, plain.sha256, flipped.sha256}) == 3
    for layers in zip(network.layers, plain.layers, flipped.layers, strict=True):
        for layer in layers[1:]:
            np.testing.assert_array_equal(layer.weights, layers[0].weights)


def test_lowered_members_join_into_the_same_network(
    trained: tuple[DenseMembers, Network, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    members, network, x = trained
    files = []
    for m, net in enumerate(members.apart()[:2]):
        path = tmp_path / f"m{m}.onnx"
        export_qonnx(to_checkpoint(net, f"m{m}", {}, 0, {}), path)
        networks.save(lower(path), path.with_suffix(".stoic"))
        files.append(str(path.with_suffix(".stoic")))
    joined = tmp_path / "both.stoic"
    assert cli.run(["join", *files, "-o", str(joined), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    read = networks.load(joined)
    assert read.sha256 == network_of(members.apart()[:2]).sha256 == shown["sha256"]
    assert [of["sha256"] for of in shown["notes"]["of"]] == [
        networks.load(Path(f)).sha256 for f in files
    ]
    assert all(of["source_sha256"] for of in shown["notes"]["of"])

    rng = np.random.default_rng(1)
    other = random_network((20, 4), "uint8", rng)
    for bad, message in (
        ((read, other), "give the same classes"),
        ((read, random_network((20, 3), "bits", rng)), "take the same images"),
        ((with_random_tables(other, 1, rng),), "without threshold tables"),
        ((), "needs members"),
    ):
        with pytest.raises(InputError, match=message):
            networks.ensemble("bad", bad)
    networks.save(other, tmp_path / "other.stoic")
    assert cli.run(["join", files[0], str(tmp_path / "other.stoic"), "-o", str(joined)]) == 2
    assert "same classes" in capsys.readouterr().err

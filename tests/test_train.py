"""Training: what is flipped, what the gradient passes through, and that a killed run comes back."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stoic.models import losses
from stoic.models import train as train_module
from stoic.models.augment import REACH, augment
from stoic.models.binary import MIN_SCALE, BinaryLinear, BinarySign, PositiveBatchNorm, signs
from stoic.models.calibration import calibrate
from stoic.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stoic.models.data import Images, load
from stoic.models.frozen import integers
from stoic.models.margins import scores_and_margins
from stoic.models.nets import BinaryNet, build_model, encode, to_checkpoint
from stoic.models.noise import FaultyCells, TrainingErrors, apply_faults, layout_of_model
from stoic.models.recipe import Gradient, Recipe, from_values, load_recipe, recipe_names, to_values
from stoic.models.topology import ConvSize, layer_shapes
from stoic.models.train import fit
from stoic.sim import faults as fault_maps
from stoic.sim import golden
from stoic.sim.bits import unpack
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError
from stoic.sim.faults import FaultMap
from stoic.sim.layers import Conv, Input, Pool
from stoic.sim.memory import Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.report.training import training_figure

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None
TINY = Recipe(
    name="tiny",
    data="fashion-mnist",
    hidden=(32, 24),
    epochs=4,
    loss="margin_hinge",
    margin=8.0,
    batch=64,
    p01_max=0.1,
    p10_max=0.05,
    running_norm_from=0.5,
    select_rates=(0.0, 0.05),
)


@pytest.fixture(scope="module")
def images() -> tuple[Images, Images]:
    """2,000 real training images and 500 real validation images."""
    training, validation = (load("fashion-mnist", s, ROOT) for s in ("train", "validation"))
    return (
        Images(training.images[:2000], training.labels[:2000]),
        Images(validation.images[:500], validation.labels[:500]),
    )


@pytest.fixture(scope="module")
def trained(images: tuple[Images, Images], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole")
    fit(TINY, 5, *images, out)
    return out


def _flips(shape: tuple[int, ...], seed: int = 0) -> FaultyCells:
    return FaultyCells(torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.3)


# ---- layers ----


@pytest.mark.parametrize("training", [True, False])
def test_zero_counts_as_plus_one_in_weights_and_activations(training: bool) -> None:
    dense, sign = BinaryLinear(3, 1).train(training), BinarySign().train(training)
    with torch.no_grad():
        dense.weight.copy_(torch.tensor([[0.0, -0.0, -1e-9]]))
    assert dense(torch.eye(3)).flatten().tolist() == [1.0, 1.0, -1.0]
    assert sign(torch.tensor([0.0, -0.0, -1e-9, 3.0])).tolist() == [1.0, 1.0, -1.0, 1.0]


def test_training_computes_what_the_quantizers_of_brevitas_compute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = _conv_net(7).train()
    x = encode(_maps(40), "uint8", net.shapes[0])
    target = torch.arange(40) % 4

    def learned() -> list[torch.Tensor]:
        net.zero_grad()
        losses.margin_hinge(net(x), target, 3.0).mean().backward()  # type: ignore[no-untyped-call]
        return [p.grad.clone() for p in net.parameters() if p.grad is not None]

    ours = learned()
    quantized = [*net.binary_layers, *net.signs]
    for module in quantized:  # the forward of Brevitas, as in evaluation
        theirs_forward = getattr(super(type(module), module), "forward")  # noqa: B009
        monkeypatch.setattr(module, "forward", theirs_forward)
    theirs = learned()
    assert len(ours) == len(theirs) == len(list(net.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=1e-4, atol=1e-6) and bool(mine.any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_signs_are_plus_and_minus_one_in_every_precision(dtype: torch.dtype) -> None:
    made = signs(torch.tensor([True, False, True]), dtype)
    assert made.dtype == dtype and made.tolist() == [1.0, -1.0, 1.0]


@pytest.mark.parametrize("gradient", ["straight_through", "sign_flipped", "masked"])
def test_the_gradient_of_a_weight_that_reads_wrong_is_what_the_recipe_says(
    gradient: Gradient,
) -> None:
    z = torch.tensor([-1.5, -1.0, 0.0, 0.5, 1.5], requires_grad=True)
    BinarySign()(z).sum().backward()
    assert z.grad is not None and z.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]

    x, up = torch.randn(5, 40), torch.randn(5, 6)
    dense = BinaryLinear(40, 6)
    dense.memory, dense.gradient = _flips((6, 40)), gradient
    wrong = dense.memory.flip
    assert wrong is not None
    stored = torch.where(dense.weight >= 0, 1.0, -1.0)
    sums = dense(x)
    assert torch.allclose(sums, x @ torch.where(wrong, -stored, stored).T, atol=1e-5)
    sums.backward(up)
    told = {"straight_through": 1.0, "sign_flipped": -1.0, "masked": 0.0}[gradient]
    assert dense.weight.grad is not None
    expected = (up.T @ x) * torch.where(wrong, told, 1.0)
    assert torch.allclose(dense.weight.grad, expected, atol=1e-5)


def test_training_on_running_statistics_normalises_with_them_and_moves_them() -> None:
    norm = PositiveBatchNorm(3).train()
    norm.on_running, norm.momentum = True, 0.25
    x = torch.randn(64, 3) * 4 + 2
    mean, var = 0.25 * x.mean(0), 0.75 + 0.25 * x.var(0)
    expected = (x - mean) / torch.sqrt(var + norm.eps)
    assert torch.allclose(norm(x), expected, atol=1e-5)
    assert norm.running_mean is not None and norm.running_var is not None
    assert torch.allclose(norm.running_mean, mean) and torch.allclose(norm.running_var, var)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([-1.0, 0.0, 2.0]))
    norm.project()
    assert norm.weight.tolist() == pytest.approx([MIN_SCALE, MIN_SCALE, 2.0])


# ---- losses ----


def test_losses_equal_their_definitions() -> None:
    logits, target = torch.tensor([[10.0, -40.0, 3.0], [0.0, 0.0, 50.0]]), torch.tensor([0, 1])
    hinge = [[(8 - 10), (8 - 40), (8 + 3)], [(8 + 0), (8 - 0), (8 + 50)]]
    expected = [sum(max(0, v) for v in row) / 3 / 8 for row in hinge]
    assert losses.margin_hinge(logits, target, 8.0).tolist() == pytest.approx(expected)
    soft = [
        math.log(sum(math.exp((v - row[t]) / 16) for v in row))
        for row, t in zip(logits.tolist(), target.tolist(), strict=True)
    ]
    assert losses.cross_entropy(logits, target, 16.0).tolist() == pytest.approx(soft)

    lowered = [10 - 5, 0 - 5]  # tanh(x / 1e6) is x / 1e6 to 1e-9 here
    others = [[-40.0, 3.0], [0.0, 50.0]]
    margined = [
        math.log(sum(math.exp((v - t) / 16) for v in [t, *rest]))
        for t, rest in zip(lowered, others, strict=True)
    ]
    found = losses.margin_cross_entropy(logits, target, 5.0, 1e6, 16.0)
    assert found.tolist() == pytest.approx(margined, rel=1e-5)
    bounded = losses.margin_cross_entropy(1e6 * logits, target, 0.0, 30.0)
    assert float(bounded.max()) <= math.log(1 + 2 * math.exp(60.0))


def test_margins_are_distances_to_the_threshold_of_the_integer_network() -> None:
    net = _conv_net(8)
    pixels = _maps(60)
    net.train()(encode(pixels, "uint8", net.shapes[0]))
    net.eval()
    network = integers(to_checkpoint(net, "random", {}, 0, {}))
    with torch.no_grad():
        x = encode(pixels, "uint8", net.shapes[0])
        scores, margins = scores_and_margins(net, x)
        assert torch.equal(scores, net(x))
        for i, layer in enumerate(network.layers[:-1]):
            assert layer.thresholds is not None
            sums = net.compared(i, net.sums(i, x)).movedim(1, -1).flatten(0, -2)
            limits = torch.from_numpy(layer.thresholds.astype(np.float32))
            unit, step = (255.0, 1.0) if layer.input == "uint8" else (1.0, 2.0)
            limits = limits if layer.input == "uint8" else 2 * limits - layer.n_inputs
            live = (layer.thresholds > layer.threshold_range[0]) & (
                layer.thresholds < layer.threshold_range[1]
            )
            distance = margins[i].movedim(1, -1).flatten(0, -2) * unit * layer.n_inputs**0.5
            # the float threshold lies within one step below the least sum that fires
            off = (sums - limits + step / 2).abs() - distance
            assert float(off[:, torch.from_numpy(live)].abs().max()) <= step / 2 + 1e-2
            x = net.fired(i, net.sums(i, x))
    wanted = torch.tensor([0.5, 3.0])
    assert float(losses.margin_shortfall([wanted], 2.0)) == pytest.approx(0.75)


def test_augmentation_moves_whole_images_and_mirrors_some() -> None:
    rng = np.random.default_rng(0)
    image = torch.zeros(1, 9, 9, 2, dtype=torch.uint8)
    image[0, 4, 4, 0], image[0, 4, 5, 1] = 200, 100  # a second point tells mirrored from moved
    moved = augment(image.reshape(1, -1).repeat(500, 1), (9, 9, 2), "shift_mirror", rng)
    assert moved.shape == (500, 162) and moved.dtype == torch.uint8
    maps = moved.reshape(500, 9, 9, 2)
    first, second = maps[..., 0].nonzero(), maps[..., 1].nonzero()
    reach = REACH["shift_mirror"]
    assert set((first[:, 1] - 4).tolist()) == set(range(-reach, reach + 1))
    steps = {(int(n), int(x)) for n, _, x in second}
    places = {int(n): int(v) for n, _, v in first}
    signs_seen = {x - places[n] for n, x in steps}
    assert signs_seen == {-1, 1}
    assert augment(moved, (9, 9, 2), "none", rng) is moved


# ---- memory ----


def _errors(net: BinaryNet, **values: object) -> TrainingErrors:
    recipe = from_values({**to_values(replace(TINY, p01_max=0.0, p10_max=0.0)), **values})
    return TrainingErrors(recipe, layout_of_model(net), 5, ROOT)


@pytest.mark.parametrize(("p01", "p10"), [(0.1, 0.1), (0.02, 0.1), (0.0, 0.3)])
def test_every_step_reads_through_another_chip_with_the_rates_of_the_recipe(
    p01: float, p10: float
) -> None:
    net = BinaryNet(layer_shapes((784,), (), (500, 300, 10)))
    errors = _errors(net, p01_max=p01, p10_max=p10)
    wrong = []
    for number in (7, 8, 7):
        errors.put(net, number, 0.5)
        found = []
        for layer in net.binary_layers:
            stored = layer.rows() >= 0
            assert layer.memory is not None
            changed = layer.memory.read(stored) != stored
            for bit, p in ((False, p01 / 2), (True, p10 / 2)):
                n = int((stored == bit).sum())
                k = int((changed & (stored == bit)).sum())
                assert abs(k - n * p) <= 6 * math.sqrt(n * p * (1 - p) + 1)
            found.append(changed)
        wrong.append(torch.cat([f.flatten() for f in found]))
    assert not torch.equal(wrong[0], wrong[1]) and torch.equal(wrong[0], wrong[2])


def test_training_meets_the_very_chips_of_a_named_memory() -> None:
    net = BinaryNet(layer_shapes((784,), (), (64, 10)))
    few = _errors(net, errors="sram-0.53V", n_chips=2)
    assert few.draw(4, 1.0, net).sha256 == few.draw(0, 1.0, net).sha256
    assert few.draw(1, 1.0, net).sha256 != few.draw(0, 1.0, net).sha256
    assert few.draw(1, 0.1, net).sha256 == few.draw(1, 1.0, net).sha256  # its own rates
    told = _errors(net, errors="data-5%")
    with torch.no_grad():
        before = told.draw(3, 1.0, net).sha256
        net.binary_layers[0].weight.neg_()
        assert told.draw(3, 1.0, net).sha256 != before  # what is stored counts
    replayed = _errors(net, errors="rram-replay-1t1r")  # 300 measured cycles, however many steps
    for first in (0, 7000, 1 << 40):
        maps = [replayed.draw(first + k, 1.0, net) for k in range(16)]
        cycles = sorted(int(m.provenance["event"]) for m in maps)
        assert max(np.diff([cycles[-1] - 300, *cycles])) < 40  # cells of all ages, evenly
        assert len({m.sha256 for m in maps}) == 16
    spared = _errors(net, p01_max=0.3, p10_max=0.3, exposed="all_but_first")
    spared.put(net, 0, 1.0)
    assert net.binary_layers[0].memory is None and net.binary_layers[1].memory is not None


def _stuck_and_flipped(network: Network) -> FaultMap:
    layout = layout_of(network, (Fold(5, 36), Fold(3, 7), Fold(1, 32)))
    return fault_maps.compose(
        Iid(0.3, 0.05, 1).sample(layout, 0), Iid(0.1, 0.1, 2).sample(layout, 1)
    )


def test_a_fault_map_does_to_the_model_what_it_does_to_the_integer_network(
    images: tuple[Images, Images],
) -> None:
    model = BinaryNet(layer_shapes((784,), (), (23, 17, 10))).eval()
    network = integers(to_checkpoint(model, "random", {}, 0, {}))
    faults = _stuck_and_flipped(network)
    assert all(np.any(getattr(faults, plane)) for plane in fault_maps.PLANES)
    apply_faults(model, faults)
    faulty = fault_maps.apply(network, faults)
    for dense, layer in zip(model.binary_layers, faulty.layers, strict=True):
        read = dense(torch.eye(layer.n_inputs)).T  # the weights, one input at a time
        assert torch.equal(read, torch.from_numpy(2.0 * unpack(layer.weights, layer.n_inputs) - 1))
    apply_faults(model, None)
    assert all(dense.memory is None for dense in model.binary_layers)

    with pytest.raises(InputError, match="layer shapes"):
        apply_faults(BinaryNet(layer_shapes((784,), (), (23, 18, 10))), faults)
    with pytest.raises(InputError, match="thresholds"):
        apply_faults(model, Iid(0.1, 0.1).sample(faults.layout, 0, ["thresholds"]))
    with torch.no_grad():
        model.norm_layers[0].weight[3] = -1.0
    with pytest.raises(InputError, match="negated"):
        apply_faults(model, faults)


# ---- convolutions ----

CONVS = (ConvSize(7, pad=1, pool=2), ConvSize(9, kernel=2, stride=2, pad=1, pool=3, pool_stride=1))


def _conv_net(seed: int, input: Input = "uint8") -> BinaryNet:
    torch.manual_seed(seed)
    net = BinaryNet(layer_shapes((12, 9, 2), CONVS, (11, 4)), input)
    with torch.no_grad():
        for norm in net.norm_layers:
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
    return net


def _maps(n: int, high: int = 256) -> torch.Tensor:
    return torch.randint(0, high, (n, 216), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("input", ["uint8", "bits"])
def test_sums_of_a_convolution_are_those_of_its_stored_rows_under_faults(input: Input) -> None:
    net = _conv_net(1, input)
    pixels = _maps(30, 256 if input == "uint8" else 2)
    net.train()(encode(pixels, input, net.shapes[0]))  # moves the running statistics
    network = integers(to_checkpoint(net.eval(), "random", {}, 0, {}))
    faults = fault_maps.compose(
        Iid(0.1, 0.02, 1).sample(layout_of(network), 0),
        Iid(0.1, 0.1, 2).sample(layout_of(network), 1),
    )
    apply_faults(net, faults)
    x, u = encode(pixels, input, net.shapes[0]), pixels.numpy().astype(np.uint8)
    for i, layer in enumerate(fault_maps.apply(network, faults).layers):
        rows = golden.windows(layer.window, u) if isinstance(layer, Conv) else u[:, None, None]
        expected = golden.accumulate(layer, rows.reshape(-1, layer.n_inputs))
        expected = expected if layer.input == "uint8" else 2 * expected - layer.n_inputs
        with torch.no_grad():
            sums = net.sums(i, x)
            got = sums.movedim(1, -1).reshape(-1, layer.n_outputs).numpy()
            assert (got == expected).all()
            if layer.thresholds is not None:
                x, u = net.fired(i, sums), golden.fire(layer, u)
                assert (x.movedim(1, -1).reshape(30, -1).numpy() == 2.0 * u - 1).all()
    apply_faults(net, None)


def test_pooling_before_and_after_the_sign_gives_the_same_bits() -> None:
    net = _conv_net(2)
    x = encode(_maps(50), "uint8", net.shapes[0])
    net.train()(x)
    net.eval()
    with torch.no_grad():
        before = net(x)
        net.pools_signs = True
        assert torch.equal(net(x), before) and len(before.unique()) > 3


def test_the_gradient_of_a_convolution_passes_through_every_flip() -> None:
    net = _conv_net(3)
    layer = net.binary_layers[0]
    x = encode(_maps(5), "uint8", net.shapes[0])
    grads: list[torch.Tensor] = []
    up = torch.randn(net.sums(0, x).shape)
    for memory in (None, _flips((7, 18))):
        layer.memory, layer.weight.grad = memory, None
        torch.autograd.backward(net.sums(0, x), up)
        assert layer.weight.grad is not None
        grads.append(layer.weight.grad.clone())
    assert torch.allclose(grads[0], grads[1], rtol=1e-4)


def test_running_statistics_and_calibration_are_those_of_every_sum_that_is_compared() -> None:
    net = _conv_net(4)
    pixels = _maps(40)
    calibrate(net, [None], pixels)
    x = encode(pixels, "uint8", net.shapes[0])
    with torch.no_grad():
        for i, norm in enumerate(net.norm_layers):
            sums = net.sums(i, x)
            compared = net.compared(i, sums)
            rows = compared.movedim(1, -1).reshape(-1, net.shapes[i].n_outputs).double()
            assert norm.running_mean is not None and norm.running_var is not None
            assert torch.allclose(norm.running_mean.double(), rows.mean(0), rtol=1e-4, atol=1e-2)
            assert torch.allclose(norm.running_var.double(), rows.var(0, correction=0), rtol=1e-4)
            moved = PositiveBatchNorm(net.shapes[i].n_outputs).train()
            moved.on_running, moved.momentum = True, 1.0
            moved(compared)
            assert moved.running_mean is not None and moved.running_var is not None
            assert torch.allclose(moved.running_mean.double(), rows.mean(0), rtol=1e-4, atol=1e-2)
            assert torch.allclose(moved.running_var.double(), rows.var(0), rtol=1e-4)
            x = net.fired(i, sums)


def test_a_checkpoint_of_convolutions_survives_its_file(tmp_path: Path) -> None:
    net = _conv_net(5).eval()
    checkpoint = to_checkpoint(net, "random", {}, 0, {})
    save_checkpoint(checkpoint, tmp_path / "net.ckpt")
    again = load_checkpoint(tmp_path / "net.ckpt")
    assert again.sha256 == checkpoint.sha256 and again.shapes == net.shapes
    x = encode(_maps(20), "uint8", net.shapes[0])
    with torch.no_grad():
        assert torch.equal(build_model(again)(x), net(x))
    first = checkpoint.layers[0]
    wider = replace(first, pool=Pool(2, 1))
    with pytest.raises(InputError, match="takes 6 x 4 x 7 inputs, but 'conv0' gives 11 x 8 x 7"):
        replace(checkpoint, layers=(wider, *checkpoint.layers[1:]))
    with pytest.raises(InputError, match="does not fit a map"):
        replace(first, pool=Pool(13, 1))
    strided = replace(checkpoint.layers[1], pool=Pool(2, 2))  # of the same sizes as before
    assert strided.shape.made == checkpoint.layers[1].shape.made
    other = replace(checkpoint, layers=(first, strided, *checkpoint.layers[2:]))
    assert other.sha256 != checkpoint.sha256


# ---- recipes ----


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, "unknown key epoch; the keys are name, data"),
        ({"epochs": 0}, "epochs must be 1 or more, not 0"),
        ({"epochs": "3"}, "epochs must be of type int"),
        ({"hidden": 64}, "hidden must be a list"),
        ({"hidden": [64, 0]}, "hidden must be positive"),
        ({"margin": math.inf}, "margin must be finite, not inf"),
        ({"learning_rate": 10**400}, "learning_rate must be of type float"),
        ({"batch": 1}, "batch must be 2 or more, for batch norm, not 1"),
        ({"name": ".."}, "name must be letters"),
        ({"name": "a\n"}, "name must be letters"),
        ({"p01_max": 0.6}, r"p01_max must be 0\.\.0\.5, not 0\.6"),
        (
            {"loss": "mse"},
            "loss must be one of margin_hinge, cross_entropy, margin_cross_entropy, not 'mse'",
        ),
        ({"data": "cifar"}, "data must be one of fashion-mnist, mnist, cifar10"),
        ({"select_rates": []}, "select_rates must be rates"),
        ({"hidden": [], "convs": []}, "hidden must be positive"),
        ({"convs": [3]}, "convs must be tables of channels"),
        ({"convs": [{"kernel": 3}]}, "convs must be tables of channels"),
        ({"convs": [{"channels": 3, "padding": 1}]}, "convs must be tables of channels"),
        ({"convs": [{"channels": 3.0}]}, "convs.channels must be of type int"),
        ({"convs": [{"channels": 0}]}, "channels must be 1 or more, not 0"),
        ({"convs": [{"channels": 4, "pool_stride": 2}]}, "pool_stride needs a pool"),
    ],
)
def test_an_illegal_recipe_gets_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        from_values({**to_values(TINY), **change})
    assert "\n" not in str(error.value)


def test_recipes_survive_json_and_unknown_ones_are_named() -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert from_values(json.loads(json.dumps(to_values(recipe)))) == recipe
    with pytest.raises(InputError, match=r"fashion-sfc, .*not 'fashion'"):
        load_recipe("fashion")
    values = to_values(TINY)
    del values["loss"]
    with pytest.raises(InputError, match="loss"):
        from_values(values)


def test_a_recipe_that_does_not_fit_the_images_is_refused_before_the_first_step(
    images: tuple[Images, Images], tmp_path: Path
) -> None:
    for change, message in (
        ({"batch": 2001}, "batch must be at most 2000, the training images, not 2001"),
        ({"input": "bits"}, r"input must be 'uint8' for pixels of 0\.\.255, not 'bits'"),
    ):
        with pytest.raises(InputError, match=message):
            fit(from_values({**to_values(TINY), **change}), 5, *images, tmp_path)


# ---- the loop ----


def test_training_learns_and_logs_every_epoch(trained: Path) -> None:
    rows = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert all(set(row["validation_accuracy"]) == {"0", "0.05", "0.075"} for row in rows)
    assert max(row["validation_accuracy"]["0"] for row in rows) > 0.5  # chance is 0.1
    assert not (trained / "tiny.state").exists()


def test_the_curves_of_a_training_are_those_of_its_log(trained: Path) -> None:
    rows = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    loss, accuracy = training_figure(rows, "tiny").axes
    assert np.asarray(loss.lines[0].get_ydata()).tolist() == [row["loss"] for row in rows]
    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in accuracy.lines}
    assert drawn["5 %"] == [100 * row["validation_accuracy"]["0.05"] for row in rows]
    assert len(drawn) == len(rows[0]["validation_accuracy"])


def test_without_a_validation_split_all_images_are_trained_on_and_the_last_epoch_is_kept(
    images: tuple[Images, Images], tmp_path: Path
) -> None:
    recipe = replace(TINY, held_out=False, epochs=2)
    made = fit(recipe, 5, *images, tmp_path)
    assert made.results == {"epoch": 2, "validation_accuracy": {}}
    both = [np.concatenate(pair) for pair in zip(*(vars(i).values() for i in images), strict=True)]
    again = fit(recipe, 5, Images(*both), Images(both[0][:0], both[1][:0]), tmp_path / "again")
    assert again.sha256 == made.sha256
    assert fit(replace(recipe, held_out=True), 5, *images, tmp_path / "o").sha256 != made.sha256


def test_equal_seeds_give_equal_files_and_other_seeds_do_not(
    images: tuple[Images, Images], trained: Path, tmp_path: Path
) -> None:
    whole = (trained / "tiny.ckpt").read_bytes()
    short = replace(TINY, epochs=1)
    fit(short, 5, *images, tmp_path / "a")
    fit(short, 5, *images, tmp_path / "b")
    fit(short, 6, *images, tmp_path / "c")
    a, b, c = ((tmp_path / f / "tiny.ckpt").read_bytes() for f in "abc")
    assert a == b
    assert len({a, c, whole}) == 3


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from stoic.models.data import Images, load
    from stoic.models.train import fit
    from stoic.models.recipe import from_values
    import json

    root = Path(sys.argv[1]) if sys.argv[1] else None
    parts = [load("fashion-mnist", s, root) for s in ("train", "validation")]
    parts = [Images(p.images[:n], p.labels[:n]) for p, n in zip(parts, (2000, 500))]

    def die(row):
        if row["epoch"] == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    fit(from_values(json.loads(sys.argv[4])), 5, *parts, Path(sys.argv[2]), die)
"""


def test_a_run_killed_after_any_epoch_ends_with_the_same_file(
    images: tuple[Images, Images], trained: Path, tmp_path: Path
) -> None:
    for epoch in (1, 3, 4):  # in either half, and before the batch norms are measured
        command = [sys.executable, "-c", textwrap.dedent(_KILLED), str(ROOT or ""), str(tmp_path)]
        run = subprocess.run(
            [*command, str(epoch), json.dumps(to_values(TINY))], capture_output=True, text=True
        )
        assert run.returncode == -signal.SIGKILL, run.stderr
        assert not (tmp_path / "tiny.ckpt").exists()
    rows: list[int] = []
    fit(TINY, 5, *images, tmp_path, lambda row: rows.append(row["epoch"]))
    assert rows == [1, 2, 3, 4]
    assert (tmp_path / "tiny.ckpt").read_bytes() == (trained / "tiny.ckpt").read_bytes()


def test_the_log_has_every_epoch_of_the_state(
    images: tuple[Images, Images], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        rows = (tmp_path / "log.jsonl").read_text().splitlines()
        assert len(rows) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(TINY, 5, *images, tmp_path)


def test_a_state_of_another_run_or_half_a_state_is_not_taken_up(
    images: tuple[Images, Images], trained: Path, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(row: dict[str, object]) -> None:
        raise Stop

    with pytest.raises(Stop):
        fit(TINY, 6, *images, tmp_path, stop)
    state = tmp_path / "tiny.state"
    other = state.read_bytes()
    short = replace(TINY, epochs=1)
    fit(short, 5, *images, tmp_path / "clean")
    for content in (other, other[: len(other) // 2], b""):
        state.write_bytes(content)
        fit(short, 5, *images, tmp_path)
        clean = tmp_path / "clean" / "tiny.ckpt"
        assert (tmp_path / "tiny.ckpt").read_bytes() == clean.read_bytes()


def test_calibration_measures_the_exact_sums_it_normalises(images: tuple[Images, Images]) -> None:
    model = BinaryNet(layer_shapes((784,), (), (12, 10)))
    pixels = torch.from_numpy(images[0].images).flatten(1)
    calibrate(model, [None], pixels)
    weights = torch.where(model.binary_layers[0].weight >= 0, 1, -1)
    sums = (encode(pixels, "uint8", model.shapes[0]).long() @ weights.T).double()
    norm = model.norm_layers[0]
    assert norm.running_mean is not None and norm.running_var is not None
    assert torch.allclose(norm.running_mean.double(), sums.mean(0), rtol=1e-4, atol=0.5)
    assert torch.allclose(norm.running_var.double(), sums.var(0, correction=0), rtol=1e-4)


def test_a_checkpoint_rebuilds_the_model_it_was_made_from(images: tuple[Images, Images]) -> None:
    torch.manual_seed(3)
    model = BinaryNet(layer_shapes((784,), (), (30, 20, 10))).train()
    x = encode(torch.from_numpy(images[1].images), "uint8", model.shapes[0])
    model(x)  # moves the running statistics
    checkpoint: Checkpoint = to_checkpoint(model, "random", {"a": [1]}, 3, {})
    assert checkpoint.shapes == model.shapes
    with torch.no_grad():
        assert torch.equal(build_model(checkpoint)(x), model.eval()(x))

"""Threshold tables: fitted as brute force does, carried whole, and run as written by hand."""

import json
import shutil
from bisect import bisect
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from stoic.export.lower import lower
from stoic.export.qonnx import export_qonnx
from stoic.hw import cli
from stoic.hw.settings import own_file, setting
from stoic.models.calibration import recalibrated
from stoic.models.checkpoint import load_checkpoint
from stoic.models.data import load
from stoic.models.frozen import TorchDevice, integers
from stoic.sim import container, engine, faults, golden, tables
from stoic.sim import network as networks
from stoic.sim.errors import Iid
from stoic.sim.exact_sums import bound
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.layers import Conv, Layer, Pool
from stoic.sim.memory import layout_of
from stoic.sim.network import Network, select, with_tables
from stoic.sim.operating_points import parse
from stoic.sim.protection import Known, Thresholds, fitting
from stoic.sim.protection.renorm import Tally, rescaled
from stoic.sim.random_network import random_conv_network, random_ensemble, random_network
from stoic.sim.tables import Table

ZOO = Path(__file__).parent.parent / "models" / "zoo"
SMALL = random_network((9, 4, 2), "uint8", np.random.default_rng(0))
seeds = st.integers(0, 2**32 - 1)


def networks_of(seed: int) -> list[Network]:
    rng = np.random.default_rng(seed)
    pools: list[Pool | None] = [None, Pool(2, 2), Pool(3, 1)]
    conv = random_conv_network(
        (6, 7, 2), ((3, 3, 1, 1, pools[seed % 3]), (4, 2, 2, 0, None)), (6, 3), "uint8", rng
    )
    thermometer = random_conv_network(
        (5, 5, 1), ((4, 3, 1, 1, pools[seed % 2]),), (5, 3), "bits", rng, thermometer=(30, 90, 200)
    )
    dense = random_network((12, 9, 8, 3), "uint8", rng)
    pair = random_ensemble((random_network((10, 7, 3), "bits", rng),) * 2)
    return [conv, thermometer, dense, pair]


def images_of(network: Network, n: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, network.image_max + 1, (n, network.n_inputs), np.uint8)


def first_of(table: Table) -> NDArray[np.int32]:
    """The thresholds of the first layer."""
    assert table.thresholds[0] is not None
    return table.thresholds[0]


# ---- statistics ----


def is_at_most(c: Fraction, b: Fraction, v: Fraction) -> bool:
    """c <= b sqrt(v)."""
    if b >= 0:
        return c <= 0 or c * c <= b * b * v
    return c <= 0 and c * c >= b * b * v


def by_hand(layer: Layer, clean: list[int], read: list[int], theta: int) -> int:
    """The threshold of one neuron, from all its sums."""
    low, high = layer.threshold_range
    if theta in (low, high):
        return theta

    def moments(values: list[int]) -> tuple[Fraction, Fraction]:
        mean = Fraction(sum(values), len(values))
        return mean, sum(((v - mean) ** 2 for v in values), Fraction(0)) / len(values)

    (mu, var), (mu_, var_) = moments(clean), moments(read)
    distance = theta - Fraction(1, 2) - mu
    ratio = var_ / var if var else Fraction(1)
    inner = range(low + 1, high)  # the last of them that is at most T' + 1
    first_above = bisect(inner, 0, key=lambda t: not is_at_most(t - 1 - mu_, distance, ratio))
    return inner[max(0, first_above - 1)]


@settings(max_examples=12, deadline=None)
@given(seeds, st.integers(1, 3), st.sampled_from([(0.1, 0.1), (0.02, 0.4), (0.0, 0.0)]))
def test_statistics_are_those_of_every_sum_by_brute_force(
    seed: int, chips: int, rates: tuple[float, float]
) -> None:
    for network in networks_of(seed):
        base, images = layout_of(network), images_of(network, 6, seed)
        known = Known(*rates, images, seed=seed)
        fitted = Thresholds("statistics", chips).fit(network, base, known)
        assert fitted.tables is not None
        chips_seen = [faults.apply(network, known.chip(base, c)) for c in range(chips)]
        number = 0
        for chain in network.chains:
            x = golden.encode(network, images)
            seen = [x] * chips
            for layer in chain:
                table, number = fitted.tables[number], number + 1
                if layer.thresholds is None:
                    assert table == ()
                    continue

                def met(x: NDArray[np.uint8], layer: Layer = layer) -> NDArray[np.uint8]:
                    full = golden.windows(layer.window, x) if isinstance(layer, Conv) else x
                    return full.reshape(-1, layer.n_inputs)

                own = [chip.layers[number - 1] for chip in chips_seen]
                clean = golden.accumulate(layer, met(x))
                read = np.concatenate(
                    [golden.accumulate(la, met(s)) for la, s in zip(own, seen, strict=True)]
                )
                for j, theta in enumerate(layer.thresholds.tolist()):
                    wanted = by_hand(layer, clean[:, j].tolist(), read[:, j].tolist(), theta)
                    assert table[j] == wanted
                if rates == (0.0, 0.0):
                    assert table == tuple(layer.thresholds.tolist())
                limits = np.array(table, np.int32)
                seen = [
                    golden.fire(replace(la, thresholds=limits), s)
                    for la, s in zip(own, seen, strict=True)
                ]
                x = golden.fire(layer, x)


def test_tallies_of_the_greatest_sums_do_not_overflow() -> None:
    layer = random_network((8_000_000, 1, 2), "uint8", np.random.default_rng(0)).layers[0]
    largest, tally = bound(layer), Tally.empty(layer)
    for value in (largest, -largest):
        tally.add(np.full((5, 1), value, np.int32), largest)
    assert (tally.n, tally.total[0], tally.squares[0]) == (10, 0, 10 * largest**2)
    assert tally.spread[0] == 100 * largest**2
    assert (rescaled(layer, tally, tally) == layer.thresholds).all()


def test_a_table_of_one_chip_is_better_on_it_than_one_of_all_chips() -> None:
    network = random_network((256, 300, 10), "bits", np.random.default_rng(9))
    images = (np.random.default_rng(10).random((600, 256)) < 0.8).astype(np.uint8)
    point = parse("iid-p01=0.0-p10=0.1")
    chip = point.model(3).sample(layout_of(network), 0)
    found = [
        fitting.of_point(network, point, images[:300]),
        fitting.of_chip(network, "chip0", chip, images[:300]),
    ]
    wanted, agreement = golden.fire(network.layers[0], images[300:]), []
    for one in (network, *(select(with_tables(network, found), t.name) for t in found)):
        fired = golden.fire(faults.apply(one, chip).layers[0], images[300:])
        agreement.append(float((fired == wanted).mean()))
    assert agreement[0] + 0.05 < agreement[1] < agreement[2] - 0.005
    with pytest.raises(InputError, match="knows rates, not a chip"):
        fitting.of_chip(network, "chip0", chip, images, "closed")
    with pytest.raises(InputError, match="statistics needs images"):
        fitting.of_point(network, point, None)


# ---- selecting ----


def test_a_selected_table_is_the_network_with_these_thresholds_in_every_world(
    tmp_path: Path,
) -> None:
    """All test images under a fault map; a table with one threshold off by one is caught."""
    path = tmp_path / "tfc.stoic"
    shutil.copy(ZOO / "fashion-tfc.ckpt", path.with_suffix(".ckpt"))
    export_qonnx(load_checkpoint(path.with_suffix(".ckpt")), path.with_suffix(".onnx"))
    network = lower(path.with_suffix(".onnx"))
    train, test = load("fashion-mnist", "train").images, load("fashion-mnist", "test").images
    point = parse("iid-10%")
    table = fitting.of_point(network, point, train[:500])
    first, second, _ = table.thresholds
    assert second is not None
    wrong = second.copy()
    wrong[5] += 1
    mutant = replace(table, name="mutant", thresholds=(first, wrong, None))
    networks.save(with_tables(network, (table, mutant)), path)

    carrying = networks.load(path)
    chosen = select(carrying, "iid-10%")
    layers = [
        replace(layer, thresholds=values)
        for layer, values in zip(network.layers, table.thresholds, strict=True)
    ]
    hand = replace(network, layers=tuple(layers))
    assert chosen.sha256 == hand.sha256 and chosen.name == "fashion-tfc@iid-10%"
    assert not chosen.tables and len({network.sha256, carrying.sha256, chosen.sha256}) == 3
    at = setting(path, chosen)  # the files beside it have other thresholds
    assert own_file("torch", at) is None and own_file("onnx", at) is None

    chip = point.model(1).sample(layout_of(network), 0)
    wanted = golden.scores(faults.apply(hand, chip), test)
    assert len(test) == 10_000
    for name, is_same in (("iid-10%", True), ("mutant", False)):
        one = select(carrying, name)
        device = TorchDevice()
        device.load(one)
        device.inject(chip)
        got = [
            golden.scores(faults.apply(one, chip), test),
            engine.Engine(one).with_faults(chip).scores(test),
            device.infer(test),
        ]
        assert [(scores == wanted).all() for scores in got] == [is_same] * 3
    own = engine.Engine(carrying).with_faults(chip).scores(test)  # unselected tables do nothing
    assert (own == engine.Engine(network).with_faults(chip).scores(test)).all()


# ---- files ----


def a_table(name: str = "iid-10%", shift: int = 1) -> Table:
    values = [None if la.thresholds is None else la.thresholds + shift for la in SMALL.layers]
    return Table(name, tuple(values), {"condition": name, "seeds": [1, 2]})


def test_tables_come_back_from_files_and_only_they_change_the_hash(tmp_path: Path) -> None:
    assert SMALL.sha256.startswith("309ca16c3bff48e0")  # as in format version 2
    two = with_tables(SMALL, (a_table(), a_table("chip-0", -2)))
    networks.save(two, tmp_path / "two.stoic")
    back = networks.load(tmp_path / "two.stoic")
    assert back.sha256 == two.sha256 and replace(back, tables=()).sha256 == SMALL.sha256
    for was, now in zip(two.tables, back.tables, strict=True):
        assert (was.name, was.provenance) == (now.name, now.provenance)
        assert now.thresholds[1] is None and (first_of(was) == first_of(now)).all()
        assert select(back, was.name).sha256 == select(two, was.name).sha256
    hashes = {with_tables(SMALL, (a_table(*a),)).sha256 for a in (("a", 1), ("b", 1), ("a", 2))}
    assert len({*hashes, SMALL.sha256, two.sha256}) == 5
    again = with_tables(two, (a_table(shift=3),))
    assert [t.name for t in again.tables] == ["iid-10%", "chip-0"]
    chosen = select(again, "iid-10%").layers[0].thresholds
    assert chosen is not None and (chosen == first_of(a_table(shift=3))).all()
    with pytest.raises(InputError, match=r"no table 'x'; its tables are iid-10%, chip-0"):
        select(two, "x")
    with pytest.raises(InputError, match="no table 'x'; it has none"):
        select(SMALL, "x")


def test_tables_of_another_network_are_refused() -> None:
    first, none = a_table().thresholds
    assert first is not None
    bad: list[tuple[tuple[Any, ...], str]] = [
        ((first,), "is of 1 layers, not 2"),
        ((None, none), "no thresholds of 'L0'"),
        ((first, first[:2]), "a layer of scores has no thresholds of 'L1'"),
        ((first[:3], none), r"int32 \(4,\)"),
        ((first.astype(np.int64), none), "int32"),
        ((first + 9 * 255 + 9000, none), r"must lie in -2295\.\.2296"),
    ]
    for thresholds, message in bad:
        with pytest.raises(InputError, match=f"table 't': .*{message}|table 't' {message}"):
            with_tables(SMALL, (Table("t", thresholds),))
    with pytest.raises(InputError, match="names of tables must differ"):
        replace(SMALL, tables=(a_table(), a_table()))
    for name in ("", "a b", "\n", "x" * 65, "ü", 3):
        with pytest.raises(InputError, match="name of a table"):
            Table(name, (first, none))  # type: ignore[arg-type]


Arrays = dict[str, NDArray[Any]]
KEY = "table.0.0.thresholds"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda h, a: h.pop("tables"), "tables"),
        (lambda h, a: h["tables"][0].pop("provenance"), "a name and its provenance"),
        (lambda h, a: h["tables"][0].update(scale=2), "a name and its provenance"),
        (lambda h, a: h["tables"][0].update(provenance=[]), "must be a JSON object"),
        (lambda h, a: h["tables"][0].update(name="a b"), "name of a table"),
        (lambda h, a: h["tables"].append(h["tables"][0]), KEY.replace("0", "1", 1)),
        (lambda h, a: h.update(tables=[]), "are unknown to this kit"),
        (lambda h, a: a.update(extra=np.zeros(1)), "are unknown to this kit"),
        (lambda h, a: a.pop(KEY), KEY),
        (lambda h, a: a.update({KEY: a[KEY][:-1]}), "int32"),
        (lambda h, a: a.update({KEY: a[KEY].astype(np.float32)}), "int32"),
        (lambda h, a: a.update({KEY: a[KEY] + 100_000}), "must lie in"),
        (lambda h, a: a.update({KEY: a[KEY] - 1}), "hash to"),
        (lambda h, a: h["tables"][0].update(name="other"), "hash to"),
    ],
)
def test_forged_tables_are_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any], Arrays], object], message: str
) -> None:
    """Contents whose own hash is right, so that only the reader of networks can refuse them."""
    path = tmp_path / "net.stoic"
    networks.save(with_tables(SMALL, (a_table(),)), path)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    stamp = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    header, arrays = json.loads(stamp["header"]), load_file(path)
    edit(header, arrays)
    stamp["header"] = json.dumps(header)
    stamp["content_sha256"] = container.content_sha256(stamp["header"], arrays)
    save_file(arrays, path, metadata=stamp)
    with pytest.raises(ArtefactError, match=message):
        networks.load(path)


def test_files_without_tables_of_version_2_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "old.stoic"
    container.write(path, networks.FORMAT, 2, {}, {})
    with pytest.raises(ArtefactError, match="version 2, .*; export or import the model again"):
        networks.load(path)


# ---- the command ----


def test_the_command_adds_tables_that_infer_and_agree_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> tuple[int, Any, str]:
        capfd.readouterr()
        status = cli.run([*map(str, arguments), "--json"])
        out, err = capfd.readouterr()
        return status, json.loads(out) if out else None, err

    net, more, x = tmp_path / "net.stoic", tmp_path / "more.stoic", tmp_path / "x.npy"
    network = random_network((30, 40, 20, 5), "uint8", np.random.default_rng(1))
    networks.save(network, net)
    np.save(x, images_of(network, 200, 4))
    chip = Iid(0.05, 0.05, seed=1).sample(layout_of(network), 2)
    faults.save(chip, tmp_path / "chip2.faults")
    fit = ("tables", net, "--input", x, "--n", 100, "-o", more)
    status, made, err = run(
        *fit, "--errors", "iid-5%", "--errors", "iid-10%", "--faults", tmp_path / "chip2.faults"
    )
    assert (status, err) == (0, "")
    assert made["added"] == ["iid-5%", "iid-10%", "chip2"] and made["replaced"] == []
    found = networks.load(more)
    images = np.load(x)
    expected = fitting.of_point(network, parse("iid-10%"), images[:100], images_name="x.npy")
    assert found.tables[1].provenance == expected.provenance
    assert (first_of(found.tables[1]) == first_of(expected)).all()
    assert str(tmp_path) not in json.dumps([t.provenance for t in found.tables])
    own = fitting.of_chip(network, "chip2", chip, images[:100])
    assert (first_of(found.tables[2]) == first_of(own)).all()

    _, shown, _ = run("show", more)
    assert [t["name"] for t in shown["tables"]] == made["added"]
    assert shown["tables"][2]["condition"] == f"chip {chip.sha256[:12]}"
    scores = tmp_path / "scores.npy"
    with_map = ("--faults", tmp_path / "chip2.faults", "--input", x)
    for name in ("iid-10%", "chip2"):
        status, told, _ = run("infer", more, "--table", name, *with_map, "-o", scores)
        one = select(found, name)
        assert status == 0 and told["network_sha256"] == one.sha256
        assert (np.load(scores) == golden.scores(faults.apply(one, chip), images)).all()
    table = ("--table", "chip2")
    status, agreed, _ = run("agree", more, *table, "--devices", "engine,torch,onnx", *with_map)
    assert status == 0 and agreed["n_mismatches"] == 0
    assert agreed["n_mutants_caught"] == agreed["n_mutants"] == 9

    status, again, _ = run(*("tables", more, "--by", "closed", "--errors", "iid-5%", "-o", more))
    assert status == 0 and again["replaced"] == ["iid-5%"]
    assert [t["by"] for t in again["tables"]] == ["closed", "statistics", "statistics"]

    refused = [
        (("infer", more, "--table", "x", "--input", x, "-o", scores), "iid-5%, iid-10%, chip2"),
        (("agree", net, "--table", "x", "--input", x), "has no table 'x'; it has none"),
        ((*fit, "--by", "luck", "--errors", "iid-5%"), "one of closed, data, statistics"),
        ((*fit, "--errors", "iid-5%", "--errors", "iid-5%"), "would have one name"),
        ((*fit, "--by", "closed", *with_map[:2]), "knows rates, not a chip"),
        (fit, "give --errors NAME or --faults"),
        (("tables", net, "--errors", "iid-5%", "-o", more), "give either --data"),
    ]
    for command, message in refused:
        status, _, err = run(*command)
        assert (status, err.count("\n")) == (2, 1) and message in err


def test_the_checkpoint_gives_the_tables_of_its_batch_norms(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        status = cli.run([*map(str, arguments), "--json"])
        return status, capfd.readouterr().err

    net, more, x = tmp_path / "net.stoic", tmp_path / "more.stoic", tmp_path / "x.npy"
    checkpoint = load_checkpoint(ZOO / "fashion-tfc.ckpt")
    network = integers(checkpoint)
    networks.save(network, net)
    images = images_of(network, 64, 4)
    np.save(x, images)
    fit = ("tables", net, "--errors", "iid-10%", "--input", x, "--n", 64, "--chips", 2, "-o", more)
    assert run(*fit, "--checkpoint", ZOO / "fashion-tfc.ckpt") == (0, "")
    drawn = Iid(0.1, 0.1, fitting.SEED)
    maps = [drawn.sample(layout_of(network), chip, event=chip) for chip in range(2)]
    (found,) = networks.load(more).tables
    expected = recalibrated(checkpoint, maps, images)
    for values, layer in zip(found.thresholds, expected.layers, strict=True):
        assert (values is None) == (layer.thresholds is None)
        assert values is None or (values == layer.thresholds).all()
    assert found.provenance["by"] == "batch_norms" and found.provenance["chips"] == 2
    assert expected.sha256 != network.sha256
    status, err = run(*fit, "--checkpoint", ZOO / "fashion-sfc.ckpt")
    assert status == 2 and "is not the checkpoint of network 'fashion-tfc'" in err


def test_rows_of_tables_tell_how_far_thresholds_moved() -> None:
    told = tables.row(a_table(shift=-3), SMALL.layers)
    assert (told["n_moved"], told["mean_move"], told["condition"]) == (4, 3.0, "iid-10%")

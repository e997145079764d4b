"""What the benchmark sets the kit beside: torch in the kit's order of bits, PyTorchFI, MRFI."""

import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.models.bench import campaign, clock, contenders, subjects, timed_campaign, unbiased
from stoic.models.bench.contenders import Contender
from stoic.models.bench.kit import Kit
from stoic.models.bench.peers_pytorchfi import LOCATION, drawn_locations
from stoic.models.bench.peers_torch import flips_of, rows_of_model, weights_of
from stoic.models.bench.peers_tuned import KERNELS
from stoic.models.bench.same_flips import compare
from stoic.models.bench.subjects import Subject
from stoic.sim import faults, golden
from stoic.sim.bits import unpack
from stoic.sim.errors import MODELS, Iid
from stoic.sim.exceptions import StoicError
from stoic.sim.faults import FaultMap
from stoic.sim.layers import Conv, Input, Pool
from stoic.sim.memory import Kind, Layout, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_network
from stoic.sim.report import readme_tables

BER = 0.1
TORCHES = (
    "mlp_trial_vs_torch",
    "mlp_trial_vs_torch_tuned",
    "cnn_trial_vs_torch",
    "cnn_trial_vs_torch_by_hand",
    "cnn_trial_vs_torch_naive",
)
ROOT = Path(__file__).parent.parent
INSTALLED = ROOT / "build" / "peers"  # where make bench-campaign puts them
Rows = list[NDArray[np.uint8]]


def subject(network: Network, n_images: int, rng: np.random.Generator) -> Subject:
    high = network.image_max + 1
    images = rng.integers(0, high, (n_images, network.n_inputs), dtype=np.uint8)
    labels = rng.integers(0, network.n_classes, n_images).astype(np.uint8)
    return Subject(network.name, network, images, labels)


def small_mlp(seed: int = 1, n_images: int = 30) -> Subject:
    rng = np.random.default_rng(seed)
    return subject(replace(random_network((70, 65, 40, 5), "bits", rng), name="mlp"), n_images, rng)


def small_cnn(
    kind: Input = "uint8", stride: int = 1, pads: tuple[int, int] = (1, 1), seed: int = 1
) -> Subject:
    """Maps of other heights than widths, and a second layer with many channels and odd sizes."""
    rng = np.random.default_rng(seed)
    convs = ((9, 3, stride, pads[0], Pool(2, 2)), (5, 2, 1, pads[1], Pool(2, 1)))
    network = random_conv_network((16, 13, 2), convs, (33, 4), kind, rng)
    return subject(replace(network, name="cnn"), 20, rng)


def every_torch(subject: Subject) -> list[Contender]:
    formats = [torch.contiguous_format]
    if isinstance(subject.network.layers[0], Conv):
        formats.append(torch.channels_last)
    return [
        *(contenders.naive(subject, BER, format) for format in formats),
        *(contenders.tuned(subject, BER, kernel) for kernel in KERNELS),
    ]


def n_differing(network: Network, map_: FaultMap, peer: Contender) -> int:
    wanted = golden.scores(faults.apply(network, map_), peer.subject.images)
    return int((wanted != peer.scores()).sum())


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(("bits", "uint8")),
    st.integers(1, 2),
    st.tuples(st.integers(0, 2), st.integers(0, 1)),
    st.integers(0, 2**16),
)
def test_torch_and_golden_agree_under_torchs_own_flips(
    kind: Input, stride: int, pads: tuple[int, int], seed: int
) -> None:
    torch.manual_seed(seed)
    for given_subject in (small_cnn(kind, stride, pads, seed), small_mlp(seed)):
        network = given_subject.network
        layout = layout_of(network)
        for peer in every_torch(given_subject):
            peer.batch = 7
            assert n_differing(network, faults.no_faults(layout), peer) == 0
            peer.inject()
            map_ = flips_of(peer.rows(), network, layout, peer.name)
            assert 0.05 < map_.n_faults / network.n_weight_bits < 0.15
            assert n_differing(network, map_, peer) == 0
            first = map_.sha256
            peer.inject()  # faults do not add up: the next chip is another, at the same rate
            again = flips_of(peer.rows(), network, layout, peer.name)
            assert again.sha256 != first
            assert 0.05 < again.n_faults / network.n_weight_bits < 0.15


def one_flip_less(rows: Rows, clean: Rows) -> Rows:
    found = [bits.copy() for bits in rows]
    neuron, lane = np.argwhere(found[-1] != clean[-1])[0]
    found[-1][neuron, lane] ^= 1
    return found


def lanes_turned_round(rows: Rows, clean: Rows) -> Rows:
    return [bits[:, ::-1] ^ c[:, ::-1] ^ c for bits, c in zip(rows, clean, strict=True)]


@pytest.mark.parametrize("mutate", [one_flip_less, lanes_turned_round])
def test_a_peer_is_compared_score_for_score(mutate: Any) -> None:
    torch.manual_seed(1)
    shown = small_mlp()
    kit = Kit(shown, Iid(BER, BER), "auto")
    peer = contenders.naive(shown, BER, torch.contiguous_format)
    peer.inject()
    rows, scores = peer.rows(), peer.scores()
    found = compare(kit, peer.name, BER, rows, scores)
    assert (found.n_mismatches, found.n_scores) == (0, 150)
    assert found.kit_accuracy == found.peer_accuracy
    clean = [unpack(layer.weights, layer.n_inputs) for layer in shown.network.layers]
    with pytest.raises(StoicError, match=r"naive and the engine differ in \d+ of 150 scores"):
        compare(kit, peer.name, BER, mutate(rows, clean), scores)


def test_the_kit_draws_a_new_chip_for_every_trial() -> None:
    shown = small_mlp()
    kit = Kit(shown, Iid(BER, BER, seed=3), "auto")
    for chip in range(3):
        network = faults.apply(shown.network, Iid(BER, BER, seed=3).sample(kit.layout, chip))
        given_classes = golden.classify(golden.scores(network, shown.images))
        assert kit.trial() == (given_classes == shown.labels).sum()


def test_pytorchfi_gets_every_weight_once_at_rate_1() -> None:
    weights = [torch.ones(3, 2, 1, 4), torch.ones(5, 2)]
    found = drawn_locations(weights, 1.0)
    keys = list(zip(*(found[name] for name in ("layer_num", *LOCATION)), strict=True))
    assert len(keys) == len(set(keys)) == 3 * 2 * 4 + 10
    assert (0, 2, 1, 0, 3) in keys and (1, 4, 1, None, None) in keys
    assert drawn_locations(weights, 0.0)["k"] == []


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The peers, from where the Makefile puts them, or the test is skipped."""
    monkeypatch.syspath_prepend(str(INSTALLED))
    monkeypatch.setattr(sys, "path", [*sys.path[1:], sys.path[0]])
    for package in ("pytorchfi", "mrfi"):
        pytest.importorskip(package, reason="make bench-campaign installs the peers")
    yield


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("make", [contenders.pytorchfi, contenders.mrfi])
@pytest.mark.parametrize("shown", [small_mlp(), small_cnn()], ids=["mlp", "cnn"])
def test_fault_injectors_give_goldens_scores_under_their_own_flips(
    make: Any, shown: Subject
) -> None:
    torch.manual_seed(1)
    peer: Contender = make(shown, 0.05)
    layout = layout_of(shown.network)
    seen = set()
    for _ in range(2):
        peer.inject()
        map_ = flips_of(peer.rows(), shown.network, layout, peer.name)
        assert 0.03 < map_.n_faults / shown.network.n_weight_bits < 0.07
        assert n_differing(shown.network, map_, peer) == 0  # in several batches: a chip stays
        seen.add(map_.sha256)
    assert len(seen) == 2


@pytest.mark.usefixtures("installed")
def test_mrfi_flips_less_than_it_is_asked_to() -> None:
    found = {rate.nominal: rate for rate in unbiased.of_mrfi(small_mlp().network, 1)}
    assert found[0.1].real is None and "0.1" in found[0.1].refusal
    assert (found[0.099].z or 0.0) < -4


def test_trained_in_closed_form_and_in_the_kits_order() -> None:
    rng = np.random.default_rng(2)
    prototypes = rng.integers(0, 256, (4, 16 * 13 * 2))
    labels = rng.integers(0, 4, 400).astype(np.uint8)
    noise = rng.integers(-60, 61, (400, 16 * 13 * 2))
    images = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
    network = subjects.fitted(small_cnn().network, images[:300], labels[:300])
    given_classes = golden.classify(golden.scores(network, images[300:]))
    assert (given_classes == labels[300:]).mean() > 0.6  # a guess: 0.25
    for layer in network.layers[:-1]:
        assert layer.thresholds is not None
        assert not np.isin(layer.thresholds, layer.threshold_range).all()


def test_jobs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_LEAST_S", 0.0)
    order: list[str] = []
    took = clock.interleave({name: partial(order.append, name) for name in "ab"}, 3)
    assert "".join(order) == "ababab"
    assert all(len(t.cpu_s) == len(t.process_s) == len(t.wall_s) == 3 for t in took.values())
    assert clock.other_threads([clock.Timing((1.0,), (4.0,), (1.0,))]) == 0.75


@dataclass(frozen=True)
class Liar(Iid):
    """Says 2 % more than it draws."""

    def rates(self) -> tuple[float, float]:
        return self.p01 * 1.02, self.p10

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        **rest: Any,
    ) -> FaultMap:
        return Iid(self.p01, self.p10, self.seed).sample(layout, chip, where, **rest)


def test_a_biased_model_is_seen() -> None:
    network = random_network((784, 256, 10), "bits", np.random.default_rng(1))
    p01, p10 = unbiased.scores(Liar(0.05, 0.02, 1), network, 32)
    assert (p01.direction, p10.direction) == ("p01", "p10")
    assert abs(p01.z) > 4 > abs(p10.z)
    assert unbiased.scores(Iid(1e-9, 0.0), network, 32) == []  # too few to say anything


def test_every_model_is_counted_or_left_out_with_a_reason() -> None:
    found = unbiased.table(1, n_chips=8)
    assert {s.errors["model"] for s in found.scores} | set(found.left_out) == set(MODELS)
    assert set(found.left_out) <= {"bram-replay", "rram-replay", "dram-retention", "sram"}
    assert found.n_pairs >= 50


def test_the_campaign_is_the_same_on_two_processes_and_ends_early(tmp_path: Path) -> None:
    shown = small_mlp(n_images=60)
    found = timed_campaign.run(shown, tmp_path, (0.001, 0.2), 12, 1, "auto")
    assert found.one.n_units == found.two.n_units == 24
    assert found.one.accuracy == found.two.accuracy
    assert found.half_width == max(found.one.half_widths)
    assert found.stopped.n_units < 36  # the steady point needs fewer chips than the other
    assert max(found.stopped.half_widths) <= found.half_width or found.stopped.n_units >= 24
    with pytest.raises(StoicError, match="0 of 24 rows were computed now"):
        timed_campaign.run(shown, tmp_path, (0.001, 0.2), 12, 1, "auto")


def test_the_benchmark_writes_its_keys_and_does_without_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)  # other tests want theirs

    def absent(name: str) -> Any:
        if name.partition(".")[0] in ("pytorchfi", "mrfi"):
            raise ImportError(f"No module named {name!r}")
        return importlib.import_module(name)

    for module in ("peers_pytorchfi", "peers_mrfi"):
        monkeypatch.setattr(f"stoic.models.bench.{module}.import_module", absent)
    monkeypatch.setattr(campaign, "subjects", lambda plan, root: (small_mlp(), small_cnn()))
    monkeypatch.setattr(clock, "_LEAST_S", 0.0)
    monkeypatch.setattr(campaign, "RATES", (0.01, 0.1))
    monkeypatch.setattr(campaign, "N_UNBIASED", 3)
    path = tmp_path / "new" / "r.json"
    arguments = ["--rounds", "1", "--chips", "2", "--json", str(path)]
    assert campaign.main(arguments) == 0
    said = capsys.readouterr()
    assert said.err.count("is not measured (No module named") == 2
    found = json.loads(path.read_text())
    keys = {
        *TORCHES,
        "popcount_limit_fraction",
        "inject_vs_bernoulli",
        "inject_vs_pytorchfi",
        "inject_vs_mrfi",
        "processes2_speedup",
        "campaign_minutes",
        "campaign_stop_rule_minutes",
        "command",
        "kit_version",
        "seeds",
        "path",
    }
    assert keys <= set(found)
    assert found["inject_vs_pytorchfi"] is None and found["scores_different"] == 0
    assert found["scores_compared"] == 2 * 30 * 5 + 3 * 20 * 4
    took = found["trial_s"]
    fastest = {
        network: min(s for who, s in took.items() if who.startswith(f"{network}.torch"))
        for network in ("mlp", "cnn")
    }
    assert {key: found[key] for key in TORCHES} == {
        "mlp_trial_vs_torch": took["mlp.torch, naive"] / took["mlp.kit"],
        "mlp_trial_vs_torch_tuned": fastest["mlp"] / took["mlp.kit"],
        "cnn_trial_vs_torch": took["cnn.torch, channels_last"] / took["cnn.kit"],
        "cnn_trial_vs_torch_by_hand": fastest["cnn"] / took["cnn.kit"],
        "cnn_trial_vs_torch_naive": took["cnn.torch, naive"] / took["cnn.kit"],
    }
    told_apart = found | {key: 1000 + k for k, key in enumerate(TORCHES)}
    path.with_name("bench_campaign.json").write_text(json.dumps(told_apart))
    told = campaign.table(told_apart)
    in_readme = "\n".join(readme_tables.beside(path.parent))
    for k, key in enumerate(TORCHES):
        assert f"{1000 + k:,}.0 x" in told
        assert key == "cnn_trial_vs_torch_naive" or f"~{1000 + k:,} x |" in in_readme
        assert f"`{key}`" in (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
    assert not list(path.parent.glob("bench-campaign-*"))


def test_a_wrong_engine_ends_the_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    monkeypatch.setattr(campaign, "subjects", lambda plan, root: (small_mlp(), small_cnn()))
    right = Kit.scores
    monkeypatch.setattr(Kit, "scores", lambda self, map_: right(self, map_) + 2)
    assert campaign.main(["--rounds", "1"]) == 2
    assert "torch, naive and the engine differ in 150 of 150" in capsys.readouterr().err


def test_rows_are_read_back_from_wrapped_models() -> None:
    shown = small_cnn()
    peer = contenders.naive(shown, BER, torch.channels_last)
    wrapped = torch.nn.ModuleDict({"inner": peer.forward()})  # type: ignore[dict-item]
    assert len(weights_of(wrapped)) == len(shown.network.layers)
    for layer, bits in zip(
        shown.network.layers, rows_of_model(wrapped, shown.network), strict=True
    ):
        assert (bits == unpack(layer.weights, layer.n_inputs)).all()

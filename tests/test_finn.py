"""FINN: the job folder, its packing byte for byte, and the driver of a deployed overlay."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from stoic.export.finn import JOB, write_job
from stoic.export.finn_fold import BOARDS, fold
from stoic.export.finn_images import check_fold, memblock, runtime_text, runtime_words
from stoic.export.lower import lower_model
from stoic.hw.cli import run
from stoic.hw.overlay import OverlayDevice, pack, unpack_scores
from stoic.sim import faults as fault_maps
from stoic.sim import golden
from stoic.sim import network as networks
from stoic.sim.bits import pack as pack_words
from stoic.sim.engine import scores
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, BoardError, InputError
from stoic.sim.layers import Dense, Pool
from stoic.sim.memory import Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_network

RECORDED = json.loads((Path(__file__).parent / "recordings" / "finn_packing.json").read_text())


def recorded(unit: dict[str, Any]) -> tuple[Dense, Fold]:
    bits = np.array([[int(bit) for bit in row] for row in unit["rows"]], np.uint8)
    clean = np.zeros(len(bits), np.bool_)
    layer = Dense("unit", unit["n_inputs"], pack_words(bits), None, clean)
    return layer, Fold(unit["pe"], unit["simd"])


def test_weights_are_packed_as_finn_packed_them() -> None:
    widths = set()
    for unit in RECORDED["units"]:
        layer, folding = recorded(unit)
        assert memblock(layer, folding) == unit["memblock"]
        assert runtime_text(layer, folding) == unit["runtime"]
        widths.add(folding.pe * folding.simd)
        if layer.n_outputs > folding.pe > 1:  # the order of rows shows
            rows = [unit["rows"][i] for i in np.argsort(np.arange(layer.n_outputs) % folding.pe)]
            other, _ = recorded({**unit, "rows": rows})
            assert memblock(other, folding) != unit["memblock"]
            assert runtime_text(other, folding) != unit["runtime"]
    assert {1, 8, 64, 256, 1024} <= widths


@pytest.mark.parametrize(("pe", "simd"), [(3, 8), (2, 5), (64, 8)])
def test_foldings_that_finn_refuses_are_refused(pe: int, simd: int) -> None:
    layer = random_network((64, 32, 10), "bits", np.random.default_rng(0)).layers[0]
    with pytest.raises(InputError, match="must divide 32 rows"):
        check_fold(layer, Fold(pe, simd))


def test_the_planner_spends_a_board_and_no_more() -> None:
    network = random_network((784, 256, 256, 10), "uint8", np.random.default_rng(0))
    cycles = []
    for board in ("Pynq-Z2", "ZCU104"):
        folds = fold(network, board)
        lanes = sum(
            f.pe * f.simd * (8 if la.input == "uint8" else 1)
            for la, f in zip(network.layers, folds, strict=True)
        )
        assert BOARDS[board] / 4 < lanes <= BOARDS[board]
        for layer, folding in zip(network.layers, folds, strict=True):
            check_fold(layer, folding)
        cycles.append(
            max(
                la.n_inputs * la.n_outputs // (f.pe * f.simd)
                for la, f in zip(network.layers, folds, strict=True)
            )
        )
    assert cycles[1] < cycles[0] / 2


def a_network(kind: Any = "bits") -> Network:
    return random_network((64, 32, 16, 10), kind, np.random.default_rng(0))


def test_a_job_holds_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    convs = ((8, 3, 1, 0, Pool(2, 2)), (8, 2, 1, 0, None))
    for network in (a_network(), random_conv_network((8, 8, 2), convs, (10,), "uint8", rng)):
        path, folder = tmp_path / "net.stoic", tmp_path / network.layers[0].name
        networks.save(network, path)
        x = rng.integers(0, network.image_max + 1, (40, network.n_inputs)).astype(np.uint8)
        np.save(tmp_path / "x.npy", x)
        given = ["finn", str(path), "-o", str(folder), "--input", str(tmp_path / "x.npy")]
        assert run(given) == 0
        model = onnx.load(folder / "model.onnx")
        assert lower_model(model, "n").network.sha256 == network.sha256
        assert len(np.load(folder / "input.npy")) == 40
        assert (np.load(folder / "expected_output.npy") == golden.scores(network, x)).all()
        assert len(np.load(folder / "verify_input.npy")) == 20
        config = json.loads((folder / "dataflow_build_config.json").read_text())
        assert config["minimize_bit_width"] is False and config["board"] == "Pynq-Z2"
        job = json.loads((folder / JOB).read_text())
        assert set(job["files"]) >= {"model.onnx", "folding_config.json", "input.npy"}
        folding = json.loads((folder / "folding_config.json").read_text())
        assert [u["unit"] for u in job["units"]] == [n for n in folding if n.startswith("MVAU")]
    assert "ConvolutionInputGenerator_rtl_2" in folding  # 1 is of the pool
    capsys.readouterr()
    assert run([*given, "--board", "icebreaker"]) == 2
    assert "board must be one of Pynq-Z1" in capsys.readouterr().err
    assert run(["finn-check", str(folder)]) == 2
    assert "git clone -b dev https://github.com/Xilinx/finn" in capsys.readouterr().err


def test_bits_are_packed_as_finn_packs_them() -> None:
    # Source: FINN's finnpy_to_packed_bytearray, run on these ten bits at four stream widths
    bits = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 1], np.uint8)
    for width, expected in (
        (1, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        (2, [1, 0, 0, 0, 2]),
        (5, [1, 16]),
        (10, [1, 2]),
    ):
        assert pack(bits.reshape(1, -1, width), 1).ravel().tolist() == expected


class FakeOverlay:
    """An overlay that computes what its weight memories hold, from bytes alone."""

    def __init__(self, network: Network, job: dict[str, Any], batch: int, per_beat: int) -> None:
        self.network, self.job, self.batch_size, self.per_beat = network, job, batch, per_beat
        self.fold = job["units"][0]["simd"]
        self.memories = [np.zeros(0, np.uint32)] * len(job["units"])
        self.flushed = 0
        for k in range(len(job["units"])):
            mmio = SimpleNamespace(array=np.zeros(1 << 12, np.uint32))
            mmio.write_mm = lambda at, data, m=mmio: m.array.__setitem__(
                slice(0, len(data) // 4), np.frombuffer(data, np.uint32)
            )
            setattr(self, f"StreamingDataflowPartition_{k + 1}", SimpleNamespace(mmio=mmio))

    def ishape_folded(self, ind: int = 0) -> tuple[int, ...]:
        return self.batch_size, self.network.n_inputs // self.fold, self.fold

    def ishape_packed(self, ind: int = 0) -> tuple[int, ...]:
        n = self.fold if self.job["input_bits"] == 8 else -(-self.fold // 8)
        return self.batch_size, self.network.n_inputs // self.fold, n

    def oshape_folded(self, ind: int = 0) -> tuple[int, ...]:
        return self.batch_size, self.network.n_classes // self.per_beat, self.per_beat

    def oshape_packed(self, ind: int = 0) -> tuple[int, ...]:
        return self.batch_size, self.network.n_classes // self.per_beat, 4 * self.per_beat

    def copy_input_data_to_device(self, data: Any, ind: int = 0) -> None:
        assert data.shape == self.ishape_packed() and data.dtype == np.uint8
        self.input = data.copy()

    def execute_on_buffers(self) -> None:
        self.flushed += 1
        if not hasattr(self, "input"):
            return
        layers = []
        for k, (layer, unit) in enumerate(zip(self.network.layers, self.job["units"], strict=True)):
            folding = Fold(unit["pe"], unit["simd"])
            words = getattr(self, f"StreamingDataflowPartition_{k + 1}").mmio.array
            layers.append(_unpacked(layer, folding, words))
        network = Network("on the board", tuple(layers))
        stream = self.input
        if self.job["input_bits"] == 1:
            stream = np.unpackbits(stream, axis=-1, bitorder="little")[..., : self.fold]
        found = golden.scores(network, stream.reshape(self.batch_size, -1))
        self.output = found.astype("<i4").view(np.uint8).reshape(self.oshape_packed())

    def copy_output_data_from_device(self, data: Any, ind: int = 0) -> None:
        np.copyto(data, self.output)


def _unpacked(layer: Any, folding: Fold, words: Any) -> Any:
    """The layer whose rows are in FINN's memory: the rule of the packing, read backwards."""
    n_rows, n = layer.n_outputs, layer.n_inputs
    per_line = max(1, 1 << max(0, (folding.pe * folding.simd - 1).bit_length() - 5))
    bits = np.zeros((n_rows, n), np.uint8)
    for m in range(n_rows * n // (folding.pe * folding.simd)):
        k, b = divmod(m, n // folding.simd)
        line = words[m * per_line : (m + 1) * per_line].astype("<u4").view(np.uint8)
        lanes = np.unpackbits(line, bitorder="little")[: folding.pe * folding.simd]
        bits[k * folding.pe : (k + 1) * folding.pe, b * folding.simd : (b + 1) * folding.simd] = (
            lanes.reshape(folding.pe, folding.simd)
        )
    clean = np.zeros(n_rows, np.bool_)
    return Dense(layer.name, n, pack_words(bits), layer.thresholds, clean, layer.input)


@pytest.mark.parametrize("kind", ["bits", "uint8"])
def test_a_campaign_could_run_on_an_overlay(kind: Any, tmp_path: Path) -> None:
    network, rng = a_network(kind), np.random.default_rng(3)
    x = rng.integers(0, network.image_max + 1, (50, 64)).astype(np.uint8)
    folds = (Fold(4, 16), Fold(16, 4), Fold(5, 8))
    job = write_job(network, "Pynq-Z2", tmp_path / "job", x, scores(network, x), folds)
    weights = tmp_path / "runtime_weights"
    weights.mkdir()
    for k, unit in enumerate(job["units"]):
        (weights / f"{k + 1}_0_{unit['unit']}.dat").write_text("00000000\n")
    overlay = FakeOverlay(network, job, batch=16, per_beat=5)
    device = OverlayDevice(overlay, tmp_path / "job", weights)
    with pytest.raises(InputError, match="load a network"):
        device.infer(x)
    device.load(network)
    assert overlay.flushed == 1
    assert (device.infer(x) == golden.scores(network, x)).all()
    faults = Iid(0.1, 0.05).sample(layout_of(network), 2)
    device.inject(faults)
    faulty = golden.scores(fault_maps.apply(network, faults), x)
    assert (device.infer(x) == faulty).all() and (faulty != golden.scores(network, x)).any()
    device.inject(None)
    assert (device.infer(x) == golden.scores(network, x)).all()
    assert device.counters() == {"images": 150}
    with pytest.raises(InputError, match="thresholds are in its bitstream"):
        device.inject(Iid(0.5, 0.5).sample(layout_of(network), 0, ("thresholds",)))
    with pytest.raises(InputError, match="without its runtime_weights"):
        blind = OverlayDevice(overlay, tmp_path / "job")
        blind.load(network)
        blind.inject(faults)
    other = random_network((64, 32, 16, 10), kind, np.random.default_rng(9))
    with pytest.raises(ArtefactError, match="was built for network"):
        device.load(other)
    (weights / "1_0_MVAU_hls_0.dat").unlink()
    with pytest.raises(BoardError, match="no runtime weights of MVAU_hls_0"):
        OverlayDevice(overlay, tmp_path / "job", weights)
    broken = overlay.StreamingDataflowPartition_2.mmio  # type: ignore[attr-defined]
    broken.write_mm = lambda at, data: None
    broken.array[:] = 0
    (weights / "1_0_MVAU_hls_0.dat").write_text("0\n")
    with pytest.raises(BoardError, match="read back are not those written"):
        OverlayDevice(overlay, tmp_path / "job", weights).load(network)


def test_scores_of_any_width_are_unpacked() -> None:
    rng = np.random.default_rng(5)
    for bits in (2, 6, 8, 11, 32):
        values = rng.integers(-(1 << bits - 1), 1 << bits - 1, (7, 3, 5))
        stream = (values[..., None] >> np.arange(bits)) & 1
        beats = np.packbits(stream.reshape(7, 3, -1).astype(np.uint8), axis=-1, bitorder="little")
        assert (unpack_scores(beats, 5, bits) == values).all()


def test_a_line_takes_a_power_of_two_of_words() -> None:
    layer = random_network((66, 32, 10), "bits", np.random.default_rng(0)).layers[0]
    for folding, per_line in (
        (Fold(1, 1), 1),
        (Fold(1, 33), 2),
        (Fold(4, 22), 4),
        (Fold(32, 33), 64),
    ):
        n_lines = 66 * 32 // (folding.pe * folding.simd)
        assert len(runtime_words(layer, folding)) == per_line * n_lines


def test_the_report_on_negative_scales_shows_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(__file__).parent.parent / "docs" / "upstream"
    runpy.run_path(str(folder / "negative_scales.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    page = (folder / "negative-scales.md").read_text()
    assert len(printed) == 4 and all(f"    {line}" in page for line in printed)

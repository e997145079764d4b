"""A folder that FINN's builder takes as it is: `build_dataflow <folder>`.

    model.onnx                        products and thresholds, integers throughout
    dataflow_build_config.json        what to build; which files to use
    folding_config.json               PE, SIMD and memories of each unit
    specialize_layers_config.json     which units are HLS
    verify_input.npy, verify_output.npy    the images that the builder itself verifies with
    input.npy, expected_output.npy    the whole test set
    weights/<unit>.memblock.dat       weight memories as `$readmemh` reads them
    runtime_weights/0_<k>_<unit>.dat  the same for the deployed overlay's AXI-Lite ports
    stoic_job.json                    what the host driver must know, and the hashes of it all
    README.md                         the commands

The model is handed over converted: FINN looks for an operation "BinaryQuant" that nobody writes, so
that it would skip the conversion of a graph whose only quantisers are BipolarQuant.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim import container
from ..sim.layers import Conv, Layer
from ..sim.memory import Fold
from ..sim.network import Network
from . import finn_fold
from .finn_form import product_model
from .finn_images import check_fold, memblock, runtime_text
from .lower_state import image_order
from .qonnx import stamp, to_bytes

FORMAT = "stoic-finn-job"
VERSION = 1
JOB = "stoic_job.json"
N_VERIFIED = 20  # images that the builder verifies with; cppsim and rtlsim are slow
CLOCK_NS = 10.0

# What runs without Vivado: `make finn-check`.
ESTIMATE_STEPS = (
    "step_qonnx_to_finn",
    "step_tidy_up",
    "step_streamline",
    "step_convert_to_hw",
    "step_create_dataflow_partition",
    "step_specialize_layers",
    "step_target_fps_parallelization",
    "step_apply_folding_config",
    "step_minimize_bit_width",
    "step_generate_estimate_reports",
)


def write_job(
    network: Network,
    board: str,
    folder: Path,
    images: NDArray[np.uint8],
    scores: NDArray[np.int32],
    folds: tuple[Fold, ...] | None = None,
) -> dict[str, Any]:
    """Write the folder and return its `stoic_job.json`.

    Args:
        images: (n, n_inputs) of the network, all that the overlay is to be checked with.
        scores: (n, n_classes) that they must give.
        folds: of each layer; None plans them.

    Raises:
        InputError: an unknown board, a network that FINN does not take, or an illegal folding.
    """
    chosen = folds or finn_fold.fold(network, board)
    for layer, fold in zip(network.layers, chosen, strict=True):
        check_fold(layer, fold)
    model = product_model(network)
    stamp(model, network.name, {"network_sha256": network.sha256})
    _write(folder / "model.onnx", to_bytes(model))
    _json(folder / "dataflow_build_config.json", build_config(board))
    _json(folder / "folding_config.json", folding_config(network, chosen))
    _json(folder / "specialize_layers_config.json", {"Defaults": {}})
    feed = graph_images(network, images)
    for name, values in (
        ("input.npy", feed),
        ("expected_output.npy", scores.astype(np.float32)),
        ("verify_input.npy", feed[:N_VERIFIED]),
        ("verify_output.npy", scores[:N_VERIFIED].astype(np.float32)),
    ):
        _npy(folder / name, values)
    units = []
    for i, (layer, fold) in enumerate(zip(network.layers, chosen, strict=True)):
        unit = f"MVAU_hls_{i}"
        _write(folder / "weights" / f"{unit}.memblock.dat", memblock(layer, fold).encode())
        place = f"0_{i}_{unit}.dat"
        _write(folder / "runtime_weights" / place, runtime_text(layer, fold).encode())
        units.append({"unit": unit, "layer": layer.name, "pe": fold.pe, "simd": fold.simd})
    job = {
        "format": FORMAT,
        "version": VERSION,
        "kit_version": container.kit_version(),
        "network": network.name,
        "network_sha256": network.sha256,
        "board": board,
        "units": units,
        "cycles_per_image": finn_fold.cycles_per_image(network, chosen),
        "clock_ns": CLOCK_NS,
        "image_shape": list(feed.shape[1:]),
        "input_bits": 1 if network.layers[0].input == "bits" else 8,
        "n_images": len(images),
        "files": _hashes(folder),
    }
    _json(folder / JOB, job)
    _write(folder / "README.md", _readme(network, job).encode())
    return job


def build_config(board: str) -> dict[str, Any]:
    """What FINN is asked for."""
    return {
        "output_dir": "out",
        "synth_clk_period_ns": CLOCK_NS,
        "board": board,
        "shell_flow_type": "vivado_zynq",
        "generate_outputs": [
            "estimate_reports",
            "stitched_ip",
            "bitfile",
            "pynq_driver",
            "deployment_package",
        ],
        "folding_config_file": "folding_config.json",
        "specialize_layers_config_file": "specialize_layers_config.json",
        "standalone_thresholds": True,
        # In XNOR mode FINN takes the accumulator's range of weights +-1 and inputs 0, 1, but the
        # value is a popcount 0..K, which does not always fit: docs/upstream/finn-accumulator.md.
        "minimize_bit_width": False,
        "verify_steps": ["initial_python", "streamlined_python", "folded_hls_cppsim"],
        "verify_input_npy": "verify_input.npy",
        "verify_expected_output_npy": "verify_output.npy",
        "enable_build_pdb_debug": False,
    }


def folding_config(network: Network, folds: tuple[Fold, ...]) -> dict[str, Any]:
    """PE, SIMD and memories by the names that units have behind `step_specialize_layers`."""
    config: dict[str, Any] = {"Defaults": {}}
    windows = 0
    for i, (layer, fold) in enumerate(zip(network.layers, folds, strict=True)):
        config[f"MVAU_hls_{i}"] = {
            "PE": fold.pe,
            "SIMD": fold.simd,
            "ram_style": "auto",
            "resType": "lut",
            "mem_mode": "internal_decoupled",
            "runtime_writeable_weights": 1,
        }
        if layer.thresholds is not None:
            config[f"Thresholding_rtl_{i}"] = {"PE": _greatest(layer.n_outputs, fold.pe)}
        if isinstance(layer, Conv):
            channels = layer.window.channels
            unit = f"ConvolutionInputGenerator_rtl_{windows}"
            config[unit] = {"SIMD": _greatest(channels, fold.simd)}
            windows += 1 if layer.pool is None else 2  # a pool has windows of its own
    return config


def graph_images(network: Network, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images of the network as the graph takes them: bits are -1 and +1, maps channel-first."""
    first: Layer = network.layers[0]
    shape: tuple[int, ...] = (network.n_inputs,)
    if isinstance(first, Conv):
        shape = (first.window.channels, first.window.height, first.window.width)
    values = images[:, image_order(shape).ravel()].reshape(-1, *shape).astype(np.float32)
    return values if first.input == "uint8" else 2 * values - 1


def _greatest(n: int, limit: int) -> int:
    return max(d for d in range(1, limit + 1) if n % d == 0)


def _write(path: Path, data: bytes) -> None:
    container.write_whole(path, data)


def _json(path: Path, value: Any) -> None:
    _write(path, (json.dumps(value, indent=1) + "\n").encode())


def _npy(path: Path, values: NDArray[Any]) -> None:
    file = io.BytesIO()
    np.save(file, values)
    _write(path, file.getvalue())


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (JOB, "README.md"))
    return {
        str(path.relative_to(folder)): container.file_sha256(path)
        for path in paths
        if path.relative_to(folder).parts[0] != "out"
    }


def _readme(network: Network, job: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| `{u['unit']}` | `{u['layer']}` | {u['pe']} | {u['simd']} |" for u in job["units"]
    )
    return f"""# `{network.name}` for {job["board"]}, by FINN

Build (inside FINN's container, with Vivado and Vitis HLS):

    build_dataflow .

It verifies itself on {min(N_VERIFIED, job["n_images"])} images before and behind the
transformations and in C simulation; `out/verification_output` must hold only names that end in
`SUCCESS`. Expected scores of all {job["n_images"]} images are in `expected_output.npy`.

| unit | layer | PE | SIMD |
|---|---|---|---|
{rows}

{job["cycles_per_image"]} cycles an image in the slowest unit, {job["clock_ns"]:g} ns each. Weights
can be written while it runs; FINN's driver loads its `runtime_weights/` at start. Files here have
the same words; the number in front of their names is FINN's to give. `minimize_bit_width` is
off: in XNOR mode FINN declares accumulators that a popcount of K does not fit.

On the board, with the kit's driver (packs with `numpy.packbits`; the calls of any other Device):

    from driver import FINNExampleOverlay, io_shape_dict    # written by FINN: out/deploy/driver
    from stoic.hw.overlay import OverlayDevice
    overlay = FINNExampleOverlay("finn-accel.bit", "zynq-iodma", io_shape_dict, batch_size=1000)
    device = OverlayDevice(overlay, Path("stoic_job.json"), Path("runtime_weights"))
"""

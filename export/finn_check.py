"""FINN's own front end, estimate steps and verification on a job folder, from a checkout of FINN.

`python -m stoic.export.finn_check FOLDER --finn CHECKOUT --json FILE` needs no Vivado. It runs in
an interpreter of its own: FINN shares its name space with finn-base. Keys of the JSON object:

    verified        names of FINN's verification results, each must end in SUCCESS
    units           for each weight memory: bytes, and whether FINN's own packing is the same
    unknown         names of folding_config.json that no unit of FINN has
    outside         operations that FINN leaves outside of the hardware
    declared        accumulator types of the units
    layer_cycles    FINN's own estimate
    command, kit_version
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import types
import warnings
from pathlib import Path
from typing import Any

from ..sim import container
from ..sim.entry import exit_with
from ..sim.exceptions import ToolError
from .finn import ESTIMATE_STEPS, JOB
from .finn_base import put_back

MISSING = (
    "no FINN checkout: `git clone -b dev https://github.com/Xilinx/finn` and name it with FINN="
)


def prepare(checkout: Path) -> None:
    """Make FINN importable without its container.

    Raises:
        ToolError: it is not there, or a package that it needs is not.
    """
    if not (checkout / "src" / "finn" / "builder").is_dir():
        raise ToolError(f"{checkout}: {MISSING}")
    put_back()
    for name in ("FINN_BUILD_DIR", "FINN_DEPS_DIR"):
        os.environ.setdefault(name, tempfile.mkdtemp(prefix="finn_"))
    os.environ["FINN_ROOT"] = str(checkout.resolve())
    sys.path.insert(0, str(checkout / "src"))
    _stand_in("torchvision")  # imported by a test helper that the builder imports
    try:
        importlib.import_module("finn.builder.build_dataflow")
    except ImportError as error:
        raise ToolError(
            f"FINN at {checkout} misses a package ({error}): pip install dataclasses-json "
            "importlib-resources vcdvcd psutil pyyaml"
        ) from error


def _stand_in(name: str) -> None:
    try:
        __import__(name)
    except ImportError:
        for path in (name, f"{name}.transforms", f"{name}.transforms.functional"):
            sys.modules[path] = types.ModuleType(path)
        sys.modules[f"{name}.transforms"].functional = sys.modules[  # type: ignore[attr-defined]
            f"{name}.transforms.functional"
        ]


def check(folder: Path) -> dict[str, Any]:
    """Build what needs no Vivado, and compare what FINN made with what the job says.

    Raises:
        ToolError: FINN failed.
    """
    build_dataflow = importlib.import_module("finn.builder.build_dataflow")
    settings = importlib.import_module("finn.builder.build_dataflow_config")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.registry import getCustomOp

    config = json.loads((folder / "dataflow_build_config.json").read_text())
    config |= {"generate_outputs": ["estimate_reports"], "steps": list(ESTIMATE_STEPS)}
    config["verify_steps"] = ["initial_python", "streamlined_python"]
    config["output_dir"] = str(folder / "out")
    before = Path.cwd()
    os.chdir(folder)
    try:
        made = settings.DataflowBuildConfig.from_json(json.dumps(config))
        if build_dataflow.build_dataflow_cfg("model.onnx", made) != 0:
            raise ToolError(f"{folder}: FINN's builder failed; see out/build_dataflow.log there")
    finally:
        os.chdir(before)
    steps = folder / "out" / "intermediate_models"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ModelWrapper(str(steps / "step_generate_estimate_reports.onnx"))
        parent = ModelWrapper(str(steps / "dataflow_parent.onnx"))
        names = {node.name for node in model.graph.node}
        units, declared = [], {}
        for node in model.graph.node:
            if not node.op_type.startswith("MVAU"):
                continue
            unit: Any = getCustomOp(node)
            declared[node.name] = unit.get_nodeattr("accDataType")
            with tempfile.TemporaryDirectory() as scratch:
                same = []
                for mode, ours in (
                    ("decoupled_verilog_dat", folder / "weights" / f"{node.name}.memblock.dat"),
                    ("decoupled_runtime", _runtime_file(folder, node.name)),
                ):
                    theirs = Path(scratch) / mode
                    unit.make_weight_file(model.get_initializer(node.input[1]), mode, str(theirs))
                    same.append(theirs.read_bytes() == ours.read_bytes())
                size = (folder / "weights" / f"{node.name}.memblock.dat").stat().st_size
            units.append(
                {
                    "unit": node.name,
                    "bytes": size,
                    "memblock_same": same[0],
                    "runtime_same": same[1],
                }
            )
    folding = json.loads((folder / "folding_config.json").read_text())
    verified = sorted(p.name for p in (folder / "out" / "verification_output").iterdir())
    report = folder / "out" / "report" / "estimate_layer_cycles.json"
    cycles = json.loads(report.read_text()) if report.is_file() else {}
    return {
        "verified": verified,
        "units": units,
        "unknown": sorted(set(folding) - names - {"Defaults"}),
        "outside": [n.op_type for n in parent.graph.node if "Partition" not in n.op_type],
        "declared": declared,
        "layer_cycles": cycles,
    }


def _runtime_file(folder: Path, unit: str) -> Path:
    return next((folder / "runtime_weights").glob(f"*_{unit}.dat"))


def main() -> int:
    """Check a folder and write the JSON file."""
    parser = argparse.ArgumentParser(description="a job folder through FINN's own front end")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--finn", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    container.writable(given.json)
    if not (given.folder / JOB).is_file():
        raise ToolError(f"{given.folder}: no job folder; `stoic finn` writes one")
    prepare(given.finn)
    result = check(given.folder)
    result |= {
        "command": " ".join(["python -m stoic.export.finn_check", *sys.argv[1:]]),
        "kit_version": container.kit_version(),
    }
    container.write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
    same = all(u["memblock_same"] and u["runtime_same"] for u in result["units"])
    passed = result["verified"] and all("SUCCESS" in name for name in result["verified"])
    print(json.dumps({"verified": len(result["verified"]), "packing_same": same}))
    return 0 if same and passed and result["units"] else 1


if __name__ == "__main__":
    exit_with(main)

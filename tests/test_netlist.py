"""The netlist that is placed equals golden, its cells their vendor's models; mutants are caught."""

import re
import subprocess
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stoic.hw import boards, link, netlist_engine, synth, virtual_netlist
from stoic.hw.device import BoardDevice
from stoic.hw.devices import open_device
from stoic.hw.flows.pll import Family
from stoic.hw.netlist_cells import Cell
from stoic.hw.netlist_device import NetlistDevice, NetlistPort
from stoic.hw.netlist_engine import Netlist
from stoic.hw.netlist_program import ZERO, Program, compile_cells, load, mutant
from stoic.hw.server import Server
from stoic.hw.settings import Setting
from stoic.hw.virtual import Speed
from stoic.hw.virtual_netlist import serve_netlist
from stoic.sim import agreement, golden
from stoic.sim.core import core_of
from stoic.sim.errors import Iid
from stoic.sim.exceptions import BoardError, InputError, ToolError
from stoic.sim.memory import Fold, layout_of
from stoic.sim.random_network import random_network
from stoic.sim.verilate import find_iverilog

OWN_MODELS = Path(__file__).parent / "cells"
N_IMAGES = 100

# ---- a small network on both families ----

NETWORK = random_network((40, 33, 12, 5), "uint8", np.random.default_rng(1))
LAYOUT = layout_of(NETWORK, (Fold(3, 16), Fold(2, 12), Fold(1, 12)))
CORE = core_of(NETWORK, LAYOUT)
IMAGES = np.random.default_rng(2).integers(0, 256, (N_IMAGES, 40)).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("netlist")


@pytest.fixture(scope="module", params=["icebreaker", "ulx3s-25f"])
def program(request: pytest.FixtureRequest, folder: Path) -> Program:
    board = boards.load(request.param)
    design = synth.Design("small", CORE, board, synth.design_sources(CORE, board))
    return load(synth.synthesise(design, folder / board.name), board)


def test_every_score_is_golden_s_and_mutants_of_the_network_are_caught(
    program: Program, folder: Path
) -> None:
    maps = [None, Iid(0.03, 0.1).sample(LAYOUT, chip=1, where=("weights", "thresholds"))]
    reference = agreement.reference_scores(NETWORK, maps, IMAGES)
    wrong = agreement.find_mutants(NETWORK, maps[1], IMAGES)
    device = NetlistDevice(program, CORE, folder)
    rows = agreement.agree(reference, device, NETWORK, maps, IMAGES)
    trials = agreement.try_mutants(wrong, device, NETWORK, IMAGES)
    device.close()
    assert [(r.n_scores, r.n_mismatches) for r in rows] == [(N_IMAGES * 5, 0)] * 2
    assert len(trials) == 3 and all(t.is_caught and not t.n_unexpected for t in trials)


def test_one_engine_in_single_port_memory_is_golden_too(folder: Path) -> None:
    """Weights in the SPRAM of a UP5K."""
    board = boards.load("icebreaker")
    network = random_network((80, 64, 5), "bits", np.random.default_rng(1))
    layout = layout_of(network, (Fold(1, 64),) * 2)
    core = core_of(network, layout, engine=True)
    images = np.random.default_rng(2).integers(0, 2, (20, 80)).astype(np.uint8)
    maps = [None, Iid(0.03, 0.1).sample(layout, chip=1, where=("weights", "thresholds"))]
    reference = agreement.reference_scores(network, maps, images)
    wrong = agreement.find_mutants(network, maps[1], images)
    design = synth.Design("engine", core, board, synth.design_sources(core, board))
    program = load(synth.synthesise(design, folder / "engine"), board)
    device = NetlistDevice(program, core, folder)
    rows = agreement.agree(reference, device, network, maps, images)
    trials = agreement.try_mutants(wrong, device, network, images)
    device.close()
    assert [row.n_mismatches for row in rows] == [0, 0]
    assert len(trials) == 3 and all(t.is_caught for t in trials)


def test_one_wrong_entry_of_a_table_is_caught(program: Program, folder: Path) -> None:
    """Of the table that decides whether a neuron of the first layer fires."""
    name = next(n for n in program.names if re.search(r"\.layer0\..*\bfires(_q)?$", n))
    (fires,) = program.names[name]
    d = program.registers["d"][program.registers["q"] == fires]
    (which,) = np.flatnonzero(program.tables["out"] == d)
    (expected,) = agreement.reference_scores(NETWORK, [None], IMAGES)
    n_caught = 0
    for entry in range(0, 16, 2):
        device = NetlistDevice(mutant(program, int(which), entry), CORE, folder)
        device.load(NETWORK)
        n_caught += bool((device.infer(IMAGES) != expected).any())
        device.close()
    assert n_caught  # the others are of inputs that never come


def test_a_netlist_that_is_silent_is_not_waited_for(program: Program, folder: Path) -> None:
    answered = []
    for held in (False, True):
        tables = program.tables.copy()
        if held:
            (valid,) = program.line.tx_valid
            d = program.registers["d"][program.registers["q"] == valid]
            tables["table"][tables["out"] == d] = 0  # nothing is ever sent
        port = NetlistPort(replace(program, tables=tables), CORE, folder)
        port.write(link.encode(link.Frame(1, link.Command.IDENTIFY)))
        answered.append(len(port.read(10, 1.0)))
        port.close()
    assert answered == [10, 0]


def test_a_netlist_behind_tcp_gives_golden_s_scores_to_one_client(
    program: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers: list[Server] = []

    def server(*arguments: Any) -> Server:
        servers.append(Server(*arguments))
        return servers[-1]

    monkeypatch.setattr(virtual_netlist, "Server", server)
    monkeypatch.setattr(virtual_netlist, "netlist_program", lambda *_: program)
    monkeypatch.setattr(virtual_netlist, "NetlistPort", partial(NetlistPort, build_dir=folder))
    at = Setting(folder / "net.stoic", NETWORK, folding=LAYOUT, board="icebreaker")
    urls, told = Queue[str](), Queue[Speed]()
    serve = partial(serve_netlist, at, "tcp", lambda url, _: urls.put(url), told.put)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        url = urls.get(timeout=60)
        device = BoardDevice(url, CORE, timeout_s=60)
        device.load(NETWORK)
        assert (device.infer(IMAGES[:3]) == golden.scores(NETWORK, IMAGES[:3])).all()
        with pytest.raises(BoardError, match="busy: leased to .*; come back later"):
            BoardDevice(url, CORE, timeout_s=60)
        assert told.get(timeout=60).cycles > 3 * 64  # as the second client has left
    finally:
        for one in servers:
            one.close()  # as Ctrl-C does, with a client there
        thread.join(60)
    assert not thread.is_alive() and told.get(timeout=60).cycles > 3 * 64


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"netlist needs a board: --board \S*icebreaker\|"):
        open_device("netlist", Setting(tmp_path / "net.stoic", NETWORK))
    at = Setting(tmp_path / "net.stoic", NETWORK, board="icebreaker")
    for port in ("70000", "9" * 5000, "\N{ARABIC-INDIC DIGIT THREE}", "x"):
        with pytest.raises(InputError, match="a TCP port is 0..65535, not"):
            serve_netlist(at, f"tcp:{port}", print, print)
    with pytest.raises(InputError, match="served at tcp or tcp:PORT, not 'pty'"):
        serve_netlist(at, "pty", print, print)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match=r"g\+\+ is not on PATH"):
        netlist_engine.build(tmp_path)


# ---- every cell beside its vendor's model ----

VENDOR = {"ice40": ("ice40/cells_sim.v",), "ecp5": ("ecp5/common_sim.vh", "ecp5/ccu2c_sim.vh")}
N_CYCLES = 400
N_INPUTS = 40
CLOCK, FIRST_INPUT = 2, 3
OPEN = np.zeros(0, np.uint32)  # an input that no cell was given
ZEROS = np.array([ZERO], np.uint32)  # an output of a memory that is narrower


@dataclass
class Bench:
    """Cells side by side, all fed by the same random nets."""

    family: Family
    rng: np.random.Generator
    cells: dict[str, Cell]
    names: dict[str, list[int | str]]
    combinational: list[int]
    registered: list[int]
    free: int = FIRST_INPUT + N_INPUTS

    def outputs(self, n: int, is_registered: bool = True) -> list[int | str]:
        nets = list(range(self.free, self.free + n))
        self.free += n
        (self.registered if is_registered else self.combinational).extend(nets)
        return list(nets)

    def inputs(self, n: int) -> list[int | str]:
        chosen = self.rng.choice(N_INPUTS, n, replace=False) + FIRST_INPUT
        return [int(net) for net in chosen]

    def add(self, kind: str, parameters: dict[str, str], **connections: list[int | str]) -> None:
        self.cells[f"c{len(self.cells)}"] = {
            "type": kind,
            "parameters": parameters,
            "connections": connections,
        }

    def split(
        self, prefix: str, nets: list[int | str], start: int = 0
    ) -> dict[str, list[int | str]]:
        return {f"{prefix}{i}": [net] for i, net in enumerate(nets, start)}

    def bits(self, n: int) -> str:
        return "".join(map(str, self.rng.integers(0, 2, n)))

    def address(self, n: int) -> list[int | str]:
        """Few of many words, so that what is written is read."""
        return [*self.inputs(2), *["0"] * (n - 3), *self.inputs(1)]


def tied(value: str, *ports: str) -> dict[str, list[int | str]]:
    return {port: [value] for port in ports}


def ice40(b: Bench) -> None:
    for _ in range(8):
        nets = {f"I{i}": [net] for i, net in enumerate(b.inputs(4))}
        b.add("SB_LUT4", {"LUT_INIT": b.bits(16)}, O=b.outputs(1, False), **nets)
    i0, i1, ci = b.inputs(3)
    b.add("SB_CARRY", {}, I0=[i0], I1=[i1], CI=[ci], CO=b.outputs(1, False))
    for enable in ("", "E"):
        for reset in ("", "SR", "SS"):
            pins = {pin: b.inputs(1) for pin in ("D", *enable, *reset[1:])}
            b.add(f"SB_DFF{enable}{reset}", {}, C=[CLOCK], Q=b.outputs(1), **pins)
    for mode in range(4):
        which = {f"{port}_MODE": f"{mode:032b}" for port in ("READ", "WRITE")}
        pins = {pin: b.inputs(1) for pin in ("WE", "WCLKE", "RE", "RCLKE")}
        b.add(
            "SB_RAM40_4K", which, WCLK=[CLOCK], RCLK=[CLOCK], WDATA=b.inputs(16), MASK=b.inputs(16),
            WADDR=[*b.address(8 + mode), *["0"] * (3 - mode)],
            RADDR=[*b.address(8 + mode), *["0"] * (3 - mode)], RDATA=b.outputs(16), **pins,
        )  # fmt: skip
    b.add(
        "SB_SPRAM256KA", {}, ADDRESS=b.address(14), DATAIN=b.inputs(16), MASKWREN=b.inputs(4),
        WREN=b.inputs(1), CHIPSELECT=b.inputs(1), CLOCK=[CLOCK], STANDBY=["0"], SLEEP=["0"],
        POWEROFF=["1"], DATAOUT=b.outputs(16),
    )  # fmt: skip


def ecp5(b: Bench) -> None:
    for _ in range(8):
        pins = dict(zip("ABCD", ([net] for net in b.inputs(4)), strict=True))
        b.add("LUT4", {"INIT": b.bits(16)}, Z=b.outputs(1, False), **pins)
    for cuts in ("NN", "YN", "NY", "YY"):
        which = {f"INJECT1_{i}": {"N": "NO", "Y": "YES"}[cut] for i, cut in enumerate(cuts)}
        which |= {"INIT0": b.bits(16), "INIT1": b.bits(16)}
        pins = {f"{pin}{i}": b.inputs(1) for pin in "ABCD" for i in "01"}
        outs = {pin: b.outputs(1, False) for pin in ("S0", "S1", "COUT")}
        b.add("CCU2C", which, CIN=b.inputs(1), **pins, **outs)
    for enable in ("1 ", "0 ", "CE", "INV"):
        for reset in ("LSR", "INV"):
            for value in ("RESET", "SET"):
                which = {"CEMUX": enable, "LSRMUX": reset, "REGSET": value, "SRMODE": "LSR_OVER_CE"}
                pins = {pin: b.inputs(1) for pin in ("DI", "CE", "LSR")}
                b.add("TRELLIS_FF", which, CLK=[CLOCK], Q=b.outputs(1), **pins)
    b.add(
        "TRELLIS_DPR16X4", {"INITVAL": "x" * 64}, DI=b.inputs(4), WAD=b.inputs(4), WRE=b.inputs(1),
        WCK=[CLOCK], RAD=b.inputs(4), DO=b.outputs(4, False),
    )  # fmt: skip
    which = {"DATA_WIDTH_W": f"{36:032b}", "DATA_WIDTH_R": f"{36:032b}", "REGMODE": "OUTREG"}
    pins = b.split("DI", b.inputs(36)) | b.split("DO", b.outputs(36))
    pins |= b.split("ADW", b.address(9)) | b.split("ADR", b.address(9), 5)
    pins |= tied("1", *(f"BE{i}" for i in range(4)))
    pins |= tied("0", *(f"CS{p}{i}" for p in "WR" for i in range(3)))
    b.add(
        "PDPW16KD", which, CLKW=[CLOCK], CLKR=[CLOCK], CEW=b.inputs(1), CER=b.inputs(1), OCER=["1"],
        RST=b.inputs(1), **pins,
    )  # fmt: skip
    for low, width in enumerate((1, 2, 4, 9, 18, 36)):
        which = {f"DATA_WIDTH_{port}": f"{width:032b}" for port in "AB"}
        data, read = b.inputs(width), b.outputs(width)
        pins = b.split("DIA", data[:18]) | b.split("DIB", data[18:])
        pins |= b.split("DOA" if width == 36 else "DOB", read[:18]) | b.split("DOB", read[18:])
        mask = b.inputs(low) if low > 3 else []
        pins |= b.split("ADA", [*mask, *["0"] * (low - len(mask)), *b.address(14 - low)])
        pins |= b.split("ADB", [*["0"] * low, *b.address(14 - low)])
        pins |= tied("0", "WEB", *(f"CS{p}{i}" for p in "AB" for i in range(3)))
        b.add(
            "DP16KD", which, CLKA=[CLOCK], CLKB=[CLOCK], WEA=b.inputs(1), CEA=b.inputs(1),
            CEB=b.inputs(1), RSTA=["0"], RSTB=["0"], **pins,
        )  # fmt: skip


def value(parameter: str) -> str:
    is_number = set(parameter) <= set("01x")
    return f"{len(parameter)}'b{parameter}" if is_number else f'"{parameter.rstrip()}"'


def pins(nets: list[int | str]) -> str:
    names = (f"1'b{n}" if isinstance(n, str) else f"n[{n}]" for n in reversed(nets))
    return "{" + ", ".join(names) + "}"


def by_vendor(b: Bench, stimuli: NDArray[np.uint8], folder: Path) -> list[str]:
    """The outputs at each cycle on Icarus, combinational ones before the edge."""
    instances = [
        f"{c['type']} #({', '.join(f'.{k}({value(v)})' for k, v in c['parameters'].items())})"
        f" {name} ({', '.join(f'.{k}({pins(v)})' for k, v in c['connections'].items())});"
        for name, c in b.cells.items()
    ]
    rows = ["".join(map(str, row[::-1])) for row in stimuli]
    (folder / "stimuli").write_text("\n".join(rows))
    last = FIRST_INPUT + N_INPUTS - 1
    (folder / "bench.v").write_text(f"""
`timescale 1ns / 1ps
module bench;
    wire [{b.free - 1}:0] n;
    reg clk = 0;
    reg [{N_INPUTS - 1}:0] stimuli [0:{N_CYCLES - 1}];
    reg [{N_INPUTS - 1}:0] in;
    reg [{len(b.combinational) - 1}:0] early;
    integer i;
    assign n[{CLOCK}] = clk;
    assign n[{last}:{FIRST_INPUT}] = in;
    {" ".join(instances)}
    initial begin
        $readmemb("stimuli", stimuli);
        for (i = 0; i < {N_CYCLES}; i = i + 1) begin
            in = stimuli[i];
            #5 early = {pins(list(b.combinational))};
            clk = 1;
            #5 $display("%b%b", early, {pins(list(b.registered))});
            clk = 0;
        end
    end
endmodule
""")
    share = netlist_share()
    models = "".join((share / name).read_text() for name in VENDOR[b.family])
    # a cell of placed netlists, with a construct that Icarus does not know
    (folder / "cells.v").write_text(re.sub(r"(?s)module TRELLIS_COMB.*?endmodule", "", models))
    own = [OWN_MODELS / name for name in ("pdpw16kd.v", "dp16kd.v")]  # Yosys has none
    files = ["bench.v", "cells.v", *(own if b.family == "ecp5" else ())]
    build = [find_iverilog(), "-g2012", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", f"-I{share / b.family}"]
    build += ["-s", "bench", "-o", "bench", *map(str, files)]
    subprocess.run(build, cwd=folder, check=True)
    ran = subprocess.run(["./bench"], cwd=folder, check=True, capture_output=True, text=True)
    return ran.stdout.split()


def netlist_share() -> Path:
    import pyosys

    assert pyosys.__file__ is not None
    return Path(pyosys.__file__).parent / "share"


def by_program(b: Bench, stimuli: NDArray[np.uint8], folder: Path) -> list[str]:
    """The same from the program, of a netlist with PLL and UART as every netlist has."""
    cells, names = dict(b.cells), dict(b.names)
    pll = {"ice40": ("SB_PLL40_PAD", "PLLOUTGLOBAL"), "ecp5": ("EHXPLLL", "CLKOP")}[b.family]
    cells["pll"] = {
        "type": pll[0],
        "parameters": {},
        "connections": {pll[1]: [CLOCK], "LOCK": [b.free]},
    }
    free = b.free + 1
    flop, d, clock = {"ice40": ("SB_DFF", "D", "C"), "ecp5": ("TRELLIS_FF", "DI", "CLK")}[b.family]
    for name, width in (
        ("rx_tdata", 8), ("u_uart.u_rx.valid_q", 1), ("u_uart.u_tx.bits_q", 4), ("tx_tdata", 8),
        ("u_top.u_link.u_tx.valid_q", 1),
    ):  # fmt: skip
        names[name] = list(range(free, free + width))
        for net in names[name]:
            connections = {d: ["0"], clock: [CLOCK], "Q": [net]}
            cells[f"line {net}"] = {"type": flop, "parameters": {}, "connections": connections}
        free += width
    names |= {f"in{i}": [FIRST_INPUT + i] for i in range(N_INPUTS)}
    nets = [*reversed(b.combinational), *reversed(b.registered)]
    names |= {f"out{net}": [net] for net in nets}
    program = compile_cells(cells, names, set())
    ins = [program.names.get(f"in{i}", OPEN) for i in range(N_INPUTS)]
    outs = np.concatenate([program.names.get(f"out{net}", ZEROS) for net in nets])
    netlist = Netlist(program, folder)
    rows = []
    for row in stimuli:
        for places, bit in zip(ins, row, strict=True):
            netlist.nets()[places] = -int(bit) % (1 << 64)
        netlist.clock()
        rows.append("".join(map(str, netlist.nets()[outs] & 1)))
    netlist.close()
    return rows


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_every_cell_does_what_its_vendor_s_model_does(family: Family, folder: Path) -> None:
    rng = np.random.default_rng(3)
    bench = Bench(family, rng, {}, {}, [], [])
    {"ice40": ice40, "ecp5": ecp5}[family](bench)
    stimuli = rng.integers(0, 2, (N_CYCLES, N_INPUTS)).astype(np.uint8)
    (folder / family).mkdir()
    expected = by_vendor(bench, stimuli, folder / family)
    got = by_program(bench, stimuli, folder)
    seen, known = (np.array([list(row) for row in rows]) for rows in (got, expected))
    is_known = known != "x"  # what was never written is X in the models
    nets = np.array([*reversed(bench.combinational), *reversed(bench.registered)])
    assert not nets[is_known.sum(axis=0) < 50].size
    assert not nets[((seen != known) & is_known).any(axis=0)].size

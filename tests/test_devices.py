"""Which file a device takes its network from, and that a wrong one is found out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stoic.hw import boards, devices, fold, probe, settings
from stoic.hw.link import Identity
from stoic.hw.wish import FASTEST, Wish
from stoic.models.checkpoint import Checkpoint, load_checkpoint
from stoic.models.frozen import integers
from stoic.sim import agreement
from stoic.sim import network as networks
from stoic.sim.core import FORMS, Form, core_of, default_core
from stoic.sim.exceptions import BoardError
from stoic.sim.memory import Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_network, with_random_tables

ZOO = Path(__file__).parent.parent / "models" / "zoo"
CHECKPOINT = ZOO / "fashion-tfc.ckpt"
WISHES = (FASTEST, Wish(smallest=True))


def setting(folder: Path, network: Network, source: Checkpoint) -> settings.Setting:
    """A network file beside the checkpoint, said to be made from `source`."""
    (folder / "net.ckpt").write_bytes(CHECKPOINT.read_bytes())
    metadata = {"stoic.checkpoint_sha256": source.sha256}
    network = replace(network, notes={**network.notes, "metadata": metadata})
    networks.save(network, folder / "net.stoic")
    return settings.setting(folder / "net.stoic", networks.load(folder / "net.stoic"))


def test_a_network_that_was_lowered_wrongly_disagrees_with_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(CHECKPOINT)
    right = integers(checkpoint)
    images = np.random.default_rng(1).integers(0, 256, (256, right.n_inputs)).astype(np.uint8)
    wrong = agreement.find_mutants(right, None, images)[0].network
    for network, has_mismatches in ((right, False), (wrong, True)):
        at = setting(tmp_path, network, checkpoint)
        assert settings.own_file("torch", at) == tmp_path / "net.ckpt"
        device = devices.open_device("torch", at)
        reference = agreement.reference_scores(network, [None], images)
        (row,) = agreement.agree(reference, device, network, [None], images)
        assert (row.n_mismatches > 0) == has_mismatches


def test_a_checkpoint_of_another_network_is_left_alone(tmp_path: Path) -> None:
    other = load_checkpoint(ZOO / "fashion-sfc.ckpt")
    at = setting(tmp_path, integers(load_checkpoint(CHECKPOINT)), other)
    assert settings.own_file("torch", at) is None


@pytest.mark.parametrize("board", ["", "icebreaker"])
def test_rows_of_other_gates_are_other_rows(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = settings.setting(Path("net.stoic"), integers(load_checkpoint(CHECKPOINT)), board)
    names = [devices.row_name(spec, at) for spec in ("rtl", "netlist", "virtual")]
    monkeypatch.setattr("stoic.hw.top.core_files", lambda core, **_: ("// other gates", []))
    others = [devices.row_name(spec, at) for spec in ("rtl", "netlist", "virtual")]
    assert [name.split()[0] for name in names] == ["rtl", "netlist", "virtual"]
    assert len({*names, *others}) == 6
    assert devices.row_name("engine", at) == "engine"


@pytest.mark.parametrize("board", ["", "colorlight-i5"])
@pytest.mark.parametrize("n_tables", [0, 2])
def test_a_port_is_asked_at_its_board_s_speed_which_folding_and_tables_it_has(
    board: str, n_tables: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = with_random_tables(integers(load_checkpoint(CHECKPOINT)), 2, np.random.default_rng(1))
    chosen = networks.select(full, "t1")  # its layers are those of the file, its tables are not
    at = settings.setting(Path("net.stoic"), chosen, board, n_tables=2)
    plain = settings.hardware(at)
    built = settings.with_tables(plain, n_tables)
    assert (built != plain) == (n_tables > 0)
    asked = []

    def answer(url: str, baud: int) -> Identity:
        asked.append((url, baud))
        return Identity(1, 4, 1020, 1, 1, 2, 1, bytes(16), bytes.fromhex(built.sha256)[:16])

    monkeypatch.setattr(probe, "identify", answer)
    assert probe.find_core("port", chosen, board, 2) == built
    assert devices.row_name("./port", at) == "board 000000000000"
    assert asked == [("port", 115200 if board else 3_000_000), ("./port", asked[0][1])]
    if n_tables:
        with pytest.raises(BoardError, match="is no folding of network 'fashion-tfc@t1'"):
            probe.find_core("port", chosen, board)


@pytest.mark.parametrize("board", ["", "icebreaker"])
@pytest.mark.parametrize("injector", [None, *FORMS])
def test_a_board_is_found_whatever_was_wished_and_with_injectors(
    board: str, injector: Form | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folding by its hash, and none but the planner's."""
    network = random_network((48, 32, 10), "bits", np.random.default_rng(1))
    core = replace(core_of(network), injector=injector)
    built = [fold.fold(core, boards.load("icebreaker"), wish) for wish in WISHES]
    assert len(set(built)) == len(WISHES)
    others = [replace(core, layout=layout_of(network, (Fold(5, 7), Fold(1, 3))))]
    if not board:
        built.append(replace(default_core(network), injector=injector))
    for made in [*built, *others]:
        who = Identity(1, 4, 1020, 1, 1, 2, 36_000_000, bytes(16), bytes.fromhex(made.sha256)[:16])
        monkeypatch.setattr(probe, "identify", lambda *_, who=who: who)
        if made in others:
            with pytest.raises(BoardError, match="is no folding of network"):
                probe.find_core("port", network, board)
        else:
            assert probe.find_core("port", network, board) == made


@pytest.mark.parametrize("spec", ["/dev/ttyUSB0", "COM3", "socket://h:1", "build/board.pty"])
def test_a_path_or_url_is_a_port(spec: str) -> None:
    devices.check_name(spec)
    assert devices.kind_name(spec) == "board"

"""Images kept on the chip: counts are golden's, and a campaign's rows the streamed ones."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stoic.hw import boards, fold, images_on_chip, link
from stoic.hw.device import BoardDevice
from stoic.hw.link import Command
from stoic.hw.port import SerialPort
from stoic.hw.top import build_id, core_text, identity, top_sources, top_verilog
from stoic.hw.virtual import VirtualBoard
from stoic.sim import campaign, golden, on_chip
from stoic.sim.campaign import Errors, StopRule, confusion_matrix
from stoic.sim.core import Core, from_json, to_json
from stoic.sim.device import Device, GoldenDevice, Keeping
from stoic.sim.errors.iid import Iid
from stoic.sim.exceptions import BoardError, InputError
from stoic.sim.faults import FaultMap, apply
from stoic.sim.memory import KINDS, Fold, Layout, Shape, layout_of
from stoic.sim.random_network import random_network
from stoic.sim.rows import Row, differ
from stoic.sim.store import Store

N_KEPT = 150
RNG = np.random.default_rng(3)
NETWORK = random_network((50, 12, 5), "uint8", RNG)
LAYOUT = layout_of(NETWORK, (Fold(2, 7), Fold(1, 9)))
PLAIN = Core(LAYOUT)
CORE = Core(LAYOUT, store=N_KEPT)
IMAGES = RNG.integers(0, 256, (N_KEPT, 50), np.uint8)
LABELS = golden.classify(golden.scores(NETWORK, IMAGES))
LABELS[::3] = RNG.integers(0, 5, len(LABELS[::3]))  # some are wrong
MAPS = [None, *(Iid(0.1, 0.1, seed=s).sample(LAYOUT, 0, KINDS) for s in (1, 2))]


class Counted(SerialPort):
    """A port that counts the bytes of both ways."""

    n_bytes = 0

    def read(self, least: int, timeout_s: float) -> bytes:
        data = super().read(least, timeout_s)
        self.n_bytes += len(data)
        return data

    def write(self, data: bytes) -> None:
        self.n_bytes += len(data)
        super().write(data)


@pytest.fixture(scope="module")
def board(virtual_builds: Path) -> Iterator[VirtualBoard]:
    with VirtualBoard(CORE, virtual_builds, clock_hz=1_000_000) as running:
        yield running


@pytest.fixture
def device(board: VirtualBoard) -> Iterator[BoardDevice]:
    driver = BoardDevice(board.url, PLAIN)  # the board says itself what it keeps
    driver.load(NETWORK)
    yield driver
    driver.close()


def wanted(faults: FaultMap | None, n: int = N_KEPT, labels: np.ndarray = LABELS) -> np.ndarray:
    """Golden's confusion of the first `n` images."""
    network = NETWORK if faults is None else apply(NETWORK, faults)
    given = golden.classify(golden.scores(network, IMAGES[:n]))
    return confusion_matrix(given, labels[:n], NETWORK.n_classes)


def test_counts_are_goldens_under_every_map(device: BoardDevice) -> None:
    assert device.identity.n_images_on_chip == N_KEPT
    assert device.keep(IMAGES, LABELS)
    found = []
    for faults in MAPS:
        device.inject(faults)
        found.append(device.confusion())
        assert (found[-1] == wanted(faults)).all()
        assert (device.confusion() == found[-1]).all()  # counts begin at 0
        # images of the host pass as without
        scores = golden.scores(NETWORK if faults is None else apply(NETWORK, faults), IMAGES)
        assert (device.infer(IMAGES[:20]) == scores[:20]).all()
    assert (found[0] != found[1]).any() and (found[1] != found[2]).any()


def test_fewer_images_and_other_labels_take_their_place(device: BoardDevice) -> None:
    assert not device.keep(np.zeros((N_KEPT + 1, 50), np.uint8), np.zeros(N_KEPT + 1, np.int64))
    with pytest.raises(InputError, match="keep images"):
        device.confusion()
    with pytest.raises(InputError, match=r"labels must be 0\.\.4, not 0\.\.5"):
        device.keep(IMAGES[:2], np.array([0, 5]))
    for n in (1, 7):
        other = (LABELS + 1) % 5
        assert device.keep(IMAGES[:n], other[:n])
        assert (device.confusion() == wanted(None, n, other)).all()
        assert (device.confusion() != wanted(None, n)).any()


def test_runs_that_cannot_be_are_refused_and_lost_images_noticed(device: BoardDevice) -> None:
    assert device.keep(IMAGES, LABELS)
    device.confusion()
    session = device._session
    for n in (0, N_KEPT + 1):  # changes no count
        word = np.array([n], np.uint64)
        session.ask(Command.WRITE, [link.write_payload(on_chip.COUNT_BANK, on_chip.IMAGES, word)])
        (said,) = session.ask(Command.READ, [link.read_payload(on_chip.COUNT_BANK, 0, 2)])
        assert link.unpack_words(said).tolist() == [N_KEPT, int(np.trace(wanted(None)))]
    end = N_KEPT * on_chip.record_words(CORE)
    with pytest.raises(BoardError, match="OUT_OF_RANGE"):
        session.ask(Command.READ, [link.read_payload(on_chip.IMAGE_BANK, end, 1)])
    zero = np.zeros(1, np.uint64)
    session.ask(Command.WRITE, [link.write_payload(on_chip.IMAGE_BANK, 3, zero)])
    session.n_retries += 1  # as after a reset
    with pytest.raises(BoardError, match="word 3 of its images"):
        device._check_kept(on_chip.records(IMAGES, LABELS))


class Streaming(BoardDevice):
    """The same board, its room for images not used."""

    def keep(self, images: object, labels: object) -> bool:
        return False


def rows(open_device: Callable[[], Device], file: Path) -> list[Row]:
    """Rows of a small campaign."""
    errors = [Errors("none", Iid(0.0, 0.0)), Errors("some", Iid(0.05, 0.1, seed=9))]
    job = campaign.make(
        NETWORK, LAYOUT, "virtual", open_device, "", "random", IMAGES, LABELS, errors
    )
    with Store(file) as store:
        return campaign.run([job], StopRule(3, 3), store).agenda.rows()


def test_rows_of_a_campaign_are_the_streamed_ones(board: VirtualBoard, tmp_path: Path) -> None:
    ports = [Counted(board.url, 0, 5.0) for _ in range(1)]
    kept = rows(partial(BoardDevice, ports[0], PLAIN), tmp_path / "kept.sqlite")
    ports.append(Counted(board.url, 0, 5.0))
    streamed = rows(partial(Streaming, ports[1], PLAIN), tmp_path / "streamed.sqlite")
    assert len(kept) == len(streamed) == 4
    for one, other in zip(kept, streamed, strict=True):
        assert one.scores_sha256 == "" and other.scores_sha256  # no score left the chip
        assert one.confusion == other.confusion and not differ(one, other)
        same = ("unit", "n_correct", "n_changed_bits", "faults_sha256", "p01", "p10")
        assert all(getattr(one, name) == getattr(other, name) for name in same)
    assert differ(kept[0], streamed[1]) and differ(kept[0], kept[1])
    assert ports[0].n_bytes < ports[1].n_bytes / 2


def test_a_device_keeps_images_or_has_no_room() -> None:
    assert not isinstance(GoldenDevice(), Keeping)


def test_without_images_nothing_of_a_top_changes() -> None:
    hz, cores = 1_000_000, (PLAIN, CORE)
    assert CORE.sha256 == PLAIN.sha256 and from_json(to_json(CORE)) == CORE
    assert "store" not in to_json(PLAIN)
    texts = [top_verilog(c, clock_hz=hz, target="ecp5") + core_text(c, "ecp5") for c in cores]
    assert "stoic_store" in texts[1] and "class_valid_o" in texts[1]
    assert not any(word in texts[0] for word in ("store", "tally", "class_valid_o "))
    assert {p.stem for p in {*top_sources(CORE)} - {*top_sources(PLAIN)}} == {
        "stoic_store",
        "stoic_tally",
    }
    builds = [build_id(c, clock_hz=hz, target="ecp5") for c in cores]
    said = [
        identity(c, clock_hz=hz, target="ecp5", build=b) for c, b in zip(cores, builds, strict=True)
    ]
    assert [len(link.pack_identity(i)) for i in said] == [46, 48]
    assert [link.unpack_identity(link.pack_identity(i)) for i in said] == said
    with pytest.raises(ValueError, match="46 bytes, or 48"):
        link.unpack_identity(bytes(47))


SFC = Core(
    Layout(
        tuple(Shape(n, m, "bits", m > 10) for n, m in ((784, 256), (256, 256), (256, 10))),
        (Fold(1, 1),) * 3,
    )
)


def test_as_many_images_as_fit_and_no_more() -> None:
    board = boards.load("ulx3s-85f")
    core = fold.fold(SFC, board)
    most = images_on_chip.most(core, board)
    filled = images_on_chip.with_images(core, "max", board)
    assert filled.store == most > 1000 and filled.layout == core.layout
    assert images_on_chip.with_images(core, str(most), board) == filled
    assert fold.lacks(filled, board) == "" != fold.lacks(Core(core.layout, store=most + 1), board)
    assert images_on_chip.with_images(core, "", board) == core
    for wish, at, message in (
        (str(most + 1), board, rf"has room for {most} images of 98 bytes"),
        ("max", boards.load("upduino"), "has room for 0 images of 98 bytes beside this folding:"),
        ("max", None, "needs a board"),
        ("99999", None, r"the host addresses 1\.\.5041 images on the chip, not 99999"),
        ("0", None, "a number from 1 or max"),
        ("few", board, "a number from 1 or max"),
        ("9" * 5000, None, "a number from 1 or max, not '9{12}.{3}9{13}'$"),
        ("\N{ARABIC-INDIC DIGIT THREE}", None, "a number from 1 or max"),
        ("max", boards.load("arty-a7-35t"), "open tools"),
    ):
        with pytest.raises(InputError, match=message):
            images_on_chip.with_images(core, wish, at)
    with pytest.raises(InputError, match=r"the host addresses 1\.\.9362 images"):
        identity(Core(LAYOUT, store=10_000), clock_hz=10**6, target="ecp5", build=bytes(16))


def test_bytes_of_no_network_are_refused_in_one_line(tmp_path: Path) -> None:
    for network, file, says in (
        (tmp_path / "absent.stoic", tmp_path / "x.json", "absent.stoic: no such file"),
        (tmp_path / "absent.stoic", tmp_path, "it is a folder"),
    ):
        command = [sys.executable, "-m", "stoic.hw.kept_bytes", str(network), "--json", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert says in done.stderr

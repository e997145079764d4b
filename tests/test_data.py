"""Data sets are exactly the published ones, or there is one line that says what to do."""

import gzip
import os
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from stoic.models import data
from stoic.sim.exceptions import ArtefactError, InputError

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None


@pytest.fixture(scope="module")
def folder() -> Path:
    return data.find("fashion-mnist", ROOT) or data.fetch("fashion-mnist")


def test_the_splits_are_the_published_images_each_once(folder: Path) -> None:
    parts = {split: data.load("fashion-mnist", split, ROOT) for split in data.SPLITS}
    assert {name: len(p.images) for name, p in parts.items()} == {
        "train": 50_000,
        "validation": 10_000,
        "test": 10_000,
    }
    images, labels = (data.read_idx(folder, f) for f in data.SOURCES["fashion-mnist"].train)
    assert (np.concatenate([parts["train"].images, parts["validation"].images]) == images).all()
    assert (np.concatenate([parts["train"].labels, parts["validation"].labels]) == labels).all()
    assert images.dtype == np.uint8 and images.shape[1:] == (28, 28)
    assert (np.bincount(parts["test"].labels) == 1000).all()


def _copy(folder: Path, to: Path) -> Path:
    target = to / "fashion-mnist"
    target.mkdir(parents=True)
    for path in folder.glob("*.gz"):
        (target / path.name).symlink_to(path.resolve())
    return target


def _replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_one_wrong_label_is_refused(folder: Path, tmp_path: Path) -> None:
    path = _copy(folder, tmp_path) / "t10k-labels-idx1-ubyte.gz"
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[8 + 4321] = (raw[8 + 4321] + 1) % 10
    _replace(path, gzip.compress(bytes(raw)))
    with pytest.raises(ArtefactError, match=r"t10k-labels.*hash"):
        data.load("fashion-mnist", "test", tmp_path)
    data.load("fashion-mnist", "validation", tmp_path)  # the other files are as they were


def test_a_truncated_or_foreign_file_is_refused(folder: Path, tmp_path: Path) -> None:
    path = _copy(folder, tmp_path) / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"<html>moved</html>", b""):
        _replace(path, content)
        with pytest.raises(ArtefactError, match="t10k-images"):
            data.load("fashion-mnist", "test", tmp_path)


def test_unknown_names_are_answered_with_the_legal_ones() -> None:
    with pytest.raises(InputError, match="one of fashion-mnist, mnist, not 'fashion'"):
        data.load("fashion", "test")
    with pytest.raises(InputError, match="one of train, validation, test, not 'dev'"):
        data.load("mnist", "dev")


def test_fetch_downloads_checks_and_keeps(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server on this machine stands where the data set's site would."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = data.SOURCES["fashion-mnist"]
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setitem(data.SOURCES, "fashion-mnist", replace(source, url=url, package=None))
        target = data.fetch("fashion-mnist", tmp_path)
        server.shutdown()
    assert target == tmp_path / "fashion-mnist"
    assert [p.name for p in tmp_path.iterdir()] == ["fashion-mnist"]  # no scratch left behind
    assert data.fetch("fashion-mnist", tmp_path) == target  # the server is gone: nothing is fetched


def test_a_missing_set_without_a_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = data.SOURCES["mnist"]
    monkeypatch.setitem(data.SOURCES, "mnist", replace(source, url="http://127.0.0.1:1"))
    with pytest.raises(
        InputError, match=r"mnist is not here .* put its idx .gz files into"
    ) as error:
        data.load("mnist", "test", None, tmp_path)
    assert "\n" not in str(error.value)

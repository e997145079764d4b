"""Data sets are exactly the published ones, or there is one line that says what to do."""

import gzip
import hashlib
import io
import lzma
import os
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from stoic.models import data, records
from stoic.models.records import Records
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
    images, labels = data.read_part(folder, data.SOURCES["fashion-mnist"].train)
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
    with pytest.raises(InputError, match="one of fashion-mnist, mnist, cifar10, not 'fashion'"):
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


# ---- CIFAR-10 ----


def test_cifar10_is_the_published_set_channel_last() -> None:
    if data.find("cifar10", ROOT) is None:
        pytest.skip("no CIFAR-10 here; `stoic data fetch cifar10` fetches 162 MB")
    test = data.load("cifar10", "test", ROOT)
    assert test.images.shape == (10_000, 32, 32, 3) and test.images.dtype == np.uint8
    assert (np.bincount(test.labels) == 1000).all()
    # neighbours on the image are alike, which planes taken for pixels are not
    images = test.images[:500].astype(int)
    mixed = images.reshape(500, 3, 32, 32).transpose(0, 2, 3, 1)
    near, far = (abs(np.diff(x, axis=2)).mean() for x in (images, mixed))
    assert near < 0.7 * far
    # red, green and blue as published. Source: the means that everyone normalises CIFAR-10 with,
    # 0.4914, 0.4822, 0.4465 of the training images; the test images are near
    means = test.images.mean((0, 1, 2)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.005)


def small_set(rng: np.random.Generator) -> tuple[dict[str, bytes], data.Source]:
    """Files of 30 + 10 records, and what they must be."""

    def part(names: tuple[str, ...], n: int) -> tuple[dict[str, bytes], Records]:
        rows = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
        parts = np.array_split(rows, len(names))
        ordered = sorted((r.tobytes() for r in rows), key=lambda r: hashlib.sha256(r).digest())
        sha256 = hashlib.sha256(b"".join(ordered)).hexdigest()
        contents = {k: p.tobytes() for k, p in zip(names, parts, strict=True)}
        return contents, Records(names, n, sha256)

    train, test = part(("a.bin", "b.bin"), 30), part(("t.bin",), 10)
    return train[0] | test[0], data.Source(train[1], test[1], "http://127.0.0.1:1", None)


def test_records_mean_the_same_in_every_order_and_compression(tmp_path: Path) -> None:
    files, source = small_set(np.random.default_rng(0))
    part = source.train
    assert isinstance(part, Records)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    images, labels = records.read_records(tmp_path, part)
    raw = np.frombuffer(files["a.bin"] + files["b.bin"], np.uint8).reshape(-1, 3073)
    found = {
        (int(label), image.transpose(2, 0, 1).tobytes())
        for image, label in zip(images, labels, strict=True)
    }
    assert found == {(int(row[0]), row[1:].tobytes()) for row in raw}

    other = tmp_path / "other"
    other.mkdir()
    shuffled = np.random.default_rng(1).permutation(raw)
    (other / "a.bin.xz").write_bytes(lzma.compress(shuffled[:20].tobytes()))
    (other / "b.bin").write_bytes(shuffled[20:].tobytes())
    again = records.read_records(other, part)
    assert (again[0] == images).all() and (again[1] == labels).all()

    shuffled[3, 700] ^= 1
    whole = lzma.compress(shuffled[:20].tobytes())
    for content, says in (
        (whole, "hash to"),
        (whole[:-9], "not an xz"),
        (lzma.compress(b""), "bytes"),
    ):
        (other / "a.bin.xz").write_bytes(content)
        with pytest.raises(ArtefactError, match=says):
            records.read_records(other, part)


def test_records_are_fetched_from_their_archive_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server on this machine stands where the data set's site would."""
    files, source = small_set(np.random.default_rng(2))
    site, cache = tmp_path / "site", tmp_path / "cache"
    site.mkdir()
    with tarfile.open(site / "set.tar.gz", "w:gz") as tar:
        for name, content in {**files, "readme.html": b"x"}.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/set.tar.gz"
        monkeypatch.setitem(data.SOURCES, "cifar10", replace(source, url=url))
        target = data.fetch("cifar10", cache)
        (site / "set.tar.gz").write_bytes(b"<html>moved</html>")
        with pytest.raises(ArtefactError, match="not an archive of the data set"):
            data.fetch("cifar10", tmp_path / "second")
        server.shutdown()
    assert sorted(p.name for p in target.iterdir()) == ["a.bin", "b.bin", "t.bin"]
    assert [p.name for p in cache.iterdir()] == ["cifar10"]
    monkeypatch.setitem(data.SOURCES, "cifar10", source)
    with pytest.raises(InputError, match="cifar10 is not here .* put its .bin files into"):
        data.load("cifar10", "test", None, tmp_path / "none")

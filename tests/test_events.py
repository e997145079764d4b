"""Event lists as ctapipe and pyfact lay them out: numbers, events, regions, and what is refused."""

import re
import sys
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from stoic.models.weak_labels import events
from stoic.sim.exceptions import ArtefactError, InputError, ToolError

HILLAS = "dl2/event/subarray/geometry/HillasReconstructor"
FOREST = "dl2/event/subarray/particle_type/RandomForestClassifier"
DIRECTION = [f"{HILLAS}/HillasReconstructor_{angle}" for angle in ("alt", "az")]
VALID = f"{HILLAS}/HillasReconstructor_is_valid"
SCORE = f"{FOREST}/RandomForestClassifier_prediction"
PAGE = Path(__file__).parent.parent / "docs" / "weak_labels.md"


def _ctapipe(path: Path, direction: np.ndarray, is_valid: np.ndarray, score: np.ndarray) -> None:
    """Data sets of records, Blosc and checksums, as PyTables writes them for ctapipe 0.28."""
    n = len(score)
    columns = {
        HILLAS: {
            DIRECTION[0]: np.where(is_valid, direction[:, 0], np.nan),
            DIRECTION[1]: np.where(is_valid, direction[:, 1], np.nan),
            VALID: is_valid.astype("u1"),
            "HillasReconstructor_telescopes": np.ones((n, 3), "u1"),
        },
        FOREST: {SCORE: score, "RandomForestClassifier_scaled": np.arange(n, dtype="u2")},
    }
    with h5py.File(path, "w") as file:
        for table, values in columns.items():
            named = {"obs_id": np.full(n, 7), "event_id": 10 * np.arange(n) + 3} | {
                name.rpartition("/")[2]: column for name, column in values.items()
            }
            records = np.empty(n, [(k, v.dtype, v.shape[1:]) for k, v in named.items()])
            for name, column in named.items():
                records[name] = column
            blosc = hdf5plugin.Blosc(cname="zstd", clevel=5)
            made = file.create_dataset(
                table, data=records, chunks=(64,), maxshape=(None,), fletcher32=True, **blosc
            )
            made.attrs["CLASS"] = np.bytes_("TABLE")
            if table == FOREST:
                made.attrs["CTAFIELD_3_TRANSFORM_SCALE"] = 100.0


def _pyfact(path: Path, thetas: np.ndarray, features: np.ndarray) -> None:
    """A group of columns that grow, as pyfact 0.26.2 writes them."""
    names = ["theta_deg", *(f"theta_deg_off_{i}" for i in range(1, thetas.shape[1]))]
    with h5py.File(path, "w") as file:
        group = file.create_group("events")
        for name, values in zip(names, thetas.T, strict=True):
            group.create_dataset(name, data=values, maxshape=(None,))
        for name, values in zip(("size", "width", "length"), features.T, strict=True):
            group.create_dataset(name, data=values.astype("f4"), maxshape=(None,))
        group.create_dataset("source", data=["Crab"] * len(thetas), dtype=h5py.string_dtype())
        group.create_dataset("few", data=np.zeros(3))
        file["square"] = np.zeros((2, 2), [("x", "f4")])


def _sky(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thetas (n, 6), features (n, 3) and which are gammas, of an observation with a source."""
    rng = np.random.default_rng(5)
    is_gamma = np.arange(n) % 8 == 0
    region = np.where(is_gamma, 0, rng.integers(0, 7, n))  # the last one is no region
    thetas = rng.uniform(0.3, 1.2, (n, 6))
    for i in range(6):
        thetas[region == i, i] = rng.uniform(0, 0.15, (region == i).sum())
    return thetas, np.exp(rng.normal(0, 1, (n, 3)) + is_gamma[:, None] * [1.5, -1.5, 0]), is_gamma


def test_ctapipe_columns_of_several_tables_are_of_the_valid_events(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path, n = tmp_path / "gamma.dl2.h5", 300
    direction, score, is_valid = rng.normal(70, 1, (n, 2)), rng.random(n), rng.random(n) < 0.8
    _ctapipe(path, direction, is_valid, score)
    found = events.read(path, [SCORE, *DIRECTION], valid=[VALID])
    assert np.array_equal(found, np.c_[score, direction][is_valid])
    with pytest.raises(InputError, match=f"_alt is not finite in {(~is_valid).sum()} of 300"):
        events.read(path, DIRECTION)
    for name, why in (
        (f"{HILLAS}/alt", "no column 'alt', but obs_id, .*HillasReconstructor_az"),
        (f"{HILLAS}x/alt", "no table .*named TABLE/COLUMN"),
        (f"{HILLAS}/HillasReconstructor_telescopes", "not one number an event"),
        (f"{FOREST}/RandomForestClassifier_scaled", "scaled integers"),
    ):
        with pytest.raises(InputError, match=why):
            events.read(path, [name])
    with pytest.raises(InputError, match="truth values"):
        events.read(path, [SCORE], valid=[f"{HILLAS}/event_id"])
    with h5py.File(path, "r+") as file:
        table = file[FOREST]
        assert isinstance(table, h5py.Dataset)
        table[:] = table[:][[1, 0, *range(2, n)]]
    with pytest.raises(InputError, match="differ in event_id: other events"):
        events.read(path, [SCORE, *DIRECTION], valid=[VALID])
    assert events.read(path, [SCORE]).shape == (n, 1)


def test_files_that_are_no_event_lists_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "crab.hdf5"
    thetas, features, _ = _sky(50)
    _pyfact(path, thetas, features)
    with h5py.File(path, "a") as file:
        file["large/x"] = np.array([(1 << 53) + 1])
    wrong: tuple[tuple[Any, str], ...] = (
        (["events/few", "events/size"], "events/size has 50 rows, events/few 3"),
        (["events/source"], "not one number an event"),
        (["square/x"], "not one number an event"),
        (["events/few/x"], "no column 'x', but none"),
        (["size"], "no table ''"),
        (["events/size/width"], "no column 'width'"),
        ([], "at least one name"),
        ("events/size", "a list of names"),
        ([1], "a list of names"),
        (["large/x"], "numbers beyond 2.53"),
    )
    for names, why in wrong:
        with pytest.raises(InputError, match=why):
            events.read(path, names)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no HDF5 at all"):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match="missing, damaged or not HDF5"):
            events.read(path, ["events/size"])
    for nothing in (tmp_path / "absent.h5", tmp_path):
        with pytest.raises(ArtefactError, match="^.*missing.*$"):  # a line
            events.read(nothing, ["events/size"])
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(ToolError, match=r"'hdf5plugin'; install stoic\[events\]"):
        events.read(path, ["events/size"])


def test_an_event_lies_in_the_region_that_its_distance_says_and_in_no_second_one() -> None:
    distances = [[0.2, 0.9], [0.9, 0.2], [0.21, 0.3], [np.nextafter(0.2, 1), 0.1]]
    assert events.regions(distances, 0.2).tolist() == [0, 1, events.OUTSIDE, 1]
    with pytest.raises(InputError, match="1 events lie in two regions"):
        events.regions(distances, 0.25)
    for wrong, radius in (
        ([[0.1]], 0.2), ([[0.1, np.nan]], 0.2), ([[-1.0, 0.9]], 0.2), (distances, 0.0),
        ([["a", "b"]], 0.2), ([[0.1, 0.9], [0.1]], 0.2),
    ):  # fmt: skip
        with pytest.raises(InputError, match="must be"):
            events.regions(wrong, radius)


@pytest.mark.parametrize("n_off_regions", [1, 5])
def test_off_positions_are_the_source_turned_about_the_pointing(n_off_regions: int) -> None:
    turns = 2 * np.pi * np.arange(n_off_regions + 1) / (n_off_regions + 1)
    for latitude in (0.0, 60.0, -75.0):  # offsets are small: the sky is flat to 1e-3 of them
        offsets = (
            0.5 * np.c_[np.sin(turns + 0.3), np.cos(turns + 0.3) / np.cos(np.radians(latitude))]
        )
        centres = [latitude, 359.9] + offsets
        found = events.reflected(centres, [latitude, 359.9], centres[0], n_off_regions)
        chords = np.abs(np.exp(1j * turns)[:, None] - np.exp(1j * turns)) / 2
        mirrored = chords[:, (-np.arange(n_off_regions + 1)) % (n_off_regions + 1)]
        near = [np.abs(found - told).max() < 0.02 for told in (chords, mirrored)]
        assert any(near)
    with pytest.raises(InputError, match="no off positions"):
        events.reflected([1.0, 2.0], [3.0, 4.0], [3.0, 4.0], n_off_regions)
    for origins, why in (
        ([1.0, np.inf], "must be finite"),
        ([180.0, 70.0], "altitude comes before azimuth"),
        (np.zeros((5, 2)), r"as many as events, not \[3, 5\]"),
    ):
        with pytest.raises(InputError, match=why):
            events.reflected(origins, np.full((3, 2), 4.0), [3.5, 4.0], n_off_regions)
    with pytest.raises(InputError, match="whole number from 1 on, not 1.5"):
        events.reflected([1.0, 2.0], [3.0, 4.0], [3.5, 4.0], 1.5)  # type: ignore[arg-type]


def test_the_page_finds_a_source_in_files_of_both_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thetas, features, is_gamma = _sky(4000)
    _pyfact(tmp_path / "crab.hdf5", thetas, features)
    rng = np.random.default_rng(2)
    direction = np.where(is_gamma[:, None], [70.5, 180.0], [70.0, 180.0])
    direction = direction + rng.normal(0, 1, (4000, 2)) * np.where(is_gamma, 0.05, 0.5)[:, None]
    _ctapipe(tmp_path / "gamma.dl2.h5", direction, rng.random(4000) < 0.9, rng.random(4000))
    monkeypatch.chdir(tmp_path)
    blocks = [b for b in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "read(" in b]
    names: dict[str, np.ndarray] = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 2
    assert names["found"].shape[1] == 3 and (names["region"] == 0).sum() > 300
    assert float(names["S"]) > 10  # without a source about 0

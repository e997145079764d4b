"""MAGIC and KEEL are exactly the published tables, or there is one line that says what to do."""

import os
from pathlib import Path

import numpy as np
import pytest

from stoic.models import event_tables
from stoic.models.commands import data_fetch
from stoic.sim.exceptions import ArtefactError, InputError

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None


@pytest.fixture(scope="module")
def magic() -> event_tables.Table:
    try:
        return event_tables.load_magic(ROOT)
    except InputError as error:
        pytest.skip(str(error))


def test_magic_has_its_events(magic: event_tables.Table, tmp_path: Path) -> None:
    assert magic.features.shape == (19_020, 10) and magic.is_positive.sum() == 12_332
    rows = [[*map(repr, row.tolist())] for row in magic.features]
    labels = np.where(magic.is_positive, "g", "h")
    lines = [",".join([*row, label]) for row, label in zip(rows, labels, strict=True)]
    path = tmp_path / "magic" / event_tables.MAGIC_FILE
    path.parent.mkdir()
    path.write_text("\r\n".join(lines))  # other digits and line ends, the same numbers
    assert data_fetch("magic", tmp_path)["files"][0]["decoded_sha256"] == event_tables.MAGIC_SHA256
    lines[7] = lines[7][:-1] + "h"
    for content, why in (("\n".join(lines), "hash"), ("1,x,g", "table of numbers")):
        path.write_text(content)
        with pytest.raises(ArtefactError, match=rf"magic04\.data: .*{why}"):
            event_tables.load_magic(tmp_path)


def test_keel_has_its_sets(tmp_path: Path) -> None:
    try:
        sets = event_tables.load_keel(ROOT)
    except InputError as error:
        pytest.skip(str(error))
    assert len(sets) == 100
    assert sets["cleveland-0_vs_4"].features.shape == (173, 13)  # 4 of 177 lack a value
    assert sets["car-good"].features.shape == (1728, 21)  # 6 nominal features
    assert sets["abalone19"].is_positive.sum() == 32
    assert all(np.isfinite(t.features).all() and t.is_positive.any() for t in sets.values())
    path = tmp_path / "keel" / event_tables.KEEL_FILE
    path.parent.mkdir()
    path.write_bytes(b"<html>moved</html>")
    with pytest.raises(ArtefactError, match="not an archive"):
        event_tables.load_keel(tmp_path)
    with pytest.raises(InputError, match="one of magic, keel, not 'adult'"):
        event_tables.check("adult")

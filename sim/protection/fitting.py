"""Threshold tables for a network: of an operating point, or of the one chip that is there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import InputError
from ..faults import FaultMap, check_for
from ..memory import Layout, layout_of, stored_bits
from ..network import Network, check_images
from ..operating_points import OperatingPoint
from ..rows import data_sha256
from ..tables import Table
from .protection import Known
from .thresholds import Method, Thresholds

CHIPS = 16
"""With few chips a table is for their accidents: docs/protection.md has what 4 cost."""
SEED = 1 << 20
"""Of the chips for calibration; chips on which accuracy is measured have small seeds."""

Refit = Callable[[Sequence[FaultMap], NDArray[np.generic]], Network]
"""Maps and images to the same network with thresholds measured under them: what knows more of the
network than its file does, as `models.calibration.recalibrated` knows its batch norms."""


def of_point(
    network: Network,
    point: OperatingPoint,
    images: NDArray[np.generic] | None,
    by: Method | Refit = "statistics",
    chips: int = CHIPS,
    seed: int = SEED,
    layout: Layout | None = None,
    data_root: Path | None = None,
    images_name: str = "",
) -> Table:
    """A table for any chip at an operating point; its name is that of the point.

    Args:
        images: (n, ...) integers for calibration, never those on which accuracy is measured; the
            closed form of equal rates needs none.
        by: a method, or what measures the thresholds anew.
        chips: that are drawn, for all but the closed form.
        seed: of their population, never that of the chips on which accuracy is measured.
        layout: of the memory; one processing element a layer.
        data_root: folder of measured data, for a model that replays them.

    Raises:
        InputError: images are missing or do not fit, fewer than one chip, or an unknown method.
    """
    layout = layout or layout_of(network)
    model = point.model(seed, data_root)
    stored = stored_bits(network, layout) if model.needs_data else None
    known = Known(
        point.p01,
        point.p10,
        images,
        seed=seed,
        maps=lambda chip: model.sample(layout, chip, event=chip, stored=stored),
    )
    drawn = {} if by == "closed" else {"chips": chips, "seed": seed, "layout": layout.sha256}
    provenance = {"condition": point.name, "p01": point.p01, "p10": point.p10, **drawn}
    return _table(network, point.name, layout, known, by, chips, provenance, images_name)


def of_chip(
    network: Network,
    name: str,
    faults: FaultMap,
    images: NDArray[np.generic],
    by: Method | Refit = "statistics",
    images_name: str = "",
) -> Table:
    """A table for the one chip whose faults are known.

    Args:
        images: (n, ...) integers for calibration, never those on which accuracy is measured.

    Raises:
        InputError: the map is of another network, the images do not fit, or the closed form is
            asked for.
    """
    check_for(network, faults)
    if by == "closed":
        raise InputError("the closed form knows rates, not a chip; use statistics or data")
    known = Known(images=images, maps=lambda chip: faults)
    provenance = {
        "condition": f"chip {faults.sha256[:12]}",
        "faults_sha256": faults.sha256,
        "faults": faults.provenance,
    }
    return _table(network, name, faults.layout, known, by, 1, provenance, images_name)


def _table(
    network: Network,
    name: str,
    layout: Layout,
    known: Known,
    by: Method | Refit,
    chips: int,
    provenance: dict[str, Any],
    images_name: str,
) -> Table:
    if callable(by):
        maps = [known.chip(layout, chip) for chip in range(chips)]
        values = [la.thresholds for la in by(maps, known.calibration("batch norms")).layers]
    else:
        fitted = Thresholds(by, chips).fit(network, layout, known)
        assert fitted.tables is not None, "a fitted protection has its thresholds"
        values = [np.array(t, np.int32) if t else None for t in fitted.tables]
    seen: dict[str, Any] = {"images": None}
    if known.images is not None:
        u8 = check_images(network, known.images)
        seen = {
            "images": images_name or None,
            "n_images": len(u8),
            "images_sha256": data_sha256(u8, np.empty(0)),
        }
    method = "batch_norms" if callable(by) else by
    return Table(name, tuple(values), {**provenance, "by": method, **seen})

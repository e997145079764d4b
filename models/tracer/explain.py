"""The explanation of some predictions, as JSON values: for `stoic trace` and the report page."""

import logging
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim import faults as fault_maps
from ...sim import golden
from ...sim.engine import Engine, EngineDevice
from ...sim.exceptions import InputError
from ..data import Images, load
from ..frozen import integers
from .faulted import auc, classes_of_steps, last_flips, predictors, undone, wrong_places
from .influence import (
    Trace,
    by_class,
    by_example,
    cosines,
    precision_at,
    shares_of_classes,
    top,
    trace,
)
from .ledger import Ledger
from .thresholds import moved
from .views import View, binary_views, toward

WIDTH = 0.05
"""Of the kernel, in units of the cosine. Source: xai.py of Whadup/xai_tracking."""
_N_POINTS = 81

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
_KS = (1, 8, 64)
_CHUNK, _MAX_BYTES = 32_000_000, 4_000_000_000


def images_of(ledger: Ledger, root: Path | None, n: int) -> tuple[Images, Images]:
    """The training images that the ledger's numbers mean, and the first `n` test images.

    Raises:
        InputError: they are not those of the ledger, or there are fewer test images.
    """
    recipe = ledger.checkpoint.recipe
    data = str(recipe.get("data"))
    training, test = load(data, "train", root), load(data, "test", root)
    if not recipe.get("held_out", True):
        training = joined(training, load(data, "validation", root))
    if not np.array_equal(training.labels, ledger.labels):
        raise InputError(f"{ledger.folder}: was not written on the training images of {data}")
    if n > len(test.images):
        raise InputError(f"{data} has {len(test.images)} test images, not {n}")
    return training, Images(test.images[:n], test.labels[:n])


def explained(
    ledger: Ledger, training: Images, test: Images, n_shown: int, n_top: int
) -> dict[str, Any]:
    """The trace of a network's answers to test images, as JSON values.

    Args:
        n_shown: predictions to explain one by one, half of them right ones, as far as there are.
        n_top: training images for each of them and layer.

    Returns:
        layers: [{layer, steps, flips, total, residual, precision: {k: share of the k most
        influential images that are of the predicted class}}]; thresholds, see `moved`;
        predictions and examples, see `predictions`.
    """
    checkpoint = ledger.checkpoint
    if n_top > len(ledger.labels):
        raise InputError(f"there are {len(ledger.labels)} training images, not {n_top} to show")
    scores = Engine(integers(checkpoint)).scores(test.images)
    predicted = golden.classify(scores).astype(np.int64)
    views = binary_views(checkpoint, ledger.first, test.images)
    views.append(toward(views[-1], predicted))
    n_flips, n_steps = _counted(ledger)
    _check_room(n_steps, len(test.images), len(views))
    traced = trace(ledger.epochs(), views)
    ks = [k for k in _KS if k < len(ledger.labels)]
    layers = []
    for i, name in enumerate(traced.names):
        layers.append(
            {
                "layer": name,
                "steps": len(traced.examples),
                "flips": int(n_flips[views[i].layer]),
                "total": float(traced.totals[i].mean()),
                "residual": traced.residuals[i],
                "precision": _precision(traced, i, ledger.labels, predicted, ks),
            }
        )
    is_right = predicted == test.labels
    right, wrong = np.flatnonzero(is_right), np.flatnonzero(~is_right)
    shown = np.concatenate([right[: n_shown - n_shown // 2], wrong[: n_shown // 2]])
    return {
        "layers": layers,
        "thresholds": moved(ledger, views),
        **predictions(ledger, traced, views, training, test, predicted, shown, n_top),
    }


def _counted(ledger: Ledger) -> tuple[NDArray[np.int64], int]:
    """Flips by layer, and steps."""
    n_flips, n_steps = np.zeros(len(ledger.checkpoint.layers), np.int64), 0
    for epoch in ledger.epochs():
        n_flips += [len(updates.places) for updates in epoch.updates]
        n_steps += len(epoch.examples)
    return n_flips, n_steps


def _check_room(n_steps: int, n_images: int, n_views: int) -> None:
    """Refuse scores that would not fit: a float32 for each step, image and view."""
    n_bytes = 4 * n_steps * n_images * n_views
    if n_bytes > _MAX_BYTES:
        raise InputError(
            f"scores of {n_steps} steps on {n_images} images would take {n_bytes / 1e9:.1f} GB, "
            f"more than {_MAX_BYTES / 1e9:g}; ask for at most "
            f"{_MAX_BYTES // (4 * n_steps * n_views)} images"
        )


def _precision(
    traced: Trace,
    view: int,
    labels: NDArray[np.uint8],
    predicted: NDArray[np.int64],
    ks: Sequence[int],
) -> dict[str, float]:
    """`precision_at` of each k, so many images at a time that their influences are _CHUNK bytes."""
    n = max(1, _CHUNK // (4 * len(labels)))
    found = np.zeros(len(ks))
    for first in range(0, len(predicted), n):
        some = slice(first, first + n)
        influence = by_example(traced, view, len(labels), some)
        found += [
            precision_at(influence, labels, predicted[some], k) * influence.shape[1] for k in ks
        ]
    return {str(k): float(v) for k, v in zip(ks, found / len(predicted), strict=True)}


def faulted(ledger: Ledger, test: Images, path: Path) -> dict[str, Any]:
    """What a fault map takes back, and whether that tells which predictions change.

    Returns:
        map, n_wrong_bits; n_wrong_threshold_bits, which no entry of a ledger of weights accounts
        for, though predictions may change by them; layers: [{layer, wrong_bits: by class and
        never, undone: mean share of the refinement}]; n_changed predictions; auc: by predictor,
        see `predictors`.
    """
    faults = fault_maps.load(path)
    checkpoint = ledger.checkpoint
    places = wrong_places(checkpoint, faults)
    network = integers(checkpoint)
    n_elsewhere = fault_maps.n_changed(network, fault_maps.restrict(faults, where=["thresholds"]))
    if n_elsewhere:
        log.info("%s: %d bits of thresholds are wrong, too: no predictor knows", path, n_elsewhere)
    views = binary_views(checkpoint, ledger.first, test.images)
    device = EngineDevice(threads=1)
    device.load(network)
    clean = device.infer(test.images)
    predicted = golden.classify(clean).astype(np.int64)
    device.inject(faults)
    changed = golden.classify(device.infer(test.images)) != predicted
    taken = undone(
        places, last_flips(ledger), classes_of_steps(ledger), checkpoint, views, predicted
    )
    return {
        "map": faults.sha256,
        "n_wrong_bits": sum(map(len, places)),
        "n_wrong_threshold_bits": n_elsewhere,
        "layers": [
            {
                "layer": name,
                "wrong_bits": n_bits.tolist(),
                "undone": float(shares.sum(0).mean()),
            }
            for name, n_bits, shares in zip(taken.names, taken.n_bits, taken.shares, strict=True)
        ],
        "n_changed": int(changed.sum()),
        "auc": {name: auc(of, changed) for name, of in predictors(taken, clean).items()},
    }


def joined(first: Images, second: Images) -> Images:
    """Images of both, in order."""
    return Images(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
    )


def predictions(
    ledger: Ledger,
    traced: Trace,
    views: Sequence[View],
    training: Images,
    test: Images,
    predicted: NDArray[np.int64],
    shown: NDArray[np.int64],
    n_top: int,
) -> dict[str, Any]:
    """Most influential training images, classes and ridges of some predictions, by layer.

    Args:
        traced, views: of the test images.
        training: what the ledger's numbers mean.
        predicted: (n_test,) classes.
        shown: numbers of the test images to explain.
        n_top: training images of each layer.

    Returns:
        predictions: [{image, label, predicted, pixels, layers: [{name, total, top: [{example,
        label, score}], classes: [score], ridge: {high, densities}}]}];
        examples: pixels by number. Pixels are {shape, base64 of uint8}.
    """
    n_classes = int(ledger.labels.max()) + 1
    angles, sizes = cosines(ledger.epochs(), [view.of(shown) for view in views])
    shares = shares_of_classes(traced, ledger.labels, n_classes)
    layers: list[list[dict[str, Any]]] = [[] for _ in shown]
    examples: dict[str, Any] = {}
    for i, name in enumerate(traced.names):
        influence = by_example(traced, i, len(ledger.labels), shown)
        of_classes = by_class(traced, i, ledger.labels, n_classes)[:, shown]
        best = top(influence, n_top)
        for k in range(len(shown)):
            examples |= {str(e): pixels(training.images[e]) for e in best[:, k]}
            layers[k].append(
                {
                    "name": name,
                    "total": float(traced.totals[i][shown[k]]),
                    "top": [
                        {
                            "example": int(e),
                            "label": int(ledger.labels[e]),
                            "score": float(influence[e, k]),
                        }
                        for e in best[:, k]
                    ],
                    "classes": [float(v) for v in of_classes[:, k]],
                    "ridge": ridge(angles[i][:, k], sizes[i][:, k], shares),
                }
            )
    return {
        "predictions": [
            {
                "image": int(x),
                "label": int(test.labels[x]),
                "predicted": int(predicted[x]),
                "pixels": pixels(test.images[x]),
                "layers": layers[k],
            }
            for k, x in enumerate(shown)
        ],
        "examples": examples,
    }


def ridge(angle: Floats, size: Floats, shares: NDArray[np.float32]) -> dict[str, Any]:
    """Densities of the cosine by class: one Gaussian a step, as heavy as its contribution is long.

    Args:
        angle, size: (n_steps,) cos(c_t, p) and |c_t|.
        shares: (n_classes, n_steps) of the classes in each step.

    Returns:
        high: the grid reaches from -high to high; densities: by class, of equal points on it.
    """
    high = min(1.0, float(np.abs(angle).max()) + 3 * WIDTH)
    grid = np.linspace(-high, high, _N_POINTS)
    width = WIDTH * high
    kernels = np.exp(-0.5 * ((grid[:, None] - angle) / width) ** 2) * size  # (n_points, n_steps)
    found = shares.astype(np.float64) @ kernels.T
    whole = found.sum(1, keepdims=True)
    densities = found / np.where(whole > 0, whole, 1)
    return {"high": high, "densities": np.round(densities, 6).tolist()}


def pixels(image: NDArray[np.uint8]) -> dict[str, Any]:
    """An image as JSON values."""
    return {"shape": list(image.shape), "base64": b64encode(image.tobytes()).decode()}

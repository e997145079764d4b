"""The command `tolerance`: what a network tolerates, told without injecting an error."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..sim import golden
from ..sim.commands import NetworkFile, TableName, load_network
from ..sim.container import writable
from ..sim.engine import PREFIX_BYTES, Engine
from ..sim.errors import Iid
from ..sim.exact_sums import sample
from ..sim.exceptions import InputError
from ..sim.memory import layout_of
from ..sim.network import Network
from ..sim.tolerance import attacks
from ..sim.tolerance.certificates import certify
from ..sim.tolerance.importance import Importance, importance
from ..sim.tolerance.metrics import layer_tolerances
from ..sim.tolerance.network_metrics import network_metrics
from ..sim.tolerance.prediction import Predicted, predict
from . import inputs
from .commands import Data, DataRoot, InputFile, Split

RATES = (0.0, 0.001, 0.01, 0.025, 0.033, 0.05, 0.075, 0.1, 0.15, 0.2)
_N_IMAGES = 1000
_PRODUCTS = 4_000_000_000  # of the prediction at one rate, more only for the first images
_QUANTILES = (0.01, 0.05, 0.25, 0.5)
_N_WITNESSES = 2  # checked of each kind
_KINDS: dict[attacks.Kind, str] = {
    "weights": "weights of the last layer",
    "activations": "bits that the last layer sees",
    "hidden_weights": "weights of the last hidden layer",
    "both": "weights of the last two layers",
}


def tolerance(
    network: NetworkFile,
    data: Data = None,
    split: Split = "test",
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            min=1,
            help="The first so many images; else 1000, more where they are cheap to predict on.",
        ),
    ] = None,
    input_file: InputFile = None,
    ber: Annotated[
        float, typer.Option(help="Bit error rate of flip probabilities and metrics, 0..0.125.")
    ] = 0.05,
    share01: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of errors 0 -> 1 in predictions and flip probabilities."
        ),
    ] = 0.5,
    neurons: Annotated[
        int, typer.Option(min=0, help="Neurons a layer whose importance is measured; 0: none.")
    ] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampled prediction.")] = 0,
    chips: Annotated[
        int,
        typer.Option(min=0, help="Inject after all, into so many chips, to judge the prediction."),
    ] = 0,
    table: TableName = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Draw it: .svg, .png or .pdf.", callback=writable),
    ] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Margins, importance, certificates, metrics and predicted accuracy of a network, in seconds.

    What is exact, and what is reconstructed, is told in docs/tolerance.md.
    """
    net = load_network(network, table)
    images = inputs.images(net, data, split, n, input_file, data_root)
    if plot is not None and images.labels is None:
        raise InputError("--plot needs labels; give --data NAME")
    u8 = images.values[: n or _N_IMAGES]
    u8_predicted = images.values[: n or max(_N_IMAGES, _PRODUCTS // _products(net))]
    chosen = sample(net, len(u8))
    p01, p10 = _rates(ber, share01)
    layers = layer_tolerances(net, u8[chosen], p01, p10)
    scores = Engine(net).scores(u8)
    accuracy: float | None = None
    metrics: dict[str, float] = {}
    predictions: list[dict[str, Any]] = []
    found: list[Importance] = []
    if images.labels is not None:
        all_labels = images.labels.astype(np.int64)
        labels = all_labels[: len(u8)]
        accuracy = float((golden.classify(scores) == labels).mean())
        known, others = _predicted(
            net, u8_predicted, all_labels[: len(u8_predicted)], share01, seed
        )
        clean = golden.classify(Engine(net).scores(images.values)) == all_labels
        anchor = float(clean.mean() - clean[: len(u8_predicted)].mean())
        reused = known if len(u8_predicted) == len(u8) else ()
        metrics = network_metrics(net, u8, labels, ber, seed, predicted=reused)
        predictions = [
            {
                "ber": rate,
                "p01": a.p01,
                "p10": a.p10,
                "accuracy": a.accuracy,
                "anchored": a.accuracy + anchor,
                "all_but_first": b.accuracy,
                "agreement": a.agreement,
                "standard_error": a.standard_error,
                "method": a.method,
            }
            for rate, a, b in zip(RATES, known, others, strict=True)
        ]
        if neurons and len(net.members) == 1:
            found = importance(net, u8[chosen], labels[chosen], neurons)
    if chips and images.labels is not None:
        _judge(predictions, net, images, chips, seed)
    result = {
        "network": net.name,
        "network_sha256": net.sha256,
        "images": images.name,
        "n_images": len(u8),
        "n_predicted": len(u8_predicted),
        "n_anchor": len(images.values),
        "seeds": [seed],
        "ber": ber,
        "share01": share01,
        "accuracy": accuracy,
        "metrics": metrics,
        "layers": [
            layer.as_json()
            | {f"importance_{of.estimator}": of.variance for of in found if of.name == layer.name}
            for layer in layers
        ],
        "certificates": _certificates(net, u8, scores),
        "predicted": predictions,
    }
    if plot is not None:
        from ..sim.report.figures import save_figure
        from ..sim.report.tolerance import tolerance_figure

        save_figure(tolerance_figure(result), plot)
        result["figure"] = plot
    return result


def _products(net: Network) -> int:
    """Of bits, for one image."""
    return sum(layer.n_windows * layer.n_inputs * layer.n_outputs for layer in net.layers)


def _rates(ber: float, share01: float) -> tuple[float, float]:
    """(p01, p10) with the mean `ber`."""
    return 2 * ber * share01, 2 * ber * (1 - share01)


def _predicted(
    net: Network, images: NDArray[np.uint8], labels: NDArray[np.int64], share01: float, seed: int
) -> tuple[list[Predicted], list[Predicted]]:
    """With errors in all layers, and in all but the first of every member."""
    rates = [_rates(rate, share01) for rate in RATES]
    firsts = {sum(net.members[:m]) for m in range(len(net.members))}
    of_all, of_others = (
        predict(net, images, labels, rates, np.random.default_rng(seed), layers)
        for layers in (None, frozenset(range(len(net.layers))) - firsts)
    )
    return of_all, of_others


def _judge(
    predictions: list[dict[str, Any]], net: Network, images: inputs.Images, chips: int, seed: int
) -> None:
    """Add the mean accuracy of chips on all images, its standard error, and what is off."""
    assert images.labels is not None
    engine, layout = Engine(net, prefix_bytes=PREFIX_BYTES), layout_of(net)
    for row in predictions:
        model = Iid(row["p01"], row["p10"], seed)
        right = np.empty(chips)
        for chip in range(chips):
            scores = engine.with_faults(model.sample(layout, chip)).scores(images.values)
            right[chip] = (golden.classify(scores) == images.labels).mean()
        row["measured"] = float(right.mean())
        row["measured_error"] = float(right.std() / chips**0.5)
        row["off"] = row["anchored"] - row["measured"]


def _certificates(
    net: Network, images: NDArray[np.uint8], scores: NDArray[np.int32]
) -> list[dict[str, Any]]:
    """Certified from the scores alone, the least that the search finds, and proof by example."""
    if any(chain[-1].input != "bits" for chain in net.chains):
        return []
    certified, given = certify(scores), golden.classify(scores)
    rows = []
    for kind, least in attacks.least_flips(net, images).items():
        safe = certified.weights if kind == "weights" else certified.activations
        reached = least < attacks.NEVER
        tried = np.flatnonzero(reached)[:: max(1, int(reached.sum()) // _N_WITNESSES)]
        n_broken = 0
        for i in tried[:_N_WITNESSES]:
            flips = attacks.witness(net, images[i], kind)
            n_broken += flips is not None and attacks.class_under(net, images[i], flips) != given[i]
        rows.append(
            {
                "of": _KINDS[kind],
                "certified_mean": float(safe.mean()),
                "least_mean": float(least[reached].mean()) if reached.any() else None,
                **{f"least_q{100 * q:02.0f}": float(np.quantile(least, q)) for q in _QUANTILES},
                "tight_share": float((least == safe + 1).mean()),
                "unbreakable_share": float((~reached).mean()),
                "witnesses": f"{n_broken} of {len(tried[:_N_WITNESSES])} change the class",
            }
        )
    return rows

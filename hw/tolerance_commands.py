"""The command `tolerance`: what a network tolerates, told without injecting an error."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..sim import golden
from ..sim import network as networks
from ..sim.commands import NetworkFile
from ..sim.engine import Engine
from ..sim.exceptions import InputError
from ..sim.tolerance.certificates import certify
from ..sim.tolerance.importance import importance
from ..sim.tolerance.metrics import layer_tolerances
from ..sim.tolerance.prediction import predict
from . import inputs
from .commands import Data, DataRoot, InputFile, Split

RATES = (0.0, 0.001, 0.01, 0.02, 0.033, 0.05, 0.07, 0.1, 0.15, 0.2)
_QUANTILES = (0.01, 0.05, 0.25, 0.5)


def tolerance(
    network: NetworkFile,
    data: Data = None,
    split: Split = "test",
    n: Annotated[int, typer.Option("--n", min=1, help="The first so many images.")] = 1000,
    input_file: InputFile = None,
    ber: Annotated[float, typer.Option(help="Bit error rate of the flip probability.")] = 0.05,
    neurons: Annotated[
        int, typer.Option(min=0, help="Neurons a layer whose importance is measured; 0: none.")
    ] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampled prediction.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw it: .svg, .png or .pdf.")
    ] = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Margins, flip probabilities, certificates and predicted accuracy of a network, in seconds."""
    net = networks.load(network)
    images = inputs.images(net, data, split, n, input_file, data_root)
    scores = Engine(net).scores(images.values)
    certified = certify(scores)
    labels = None if images.labels is None else images.labels.astype(np.int64)
    predictions: list[dict[str, Any]] = []
    shares: dict[str, float | None] = {}
    if labels is not None:
        rng = np.random.default_rng(seed)
        rates = [(rate, rate) for rate in RATES]
        predictions = [vars(p) for p in predict(net, images.values, labels, rates, rng)]
        if neurons and len(net.members) == 1:
            found = importance(net, images.values, labels, neurons)
            shares = {layer.name: layer.variance for layer in found}
    layers = layer_tolerances(net, images.values, ber, ber)
    result = {
        "network": net.name,
        "network_sha256": net.sha256,
        "images": images.name,
        "n_images": len(images.values),
        "seeds": [seed],
        "ber": ber,
        "accuracy": None if labels is None else _accuracy(scores, labels),
        "layers": [
            layer.as_json() | {"importance_variance": shares.get(layer.name)} for layer in layers
        ],
        "certificates": [
            {
                "of": name,
                "mean_flips": float(flips.mean()),
                **{f"q{100 * q:02.0f}_flips": float(np.quantile(flips, q)) for q in _QUANTILES},
            }
            for name, flips in (
                ("last-layer weights", certified.weights),
                ("last hidden activations", certified.activations),
            )
        ],
        "predicted": predictions,
    }
    if plot is not None:
        if not predictions:
            raise InputError("--plot needs labels; give --data NAME")
        from ..sim.report.figures import save_figure
        from ..sim.report.tolerance import tolerance_figure

        save_figure(tolerance_figure(result), plot)
        result["figure"] = plot
    return result


def _accuracy(scores: np.ndarray[Any, np.dtype[np.int32]], labels: Any) -> float:
    return float((golden.classify(scores) == labels).mean())

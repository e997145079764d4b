"""The study `trace`: float and binary networks, dense and convolutional, traced and judged.

Rows of a repetition have a `part`: "net" (a traced network), "deletion" (predictions after
retraining without the most influential images), "faults" (what a chip undoes), "cost" (a large
ledger, of the first seed only).
"""

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from ...sim import golden
from ...sim.engine import EngineDevice
from ...sim.errors import Iid
from ...sim.memory import layout_of
from ..data import Images, load
from . import peer_captum
from .cost import cost
from .faulted import auc, classes_of_steps, last_flips, predictors, undone, wrong_places
from .influence import by_example, precision_at, top, trace, without_own_steps
from .subjects import KINDS, BinarySubject, FloatSubject, Kind, Subject, retrained, train_subject
from .thresholds import moved
from .views import toward

Row = dict[str, Any]

TITLE = "What a decision owes to its training"
CLAIM = """
Pfahler and Morik 2021 (arXiv 2109.05880; the authors' code, not the paper): the answer of a layer
is, exactly, what its first weights say and what every step of training added, and the steps that
matter most for a prediction were made by images of its class. Ours: of binary layers the steps are
sign flips, kept exactly in megabytes; and what a bit error undoes of them tells which predictions
will change."""
PROTOCOL = """
Fashion-MNIST, a small training set and small networks, so that all of it can be trained again many
times. By example: plain SGD without batch norm, every example's share of a step. By step: Adam,
batch norm, batches of one class with ghosts, the whole step. Binary: the kit's own training loop
with such batches, and its ledger of flips. Batches of one class have no momentum, so that a step
owes nothing to those before. Influence is that on the decision unless said: on the score of the
predicted class over the mean of all, by the last layer. TracIn is Pruthi et al. 2020 at the end of
every epoch, of all layers (of binary networks: of the last layer, at the end of the training).
Deletion: the most influential training images of a right prediction are left out, the network is
trained again from the same seed, and the log-probability of the prediction is compared.
Mislabelled: a share of the training labels is moved to another class at random, the networks are
trained on them, and training images are ranked by: what all steps but its own add to the score of
its label; the loss; TracIn of an image on itself. Faults: flips in all weights of binary
networks; a prediction fails when it changes. That a step on a class raises the score of that class
is nearly so by construction; that few other images come first is not. The large ledger is that of
784-1024-1024-10 on 50,000 images, batches of 256; its times are CPU times of one thread on a
machine that was busy. ± is half of a 95 % interval over repetitions (Student's t)."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        seeds: one repetition each: other training images, weights and batches.
        n_train, n_test: images, of the training split and of the test split.
        noise: share of the labels that are wrong in the part on mislabelled images.
        n_deleted: training images that are left out, for each of `n_judged` predictions.
        rates, chips: of flips in the memory of binary networks.
        folder: where the large ledger is kept; "" measures none.
        ledger_epochs: of its training.
    """

    seeds: tuple[int, ...] = (1, 2, 3)
    n_train: int = 800
    n_test: int = 200
    noise: float = 0.05
    n_deleted: int = 40
    n_judged: int = 3
    rates: tuple[float, ...] = (0.05, 0.1)
    chips: int = 3
    folder: str = "build/studies/trace"
    ledger_epochs: int = 30

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


N_CLASSES = 10
KS = (1, 10, 64)


def repeat(plan: Plan, seed: int, root: Path | None) -> list[Row]:
    """Rows of one repetition."""
    rng = np.random.default_rng(seed)
    training, test = (
        _some(load("fashion-mnist", split, root), n, rng)
        for split, n in (("train", plan.n_train), ("test", plan.n_test))
    )
    rows = []
    for kind in KINDS:
        start = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            made = rows_of(kind, plan, seed, training, test, Path(folder))
        cpu_s = (time.process_time() - start) / len(made)
        rows += [{**row, "kind": kind.name, "seed": seed, "cpu_s": cpu_s} for row in made]
    if plan.folder and seed == plan.seeds[0]:
        found = cost(Path(plan.folder), plan.ledger_epochs, root)
        rows.append({**found, "seed": seed, "cpu_s": found["training_cpu_s"]})
    return rows


def rows_of(
    kind: Kind, plan: Plan, seed: int, training: Images, test: Images, folder: Path
) -> list[Row]:
    """Rows of one kind of network.

    Args:
        folder: for its files.
    """
    subject = train_subject(kind, training, seed, folder / "clean")
    logits = subject.logits(test)
    predicted = logits.argmax(1).numpy()
    seen = Images(test.images, predicted.astype(np.uint8))
    start = time.process_time()
    views = subject.views(test)
    views.append(toward(views[-1], predicted))
    traced = trace(subject.chunks(), views)
    scoring_cpu_s = time.process_time() - start
    last = len(views) - 1  # the decision
    influence = by_example(traced, last, len(training.labels))
    peers, _ = subject.tracin(training, seen)
    rows: list[Row] = [
        {
            "part": "net",
            "accuracy": float((predicted == test.labels).mean()),
            "residual": max(traced.residuals),
            "precision": {
                str(k): precision_at(influence, training.labels, predicted, k) for k in KS
            },
            "first_layer_precision": precision_at(
                by_example(traced, 0, len(training.labels)), training.labels, predicted, KS[-1]
            ),
            "tracin_precision": precision_at(peers, training.labels, predicted, KS[-1]),
            "tracin_rank": float(np.mean(_rank_correlations(influence, peers))),
            "n_bytes": subject.n_bytes,
            "n_steps": len(traced.examples),
            "training_cpu_s": subject.training_cpu_s,
            "tracing_cpu_s": subject.tracing_cpu_s,
            "scoring_cpu_s": scoring_cpu_s,
            "mislabelled": _mislabelled(kind, plan, seed, training, folder / "noisy"),
            **_of_binary(subject, test),
            **_beside_captum(kind, subject, training, seen),
        }
    ]
    if kind.body == "dense":
        right = np.flatnonzero(predicted == test.labels)[: plan.n_judged]
        orders = {"trace": top(influence, plan.n_deleted), "TracIn": top(peers, plan.n_deleted)}
        rows += _deletions(kind, seed, training, seen, right, orders, logits, folder / "less")
    if isinstance(subject, BinarySubject):
        rows += _faults(subject, plan, test, traced_classes=classes_of_steps(subject.ledger))
    return rows


def _some(images: Images, n: int, rng: np.random.Generator) -> Images:
    chosen = rng.choice(len(images.labels), n, replace=False)
    return Images(images.images[chosen], images.labels[chosen])


def _n_wrong(subject: Subject, test: Images, n: int = 20) -> int:
    """Elements of sum of c_t that differ from p, on a few images; 0 is exact."""
    views = subject.views(Images(test.images[:n], test.labels[:n]))
    sums = [torch.zeros_like(view.refinement) for view in views]
    for chunk in subject.chunks():
        for found, updates, view in zip(sums, chunk.updates, views, strict=True):
            found += updates.contributions(view).sum(0)
    return sum(int((a != v.refinement).sum()) for a, v in zip(sums, views, strict=True))


def _of_binary(subject: Subject, test: Images) -> Row:
    if not isinstance(subject, BinarySubject):
        return {}
    return {
        "n_wrong_integers": _n_wrong(subject, test),
        "moved": moved(subject.ledger, subject.views(test)),
    }


def _beside_captum(kind: Kind, subject: Subject, training: Images, seen: Images) -> Row:
    """The greatest difference of our TracIn from captum's, over the greatest value."""
    if not (isinstance(subject, FloatSubject) and kind == KINDS[0] and peer_captum.is_here()):
        return {}
    ours, _ = subject.tracin(training, seen)
    theirs = subject.tracin_of_captum(training, seen)
    return {"captum_difference": float(np.abs(ours - theirs).max() / np.abs(ours).max())}


def _rank_correlations(one: NDArray[np.float32], two: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n_images,) Spearman's, over training images."""
    first, second = (rankdata(of, axis=0) for of in (one, two))
    first, second = first - first.mean(0), second - second.mean(0)
    norms = np.sqrt((first**2).sum(0) * (second**2).sum(0))
    return np.asarray((first * second).sum(0) / np.where(norms > 0, norms, 1))


def _mislabelled(
    kind: Kind, plan: Plan, seed: int, training: Images, folder: Path
) -> dict[str, float]:
    """Area under the curve of finding wrong labels, by ranking."""
    rng = np.random.default_rng(seed + 1000)
    labels = training.labels.copy()
    wrong = rng.random(len(labels)) < plan.noise
    labels[wrong] = (labels[wrong] + rng.integers(1, N_CLASSES, int(wrong.sum()))) % N_CLASSES
    noisy = Images(training.images, labels)
    subject = train_subject(kind, noisy, seed, folder)
    loss = torch.nn.functional.cross_entropy(
        subject.logits(noisy), torch.from_numpy(labels).long(), reduction="none"
    )
    view = toward(subject.views(noisy)[-1], labels)
    traced = trace(subject.chunks(), [view])
    _, itself = subject.tracin(noisy, Images(noisy.images[:1], labels[:1]))
    return {
        "trace": auc(-without_own_steps(traced, 0), wrong),
        "loss": auc(loss.double().numpy(), wrong),
        "TracIn": auc(itself.astype(np.float64), wrong),
    }


def _deletions(
    kind: Kind,
    seed: int,
    training: Images,
    seen: Images,
    judged: NDArray[np.int64],
    orders: dict[str, NDArray[np.int64]],
    logits: Tensor,
    folder: Path,
) -> list[Row]:
    """What leaving training images out does to the log-probability of what was predicted."""
    before = logits.log_softmax(1)
    rng = np.random.default_rng(seed)
    n = len(next(iter(orders.values())))
    random = np.stack([rng.permutation(len(training.labels))[:n] for _ in seen.labels], 1)
    rows = []
    for method, order in {**orders, "at random": random}.items():
        for image in judged:
            kept = np.setdiff1d(np.arange(len(training.labels)), order[:, image])
            left = Images(training.images[kept], training.labels[kept])
            after = retrained(kind, left, seed, folder / f"{method}-{image}", seen).log_softmax(1)
            said = int(seen.labels[image])
            drop = float(before[image, said] - after[image, said])
            rows.append({"part": "deletion", "method": method, "drop": drop})
    return rows


def _faults(
    subject: BinarySubject, plan: Plan, test: Images, traced_classes: NDArray[np.int64]
) -> list[Row]:
    checkpoint, last = subject.ledger.checkpoint, last_flips(subject.ledger)
    views = subject.views(test)
    device = EngineDevice(threads=1)
    device.load(subject.network)
    clean = device.infer(test.images)
    predicted = golden.classify(clean).astype(np.int64)
    rows = []
    for rate in plan.rates:
        for chip in range(plan.chips):
            faults = Iid(rate, rate, 0).sample(layout_of(subject.network), chip)
            places = wrong_places(checkpoint, faults)
            taken = undone(places, last, traced_classes, checkpoint, views, predicted)
            device.inject(faults)
            failed = golden.classify(device.infer(test.images)) != predicted
            found = predictors(taken, clean)
            rows.append(
                {
                    "part": "faults",
                    "rate": rate,
                    "chip": chip,
                    "changed": float(failed.mean()),
                    "never": float(sum(n[-1] for n in taken.n_bits) / sum(map(len, places))),
                    "auc": {name: auc(of, failed) for name, of in found.items()},
                }
            )
    return rows

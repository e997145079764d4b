"""One training of the study `gncl`: which members, on what, how, and what is measured of them."""

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ...sim import faults, network
from ...sim.engine import Engine, EngineDevice
from ...sim.errors import ErrorModel, Iid
from ...sim.memory import layout_of
from ...sim.network import Network
from ..data import SOURCES, Images, load
from ..evaluate import chip_accuracies
from ..event_tables import load_keel
from .decomposition import fault_split, split
from .integers import Flips, calibrated, network_of
from .members import DenseMembers, Kind, Members
from .methods import Bagging, Boosting, Gncl, Jointly, Method, Schedule, Stacking, fit, snapshots
from .objective import CROSS_ENTROPY

Way = Literal["upper", "exact", "bagging", "stacking", "boosting", "snapshot"]
Row = dict[str, Any]
VERSION = 1
"""Raised by hand when an equal trial would give another row."""
_N_KNOWN = 5000
_N_FAULT_SPLIT = 1000
_TABLE_TEST_SHARE = 0.3


@dataclass(frozen=True)
class Trial:
    """What decides a row.

    Attributes:
        data: a data set of images, or one of KEEL's tables.
        hidden: neurons of the hidden layers of every member.
        way: of training; lambda is of `upper` and `exact`.
        p_max: highest bit error rate that training meets; 0 for none.
        rates: bit error rates at which fully binary members are measured.
        chips: at each rate.
        split_rates: at which the loss is split into that of members and of faults.
    """

    data: str
    kind: Kind
    n_members: int
    hidden: tuple[int, ...]
    way: Way
    lam: float
    seed: int
    schedule: Schedule
    p_max: float = 0.0
    rates: tuple[float, ...] = ()
    chips: int = 10
    split_rates: tuple[float, ...] = ()

    @property
    def company(self) -> "Trial":
        """Equal of trials that can train at once: of members of one shape, on the same batches."""
        if self.way == "snapshot" or self.p_max:
            return self
        return replace(self, n_members=1, way="upper", lam=0.0, rates=(), split_rates=())

    @property
    def key(self) -> str:
        """Hash of all that decides the row."""
        text = json.dumps([VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Examples:
    """Training and test examples: features (n, n_inputs) uint8 and classes (n,)."""

    features: Tensor
    classes: Tensor
    unseen: Tensor
    truth: Tensor


@lru_cache(maxsize=2)
def examples_of(data: str, seed: int, root: Path | None) -> Examples:
    """Of images, the 50,000 of the training split and the test set; of a table, parts by the seed.

    A table's columns become 0..255 by the range that they have in the training part.
    """
    if data in SOURCES:
        parts: list[Any] = []
        for name in ("train", "test"):
            found = load(data, name, root)
            parts += [found.images.reshape(len(found.images), -1), found.labels.astype(np.int64)]
        return Examples(*map(torch.from_numpy, parts))
    table = load_keel(root)[data]
    order = np.random.default_rng(seed).permutation(len(table.is_positive))
    test, train = np.split(order, [round(_TABLE_TEST_SHARE * len(order))])
    low, high = table.features[train].min(0), table.features[train].max(0)
    width = np.where(high > low, high - low, 1.0)
    pixels = np.rint(255 * ((table.features - low) / width).clip(0, 1)).astype(np.uint8)
    classes = table.is_positive.astype(np.int64)
    return Examples(
        *map(torch.from_numpy, (pixels[train], classes[train], pixels[test], classes[test]))
    )


def run(trials: Sequence[Trial], root: Path | None, folder: Path) -> list[Row]:
    """Train and measure; fully binary ensembles are kept as <folder>/<key>.stoic.

    Args:
        trials: of one `company`.

    Returns:
        JSON values for each trial: its fields, train_cpu_s (a share, by its members), split (of
        unseen examples, see `decomposition.Split`), accuracy, balanced_accuracy and
        train_accuracy of the ensemble as its method combines it, and of fully binary members
        n_weight_bits, network_sha256, under_faults ({rate: accuracy of each chip}), fault_split
        ({rate: values}).
    """
    torch.set_num_threads(1)
    seen = examples_of(trials[0].data, trials[0].seed, root)
    begun = time.process_time()
    trained = train(trials, seen)
    cost = (time.process_time() - begun) / sum(t.n_members for t in trials)
    return [
        {
            **asdict(trial),
            "key": trial.key,
            "train_cpu_s": round(cost * trial.n_members, 2),
            **_measured(trial, members, method, seen, folder),
        }
        for trial, (members, method) in zip(trials, trained, strict=True)
    ]


def _measured(trial: Trial, members: Members, method: Method, seen: Examples, folder: Path) -> Row:
    row: Row = {}
    if isinstance(members, DenseMembers) and members.kind == "binary":
        nets = calibrated(members, seen.features[:_N_KNOWN], trial.p_max, trial.seed)
        whole, scale = network_of(nets), float(members.scales[0].detach())
        alone = [Network("member", chain) for chain in whole.chains]
        network.save(whole, folder / f"{trial.key}.stoic")
        outputs = _integer_outputs(alone, seen.unseen) * scale
        known = _integer_outputs(alone, seen.features[:_N_KNOWN]) * scale
        row |= {"n_weight_bits": whole.n_weight_bits, "network_sha256": whole.sha256}
        row |= _under_faults(trial, whole, seen, scale)
    else:
        with torch.no_grad():
            outputs = members(seen.unseen.float()).double()
            known = members(seen.features[:_N_KNOWN].float()).double()
    with torch.no_grad():
        right = _combined(method, outputs).argmax(1) == seen.truth
        fits = _combined(method, known).argmax(1) == seen.classes[:_N_KNOWN]
    per_class = [right[seen.truth == c].double().mean() for c in sorted(set(seen.truth.tolist()))]
    return row | {
        "split": asdict(split(CROSS_ENTROPY, outputs, seen.truth)),
        "accuracy": float(right.double().mean()),
        "balanced_accuracy": float(torch.stack(per_class).mean()),
        "train_accuracy": float(fits.double().mean()),
    }


def train(trials: Sequence[Trial], seen: Examples) -> list[tuple[Members, Method]]:
    """Members and methods of trials of one company; all that is random comes from the seed."""
    first, given = trials[0], (seen.features, seen.classes)
    if first.way == "snapshot":
        weights, order = _streams(first.seed)
        one = _members(first, seen, weights, 1)
        kept = snapshots(one, first.n_members, CROSS_ENTROPY, *given, first.schedule, order)
        return [(kept, Gncl(CROSS_ENTROPY))]
    parts, methods = zip(*(_started(trial, seen) for trial in trials), strict=True)
    whole, order = DenseMembers.joined(parts), _streams(first.seed)[1]
    hook = [Flips(first.p_max, first.seed).hook(whole)] if first.p_max else []
    fit(whole, Jointly(methods, whole.counts), *given, first.schedule, order, *hook)
    return list(zip(whole.parted(), methods, strict=True))


def _streams(seed: int) -> tuple[torch.Generator, torch.Generator]:
    """Generators of weights and of the order of examples."""
    first, second = (
        torch.Generator().manual_seed(int(s.generate_state(1, np.uint64)[0] >> 1))
        for s in np.random.SeedSequence(seed).spawn(2)
    )
    return first, second


def _members(trial: Trial, seen: Examples, weights: torch.Generator, n: int) -> DenseMembers:
    sizes = (seen.features.shape[1], *trial.hidden, int(seen.classes.max()) + 1)
    return DenseMembers(n, sizes, trial.kind, weights)


def _started(trial: Trial, seen: Examples) -> tuple[DenseMembers, Method]:
    weights, _ = _streams(trial.seed)
    members = _members(trial, seen, weights, trial.n_members)
    n, n_classes = trial.n_members, members.sizes[-1]
    if trial.way == "bagging":
        return members, Bagging.draw(CROSS_ENTROPY, n, len(seen.classes), weights)
    if trial.way == "stacking":
        return members, Stacking(CROSS_ENTROPY, n, n_classes)
    if trial.way == "boosting":
        return members, Boosting(CROSS_ENTROPY)
    assert trial.way != "snapshot"
    return members, Gncl(CROSS_ENTROPY, trial.lam, trial.way)


def _combined(method: Method, outputs: Tensor) -> Tensor:
    if isinstance(method, nn.Module):
        method.double()
    return method.combined(outputs)


def _integer_outputs(members: list[Network], features: Tensor) -> Tensor:
    """(n_members, n, n_classes) float64 of exact integer scores."""
    images = features.numpy()
    return torch.stack([torch.from_numpy(Engine(m).scores(images)).double() for m in members])


def _under_faults(trial: Trial, whole: Network, seen: Examples, scale: float) -> Row:
    """Accuracy of every chip at every rate, and what the loss of some images is made of."""
    device = EngineDevice(threads=1)
    device.load(whole)
    test = Images(seen.unseen.numpy(), seen.truth.numpy().astype(np.uint8))
    chips = range(trial.chips)
    accuracies = {
        f"{rate:g}": chip_accuracies(device, whole, test, Iid(rate, rate) if rate else None, chips)
        for rate in trial.rates
    }
    some = slice(_N_FAULT_SPLIT)
    splits = {
        f"{rate:g}": asdict(
            fault_split(
                CROSS_ENTROPY,
                faulty_outputs(whole, Iid(rate, rate), chips, seen.unseen[some]) * scale,
                seen.truth[some],
            )
        )
        for rate in trial.split_rates
    }
    return {"under_faults": accuracies, "fault_split": splits}


def faulty_outputs(
    whole: Network, errors: ErrorModel, chips: Iterable[int], features: Tensor
) -> Tensor:
    """(n_members, n_chips, n, n_classes) float64: scores of each member of an ensemble, as read."""
    layout, found = layout_of(whole), []
    for chip in chips:
        read = faults.apply(whole, errors.sample(layout, chip))
        found.append(_integer_outputs([Network("member", c) for c in read.chains], features))
    return torch.stack(found, 1)

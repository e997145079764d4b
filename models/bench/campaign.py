"""The benchmark: what is measured, in which order, and what goes into the JSON file.

`python -m stoic.models.bench --json FILE` runs the kit, torch, PyTorchFI and MRFI on the same
networks, images and faults, on one thread, in turns; a score that differs ends it without a result.
Ratios are of medians of CPU seconds of the calling thread, peer over kit; the wall clock of every
round is there too. Keys of the JSON object:

    mlp_trial_vs_torch        one trial (faults of a new chip, all images): torch float32 as a user
                              writes it, at its best batch, over the kit
    mlp_trial_vs_torch_tuned  the same beside the fastest torch float32 that we could write
    cnn_trial_vs_torch        torch float32 in `memory_format=channels_last`, at its best batch
    cnn_trial_vs_torch_by_hand                   the same beside the fastest torch float32 that we
                              could write: windows unfolded, oneDNN by name, see `peers_tuned`
    cnn_trial_vs_torch_naive  torch as a user writes it, maps channel-first, at its best batch
    mlp_trial_vs_pytorchfi, mlp_trial_vs_mrfi    null when the package is not there
    popcount_limit_fraction   bit products a second in the 2048 x 2048 layer over the core's limit
    inject_vs_bernoulli, inject_vs_pytorchfi, inject_vs_mrfi  faults of a new chip into all weights
                              of the MLP, until an image could be shown
    campaign_minutes          20 rates x 100 chips of the MLP, onto disk, one process, wall clock
    campaign_stop_rule_minutes, stop_rule_half_width, stop_rule_trials       the same until every
                              interval is as narrow as the widest of the full run (0..1)
    torch_campaign_minutes    extrapolated: trials of the full run times seconds of a trial of the
                              fastest torch
    processes2_speedup        wall clock of one process over that of two, same rows
    processes2_cpu_share      CPU seconds of two processes over those of one: what two cost more
    unbiased_max_abs_z, unbiased_pairs           injected bits against the request: standard errors,
                              and pairs of a model and a rate; both directions of each count
    scores_compared, scores_different            with the peers, under the peers' own flips
    mrfi_rates                what MRFI's sampling makes of a nominal rate
    unbiased, comparisons, campaigns, timings    all that the figures above come from; seconds
    trial_s, inject_s         medians, CPU seconds, by "<network>.<who>"
    ber, n_images, n_rounds, batches, threads, other_threads_share, path, processor, load_average,
    versions, absent, weights, command, kit_version, seeds
"""

import argparse
import json
import logging
import os
import shlex
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ...sim.container import kit_version
from ...sim.engine import resolve_path
from ...sim.exceptions import StoicError
from .. import data
from ..bench_engine import processor
from . import clock, race, timed_campaign, unbiased
from .subjects import Subject, binarise, cnn, fitted, mlp

log = logging.getLogger(__name__)
BER = 0.01
RATES = timed_campaign.RATES
N_UNBIASED = unbiased.N_CHIPS
_BUSY = 0.5  # load average before the benchmark
_N_TRAINING = 10_000


@dataclass(frozen=True)
class Plan:
    """How much is measured; the defaults are the benchmark.

    Attributes:
        n_images: the first so many of the test set.
        n_chips: of a point of the campaign.
    """

    n_images: int = 10_000
    n_rounds: int = 5
    n_chips: int = 100
    seed: int = 1
    path: str = "auto"


def subjects(plan: Plan, data_root: Path | None) -> tuple[Subject, Subject]:
    """The MLP on binarised and the CNN on grey Fashion-MNIST, trained by a closed form."""
    train = data.load("fashion-mnist", "train", data_root)
    test = data.load("fashion-mnist", "test", data_root)
    shown, labels = test.images[: plan.n_images], test.labels[: plan.n_images]
    rng = np.random.default_rng(plan.seed)
    found = []
    for name, network, encode in (
        ("MLP 784-2048-2048-10", mlp(rng), binarise),
        ("CNN C64-P-C64-P-FC2048-FC10", cnn(rng), lambda images: images.reshape(len(images), -1)),
    ):
        known = encode(train.images[:_N_TRAINING])
        network = fitted(network, known, train.labels[:_N_TRAINING])
        found.append(Subject(name, network, encode(shown), labels))
    return found[0], found[1]


def run(plan: Plan, mlp_subject: Subject, cnn_subject: Subject, folder: Path) -> dict[str, Any]:
    """Measure everything.

    Args:
        folder: for the stores of the campaigns; empty.

    Raises:
        StoicError: somebody's scores differ from the engine's.
    """
    load_before = os.getloadavg()
    log.info("trials and injection, %d rounds", plan.n_rounds)
    raced = race.run(mlp_subject, cnn_subject, BER, plan.n_rounds, plan.seed, plan.path)
    log.info("campaigns of %d trials", len(RATES) * plan.n_chips)
    campaigns = timed_campaign.run(mlp_subject, folder, RATES, plan.n_chips, plan.seed, plan.path)
    log.info("injected bits against the request")
    counted = unbiased.table(plan.seed, N_UNBIASED)
    mrfi_rates: list[unbiased.NominalRate] = []
    if "mrfi" not in raced.absent:
        mrfi_rates = unbiased.of_mrfi(mlp_subject.network, plan.seed)
    return {
        **_ratios(raced),
        "popcount_limit_fraction": raced.layer_gbops / raced.limit_gbops,
        "layer_gbops": raced.layer_gbops,
        "popcount_limit_gbops": raced.limit_gbops,
        **_campaigns(raced, campaigns),
        "unbiased_max_abs_z": counted.max_abs_z,
        "unbiased_pairs": counted.n_pairs,
        "scores_compared": sum(c.n_scores for c in raced.comparisons),
        "scores_different": sum(c.n_mismatches for c in raced.comparisons),
        "comparisons": [asdict(c) for c in raced.comparisons],
        "mrfi_rates": [asdict(rate) for rate in mrfi_rates],
        "unbiased": asdict(counted),
        **_seconds(raced),
        "ber": BER,
        "n_images": len(mlp_subject.images),
        "n_rounds": plan.n_rounds,
        "batches": {".".join(at): batch for at, batch in raced.batches.items()},
        "threads": 1,
        "other_threads_share": clock.other_threads(
            timing for jobs in raced.timings.values() for timing in jobs.values()
        ),
        "path": resolve_path(plan.path),
        "processor": processor(),
        "load_average": [*load_before, *os.getloadavg()],
        "versions": _versions(),
        "absent": raced.absent,
        "weights": "random signs, thresholds by quantiles, last layer by ridge regression",
        "kit_version": kit_version(),
        "seeds": [plan.seed],
    }


def _ratios(raced: race.Race) -> dict[str, float | None]:
    def over(seconds: float | None, ours: float | None) -> float | None:
        return None if seconds is None or ours is None else seconds / ours

    def trial(network: str, who: str) -> float | None:
        return over(raced.trial_s(network, who), raced.trial_s(network, "kit"))

    def inject(who: str) -> float | None:
        return over(raced.inject_s("mlp", who), raced.inject_s("mlp", "kit"))

    return {
        "mlp_trial_vs_torch": trial("mlp", "torch, naive"),
        "mlp_trial_vs_torch_tuned": trial("mlp", raced.fastest_torch("mlp")),
        "cnn_trial_vs_torch": trial("cnn", "torch, channels_last"),
        "cnn_trial_vs_torch_by_hand": trial("cnn", raced.fastest_torch("cnn")),
        "cnn_trial_vs_torch_naive": trial("cnn", "torch, naive"),
        "mlp_trial_vs_pytorchfi": trial("mlp", "PyTorchFI"),
        "mlp_trial_vs_mrfi": trial("mlp", "MRFI"),
        "inject_vs_bernoulli": inject("torch, naive"),
        "inject_vs_pytorchfi": inject("PyTorchFI"),
        "inject_vs_mrfi": inject("MRFI"),
    }


def _seconds(raced: race.Race) -> dict[str, Any]:
    return {
        "trial_s": {".".join(at): raced.trial_s(*at) for at in raced.timings},
        "inject_s": {".".join(at): raced.inject_s(*at) for at in raced.timings},
        "timings": {
            ".".join(at): {job: asdict(timing) for job, timing in jobs.items()}
            for at, jobs in raced.timings.items()
        },
    }


def _campaigns(raced: race.Race, found: timed_campaign.Campaigns) -> dict[str, Any]:
    torch_s = raced.trial_s("mlp", raced.fastest_torch("mlp"))
    assert torch_s is not None, "torch is always there"
    return {
        "campaign_minutes": found.one.wall_s / 60,
        "campaign_cpu_minutes": found.one.cpu_s / 60,
        "campaign_trials": found.one.n_units,
        "campaign_stop_rule_minutes": found.stopped.wall_s / 60,
        "stop_rule_half_width": found.half_width,
        "stop_rule_trials": found.stopped.n_units,
        "torch_campaign_minutes": found.one.n_units * torch_s / 60,
        "processes2_speedup": found.one.wall_s / found.two.wall_s,
        "processes2_cpu_share": found.two.cpu_s / found.one.cpu_s,
        "campaigns": asdict(found),
    }


def _versions() -> dict[str, str]:
    """Of the packages that take part, as far as they are there."""
    found = {}
    for name in ("torch", "numpy", "pytorchfi", "mrfi"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def table(found: dict[str, Any]) -> str:
    """A few lines for people."""

    def times(key: str) -> str:
        return "not measured" if found[key] is None else f"{found[key]:,.1f} x"

    n, half = found["campaign_trials"], 100 * found["stop_rule_half_width"]
    rows = [
        ("trial, MLP, beside torch as a user writes it", times("mlp_trial_vs_torch")),
        ("trial, MLP, beside torch tuned by hand", times("mlp_trial_vs_torch_tuned")),
        ("  beside PyTorchFI", times("mlp_trial_vs_pytorchfi")),
        ("  beside MRFI", times("mlp_trial_vs_mrfi")),
        ("trial, CNN, beside torch channels_last", times("cnn_trial_vs_torch")),
        ("trial, CNN, beside torch tuned by hand", times("cnn_trial_vs_torch_by_hand")),
        ("  beside torch as a user writes it", times("cnn_trial_vs_torch_naive")),
        ("wide layer, of the popcount limit", f"{100 * found['popcount_limit_fraction']:.0f} %"),
        ("faults of a chip beside torch.bernoulli", times("inject_vs_bernoulli")),
        ("  beside PyTorchFI", times("inject_vs_pytorchfi")),
        ("  beside MRFI", times("inject_vs_mrfi")),
        (f"campaign of {n:,} trials", f"{found['campaign_minutes']:.2f} min"),
        ("  torch tuned by hand, extrapolated", f"{found['torch_campaign_minutes']:.0f} min"),
        (
            f"  stop rule at +-{half:.2f} %: {found['stop_rule_trials']:,} trials",
            f"{found['campaign_stop_rule_minutes']:.2f} min",
        ),
        ("two processes", times("processes2_speedup")),
        (
            f"largest |z| of {found['unbiased_pairs']} models at a rate",
            f"{found['unbiased_max_abs_z']:.2f}",
        ),
        (
            f"scores that differ, of {found['scores_compared']:,}",
            f"{found['scores_different']}",
        ),
    ]
    head = f"{found['n_images']} images, one core, {found['path']}, {found['processor']}"
    busy = found["load_average"][0]
    if busy > _BUSY:
        head += (
            f"\nbusy with other work (load {busy:.1f}): minutes and the two processes are too slow"
        )
    return "\n".join([head, *(f"  {name:52}{value:>14}" for name, value in rows)])


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m stoic.models.bench")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--peers", type=Path, help="folder into which the peers were installed")
    parser.add_argument("--data-root", type=Path, help="folder of data sets")
    parser.add_argument("--images", type=int, default=plan.n_images)
    parser.add_argument("--rounds", type=int, default=plan.n_rounds)
    parser.add_argument("--chips", type=int, default=plan.n_chips)
    parser.add_argument("--path", default=plan.path, help="auto, avx512, avx2 or portable")
    parser.add_argument("--seed", type=int, default=plan.seed)
    given = parser.parse_args(arguments)
    if given.peers:
        sys.path.append(str(given.peers))  # last: the kit's own packages come first
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)  # not the root's: at that level PyTorchFI writes lines for each flip
    plan = Plan(given.images, given.rounds, given.chips, given.seed, given.path)
    try:
        resolve_path(plan.path)
        near = given.json.parent if given.json else Path()
        near.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-campaign-", dir=near) as folder:
            found = run(plan, *subjects(plan, given.data_root), Path(folder))
    except StoicError as error:
        print(error, file=sys.stderr)
        return 2
    for name, why in found["absent"].items():
        print(f"{name} is not measured ({why}); make bench-campaign installs it", file=sys.stderr)
    found["command"] = shlex.join(["python", "-m", "stoic.models.bench", *sys.argv[1:]])
    print(table(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0

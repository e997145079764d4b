"""One trial and one injection: the kit and every peer in turns, their scores equal or no result."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from ...sim.engine import Engine, popcount_limit
from ...sim.errors import Iid
from ...sim.layers import Conv
from . import clock, contenders
from .clock import Timing
from .contenders import Contender
from .kit import Kit
from .peers_tuned import KERNELS
from .same_flips import Comparison, compare
from .subjects import Subject

_N_TUNING = 1000
PACKAGES = ("PyTorchFI", "MRFI")
"""Peers that are packages of their own."""
JOBS = ("trial", "ready", "one")
"""What a runner is timed at, by the names of its methods."""


@dataclass(frozen=True)
class Race:
    """What was measured.

    Attributes:
        timings: by network and name of the runner ("kit" or a peer's), then by job: "trial",
            "ready" (faults of a chip, and one image) and "one" (one image).
        comparisons: of every peer's scores with ours.
        batches: images at once, by network and peer.
        layer_gbops, limit_gbops: of the wide layer and of the core, 1e9 operations a second, 2 a
            bit product; medians over rounds.
        absent: peers that could not be imported, and why.
    """

    timings: dict[tuple[str, str], dict[str, Timing]]
    comparisons: tuple[Comparison, ...]
    batches: dict[tuple[str, str], int]
    layer_gbops: float
    limit_gbops: float
    absent: dict[str, str]

    def trial_s(self, network: str, who: str) -> float | None:
        """Median CPU seconds of one trial; None for a peer that is absent."""
        found = self.timings.get((network, who))
        return None if found is None else found["trial"].cpu

    def inject_s(self, network: str, who: str) -> float | None:
        """Median CPU seconds from a chip's number until the first image could be shown.

        That is the faults of a chip and one image, less one image.
        """
        found = self.timings.get((network, who))
        return None if found is None else found["ready"].cpu - found["one"].cpu

    def fastest_torch(self, network: str) -> str:
        """Who of torch's float32 takes the least time for a trial."""
        found = {
            who: jobs["trial"].cpu
            for (name, who), jobs in self.timings.items()
            if name == network and who.startswith("torch")
        }
        return min(found, key=found.__getitem__)


def run(
    mlp: Subject, cnn: Subject, ber: float, n_rounds: int, seed: int, path: str, wide_layer: int = 1
) -> Race:
    """Measure everything, on one thread.

    PyTorchFI and MRFI run the modules of the naive model, so they are timed on the MLP only; their
    scores are compared on both networks.

    Args:
        ber: of the faults of all trials.
        seed: of the kit's chips and of torch's generator.
        wide_layer: of the MLP, whose rate is set beside the core's limit.

    Raises:
        StoicError: a peer's scores differ from the engine's.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    absent: dict[str, str] = {}
    comparisons: list[Comparison] = []
    batches: dict[tuple[str, str], int] = {}
    runners: dict[tuple[str, str], Kit | Contender] = {}
    for subject in (mlp, cnn):
        name = subject.network.name
        kit = runners[name, "kit"] = Kit(subject, Iid(ber, ber, seed), path)
        kit.trial()
        for peer in _field(subject, ber, absent):
            peer.inject()
            comparisons.append(compare(kit, peer.name, ber, peer.rows(), peer.scores()))
            if subject is mlp or peer.name not in PACKAGES:
                runners[name, peer.name] = peer
                batches[name, peer.name] = peer.batch
    jobs = {(at, job): getattr(runner, job) for at, runner in runners.items() for job in JOBS}
    layer, limit = _rates(mlp, path, wide_layer)
    gbops: dict[str, list[float]] = {"layer": [], "limit": []}
    extra = {
        (("mlp", "layer"), ""): lambda: gbops["layer"].append(layer()),
        (("mlp", "limit"), ""): lambda: gbops["limit"].append(limit()),
    }
    took = clock.interleave(jobs | extra, n_rounds)
    return Race(
        {at: {job: took[at, job] for job in JOBS} for at in runners},
        tuple(comparisons),
        batches,
        median(gbops["layer"]),
        median(gbops["limit"]),
        absent,
    )


def _rates(
    subject: Subject, path: str, wide_layer: int
) -> tuple[Callable[[], float], Callable[[], float]]:
    """What measures 1e9 operations a second: of a layer on all images, and of registers alone."""
    engine = Engine(subject.network, path=path)
    layer = subject.network.layers[wide_layer]
    products = layer.n_inputs * layer.n_outputs * len(subject.images)
    return (
        lambda: 2e-9 * products / float(engine.profile(subject.images)[1][wide_layer]),
        lambda: 2e-9 * popcount_limit(engine.path),
    )


def _field(subject: Subject, ber: float, absent: dict[str, str]) -> list[Contender]:
    """The peers of one network, each with its best batch size."""
    plain = [contenders.naive(subject, ber, torch.contiguous_format)]
    if isinstance(subject.network.layers[0], Conv):
        plain.append(contenders.naive(subject, ber, torch.channels_last))
    tuned = [contenders.tuned(subject, ber, kernel) for kernel in KERNELS]
    for peer in (*plain, *tuned):
        peer.tune(_N_TUNING)
    packages: list[Contender] = []
    for make in (contenders.pytorchfi, contenders.mrfi):
        try:
            packages.append(make(subject, ber))
        except ImportError as error:
            absent[make.__name__] = str(error)
    for peer in packages:
        peer.batch = plain[0].batch  # it runs the same modules
    return [*plain, _fastest(tuned), *packages]


def _fastest(peers: list[Contender]) -> Contender:
    took = clock.interleave({peer.name: peer.scores for peer in peers}, 1)
    return min(peers, key=lambda peer: took[peer.name].cpu)

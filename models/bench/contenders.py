"""Every peer on the same footing: it makes the faults of one chip, then scores all images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import clock
from .peers_mrfi import Mrfi
from .peers_pytorchfi import PyTorchFi
from .peers_torch import (
    Forward,
    flip_bernoulli,
    naive_model,
    rows_of_model,
    scores,
    to_input,
    weights_of,
)
from .peers_tuned import Kernel, TunedPeer
from .subjects import Subject

_BATCHES = (50, 100, 250, 1000, 2500, 10_000)


@dataclass(eq=False)
class Contender:
    """A network under one fault injector, in torch, on one thread.

    Attributes:
        name: e.g. "torch, naive".
        x: all images as it takes them.
        inject: makes the faults of another chip.
        forward: what takes batches under these faults.
        rows: per layer the (n_outputs, n_inputs) bits that its weights now stand for.
        batch: images at once.
    """

    name: str
    subject: Subject
    x: Tensor
    inject: Callable[[], object]
    forward: Callable[[], Forward]
    rows: Callable[[], list[NDArray[np.uint8]]]
    batch: int = _BATCHES[0]

    def scores(self) -> NDArray[np.int32]:
        """(n_images, n_classes) under the faults that are there."""
        return scores(self.forward(), self.x, self.batch)

    def one(self) -> NDArray[np.int32]:
        """Scores of one image under the faults that are there."""
        return scores(self.forward(), self.x[:1], 1)

    def ready(self) -> NDArray[np.int32]:
        """The faults of another chip, and the scores of one image."""
        self.inject()
        return self.one()

    def trial(self) -> int:
        """The faults of another chip, and how many images are classified correctly."""
        self.inject()
        return int((self.scores().argmax(1) == self.subject.labels).sum())

    def tune(self, n_images: int) -> None:
        """Take the fastest of a few batch sizes, on the first so many images."""
        forward, x = self.forward(), self.x[:n_images]
        candidates = [b for b in _BATCHES if b <= max(len(x), _BATCHES[0])]
        scores(forward, x, candidates[0])  # for warmth
        jobs = {str(b): partial(scores, forward, x, b) for b in candidates}
        took = clock.interleave(jobs, 1)
        self.batch = min(candidates, key=lambda b: took[str(b)].cpu)


def naive(subject: Subject, ber: float, memory_format: torch.memory_format) -> Contender:
    """Standard modules, masks from `torch.bernoulli`.

    Args:
        memory_format: `contiguous_format`, or `channels_last` as torch's tutorial has it.
    """
    network = subject.network
    is_last = memory_format is torch.channels_last
    model = naive_model(network)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):  # what `model.to(memory_format=...)` does
            module.weight.data = module.weight.data.contiguous(memory_format=memory_format)
    weights = weights_of(model)
    clean = [w.clone() for w in weights]
    x = to_input(network, subject.images)
    return Contender(
        "torch, channels_last" if is_last else "torch, naive",
        subject,
        x.contiguous(memory_format=memory_format) if is_last else x,
        partial(flip_bernoulli, weights, clean, ber),
        lambda: model,
        partial(rows_of_model, model, network),
    )


def tuned(subject: Subject, ber: float, kernel: Kernel) -> Contender:
    """As fast as we could make torch float32; masks from `torch.bernoulli`."""
    peer = TunedPeer(subject.network, kernel)
    clean = [w.clone() for w in peer.weights]
    return Contender(
        f"torch, tuned, {kernel}",
        subject,
        to_input(subject.network, subject.images),
        partial(flip_bernoulli, peer.weights, clean, ber),
        peer.forward,
        lambda: [(w > 0).numpy().astype(np.uint8) for w in peer.weights],
    )


def pytorchfi(subject: Subject, ber: float) -> Contender:
    """PyTorchFI on the naive model.

    Raises:
        ImportError: it is not installed.
    """
    peer = PyTorchFi(subject.network)
    held: list[nn.Module] = [peer.inject(0.0)]

    def inject() -> None:
        held[0] = peer.inject(ber)

    return Contender(
        peer.name,
        subject,
        to_input(subject.network, subject.images),
        inject,
        lambda: held[0],
        lambda: rows_of_model(held[0], subject.network),
    )


def mrfi(subject: Subject, ber: float) -> Contender:
    """MRFI on the naive model, its faults kept for all batches of a chip.

    Raises:
        ImportError: it is not installed.
    """
    peer = Mrfi(subject.network, ber)
    x = to_input(subject.network, subject.images)

    def inject() -> None:
        peer.keep(False)
        peer.forward(x[:1])  # MRFI makes faults in a forward call and nowhere else
        peer.keep(True)

    return Contender(
        peer.name,
        subject,
        x,
        inject,
        lambda: peer.forward,
        partial(rows_of_model, peer.model, subject.network),
    )

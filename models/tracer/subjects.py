"""What the study traces: six kinds of networks, behind one interface."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...sim.engine import Engine
from ..checkpoint import Checkpoint, load_checkpoint
from ..data import Images
from ..frozen import integers
from ..recipe import Recipe
from ..topology import ConvSize
from ..train import fit
from .cost import cpu_seconds
from .float_nets import Floats, Trained, as_input, train_floats
from .float_trace import load_trace
from .influence import Chunk
from .ledger import load_ledger
from .peer_captum import captum_tracin
from .recorder import Recorder
from .tracin import last_layer, products, tracin
from .views import View, binary_views, float_views

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        what: "by example" and "by step" are floats, see `float_nets`.
    """

    what: Literal["by example", "by step", "binary"]
    body: Literal["dense", "conv"]

    @property
    def name(self) -> str:
        """For tables."""
        return f"{'' if self.what == 'binary' else 'float, '}{self.what}, {self.body}"

    @property
    def recipe(self) -> Recipe:
        """Batches, epochs and rates; of binary networks all."""
        plain = Recipe(
            name="net", data="fashion-mnist", hidden=(32,), epochs=6, loss="cross_entropy", batch=20
        )
        if self.what == "by example":
            return replace(plain, learning_rate=0.1)
        pure = replace(plain, batches="class_pure", batch=28, n_ghosts=20, momentum=0.0)
        if self.what == "by step":
            return replace(pure, learning_rate=2e-3)
        return replace(
            pure,
            learning_rate=5e-3,
            hidden=(64,) if self.body == "dense" else (32,),
            convs=_CONVS if self.body == "conv" else (),
            held_out=False,
            running_norm_from=0.5,
            n_calibrations=4,
        )


_CONVS = (ConvSize(8, stride=2, pad=1, pool=2), ConvSize(16, pad=1, pool=2))
KINDS = tuple(
    Kind(what, body) for what in ("by example", "by step", "binary") for body in ("dense", "conv")
)


class Subject(ABC):
    """A traced network.

    Attributes:
        n_bytes: of its trace.
        training_cpu_s, tracing_cpu_s: without, and of, the recorder.
    """

    n_bytes: int
    training_cpu_s: float
    tracing_cpu_s: float

    @abstractmethod
    def chunks(self) -> Iterable[Chunk]:
        """Its trace."""

    @abstractmethod
    def views(self, images: Images) -> list[View]:
        """Of images."""

    @abstractmethod
    def logits(self, images: Images) -> Tensor:
        """(n, n_classes), of which cross entropy is the loss."""

    @abstractmethod
    def tracin(self, training: Images, test: Images) -> tuple[Matrix, Matrix]:
        """(n_training, n_test) influence, and (n_training,) of images on themselves."""


class FloatSubject(Subject):
    """A float network and its trace."""

    def __init__(self, trained: Trained, rate: float, folder: Path) -> None:
        self._trained, self._rate, self._trace = trained, rate, load_trace(folder)
        self.n_bytes = self._trace.n_bytes
        self.training_cpu_s, self.tracing_cpu_s = trained.training_cpu_s, trained.tracing_cpu_s

    def chunks(self) -> Iterable[Chunk]:
        """As of Subject."""
        return self._trace.chunks()

    def views(self, images: Images) -> list[View]:
        """As of Subject."""
        model, layers = self._trained.model, self._trained.layers
        return float_views(model, layers, self._trace.first, as_input(images))

    @torch.no_grad()
    def logits(self, images: Images) -> Tensor:
        """As of Subject."""
        return self._trained.model(as_input(images))  # type: ignore[no-any-return]

    def tracin(self, training: Images, test: Images) -> tuple[Matrix, Matrix]:
        """As of Subject."""
        of = self._trained
        return tracin(of.model, of.layers, of.snapshots, self._rate, _pair(training), _pair(test))

    def tracin_of_captum(self, training: Images, test: Images) -> Matrix:
        """(n_training, n_test) the same influence by captum."""
        of = self._trained
        return captum_tracin(of.model, of.snapshots, self._rate, _pair(training), _pair(test))


class BinarySubject(Subject):
    """A binary network and its ledger."""

    def __init__(self, folder: Path) -> None:
        self.ledger = load_ledger(folder / "ledger", load_checkpoint(folder / "net.ckpt"))
        self.network = integers(self.ledger.checkpoint)
        self._temperature = float(self.ledger.checkpoint.recipe["temperature"])
        self.n_bytes = self.ledger.n_bytes
        self.training_cpu_s, self.tracing_cpu_s = cpu_seconds(folder / "log.jsonl")

    def chunks(self) -> Iterable[Chunk]:
        """As of Subject."""
        return self.ledger.epochs()

    def views(self, images: Images) -> list[View]:
        """As of Subject."""
        return binary_views(self.ledger.checkpoint, self.ledger.first, images.images)

    def logits(self, images: Images) -> Tensor:
        """As of Subject."""
        scores = Engine(self.network).scores(images.images)
        return torch.from_numpy(scores).float() / self._temperature

    def tracin(self, training: Images, test: Images) -> tuple[Matrix, Matrix]:
        """As of Subject; of the last layer, at the end of the training."""
        some, others = (
            last_layer(self.views(i)[-1].inputs[:, 0], self.logits(i), i.labels)
            for i in (training, test)
        )
        return products(some, others).numpy(), products_with_itself(some)


def products_with_itself(factors: list[tuple[Tensor, Tensor]]) -> Matrix:
    """(n,) squares of gradients of a dense layer."""
    ((left, right),) = factors
    return np.asarray(left.square().sum((1, 2)) * right.square().sum((1, 2)))


def train_subject(kind: Kind, images: Images, seed: int, folder: Path) -> Subject:
    """Train a network of a kind, traced."""
    if kind.what != "binary":
        floats = _floats(kind)
        trained = train_floats(floats, images, seed, folder)
        return FloatSubject(trained, floats.recipe.learning_rate, folder)
    _fit(kind, images, seed, folder, Recorder(folder / "ledger"))
    return BinarySubject(folder)


def retrained(kind: Kind, images: Images, seed: int, folder: Path, test: Images) -> Tensor:
    """(n_test, n_classes) logits of a network that was trained on these images, untraced."""
    if kind.what != "binary":
        model = train_floats(_floats(kind), images, seed).model
        with torch.no_grad():
            return model(as_input(test))  # type: ignore[no-any-return]
    made = _fit(kind, images, seed, folder, None)
    scores = Engine(integers(made)).scores(test.images)
    return torch.from_numpy(scores).float() / kind.recipe.temperature


def _pair(images: Images) -> tuple[Tensor, Tensor]:
    return as_input(images), torch.from_numpy(images.labels).long()


def _floats(kind: Kind) -> Floats:
    return Floats(kind.body, kind.what == "by example", kind.recipe)


def _fit(
    kind: Kind, images: Images, seed: int, folder: Path, recorder: Recorder | None
) -> Checkpoint:
    none = Images(images.images[:0], images.labels[:0])
    return fit(kind.recipe, seed, images, none, folder, recorder=recorder)

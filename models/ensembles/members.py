"""Ensembles as modules: any members one after another, or equal dense members side by side."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from ...sim.exceptions import InputError
from ...sim.faults import PLANES, FaultMap
from ...sim.layers import Input
from ..binary import BinarySign, PositiveBatchNorm, as_read, signs
from ..nets import BinaryNet, as_float32
from ..noise import FaultyCells, weight_cells
from ..topology import LayerShape

Kind = Literal["float", "binary_weight", "binary"]
"""Of dense members: floats and ReLU; weights +-1 and ReLU; weights and activations +-1."""
KINDS: tuple[Kind, ...] = get_args(Kind)
_LEAST_SCALE = 1e-6


class Ensemble(nn.Module):
    """Any modules of one output shape, asked one after another; ensembles are modules, too.

    Attributes:
        log_scale: of a factor that all outputs are multiplied with, so that raw integer scores
            become logits; one for all members, so that it changes no decision. None: no factor.
    """

    def __init__(self, members: Iterable[nn.Module], scale: float | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        if not self.members:
            raise InputError("an ensemble needs at least one member")
        self.log_scale = None if scale is None else nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, x: Tensor) -> Tensor:
        """(n_members, batch, n) outputs of all members; the ensemble's is their mean."""
        parts = [as_float32(member(x)) for member in self.members]
        outputs = torch.cat([p if p.ndim == 3 else p[None] for p in parts])
        return outputs if self.log_scale is None else outputs * self.log_scale.exp()

    def project(self) -> None:
        """Bring latent weights and batch-norm scales back to where they may be; after a step."""
        with torch.no_grad():
            for member in self.members:
                if isinstance(member, BinaryNet):
                    for layer in member.binary_layers:
                        layer.weight.clamp_(-1, 1)
                    for norm in member.norm_layers:
                        norm.project()

    def set_memories(self, faults: FaultMap | None) -> None:
        """Read the weights of binary members through a map of the ensemble's integer network.

        Args:
            faults: of a layout of all layers, member after member; None is a memory that does not
                lie.
        """
        first = 0
        for member in self.members:
            if not isinstance(member, BinaryNet):
                raise InputError(f"a {type(member).__name__} has no memory that could lie")
            for i, layer in enumerate(member.binary_layers):
                layer.memory = None if faults is None else weight_cells(faults, first + i)
            first += len(member.shapes)


class DenseMembers(nn.Module):
    """Dense members of one shape side by side: a layer of all of them is one batched product.

    The same functions as M networks after one another, at the cost of one wide network. What
    features enter is what a `BinaryNet` takes: pixels 0..255, or -1 and +1.

    Args:
        sizes: elements of an example, neurons of every hidden layer, outputs.
        rng: of the first weights (Glorot, uniform).
        input: of the integer network that fully binary members become.

    Attributes:
        counts: members of each ensemble; there are several after `joined`.
        log_scale: (ensembles,) of the factor that the outputs of its members are multiplied with.
    """

    def __init__(
        self,
        n_members: int,
        sizes: tuple[int, ...],
        kind: Kind,
        rng: torch.Generator,
        input: Input = "uint8",
    ) -> None:
        super().__init__()
        if n_members < 1 or len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"dense members need positive sizes, not {n_members} of {sizes}")
        if kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        self.sizes = sizes
        self.kind: Kind = kind
        self.input: Input = input
        self.counts: tuple[int, ...] = (n_members,)
        self.memories: list[FaultyCells] | None = None
        self.weights = nn.ParameterList()
        for n, m in zip(sizes, sizes[1:], strict=False):
            bound = math.sqrt(6 / (n + m))
            drawn = torch.empty(n_members, m, n).uniform_(-bound, bound, generator=rng)
            self.weights.append(nn.Parameter(drawn))
        self.norms = nn.ModuleList(PositiveBatchNorm(n_members * m) for m in sizes[1:-1])
        self.fires = nn.ModuleList(
            BinarySign() if kind == "binary" else nn.ReLU() for _ in sizes[1:-1]
        )
        first = 0.0 if kind == "float" else -0.5 * math.log(sizes[-2])
        self.log_scale = nn.Parameter(torch.tensor([first]))

    @property
    def n_members(self) -> int:
        """Of all ensembles together."""
        return sum(self.counts)

    @property
    def scales(self) -> Tensor:
        """(n_members, 1, 1) the factor of each."""
        by_member = self.log_scale.repeat_interleave(torch.tensor(self.counts))
        return by_member.exp()[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """(n_members, batch, n) scaled outputs of (batch, n_inputs)."""
        return self.scores(x) * self.scales

    def scores(self, x: Tensor) -> Tensor:
        """(n_members, batch, n) outputs before the scale; integers of fully binary members."""
        last = len(self.weights) - 1
        for i in range(last + 1):
            x = self._sums(i, x)
            if i < last:
                flat = as_float32(x).transpose(0, 1).flatten(1)  # (batch, members x neurons)
                fired = self.fires[i](self.norms[i](flat))
                x = fired.view(len(flat), self.n_members, -1).transpose(0, 1)
        return as_float32(x)

    def project(self) -> None:
        """As of `Ensemble`."""
        if self.kind == "float":
            return
        with torch.no_grad():
            for weight in self.weights:
                weight.clamp_(-1, 1)
            self.log_scale.clamp_(min=math.log(_LEAST_SCALE))
        for norm in self.norms:
            cast(PositiveBatchNorm, norm).project()

    def set_memories(self, faults: FaultMap | None) -> None:
        """As of `Ensemble`."""
        if self.kind == "float":
            raise InputError("float members have no memory that could lie")
        self.memories, n = None, len(self.weights)
        if faults is not None:
            self.memories = [
                _together([weight_cells(faults, m * n + i) for m in range(self.n_members)])
                for i in range(n)
            ]

    def _sums(self, i: int, x: Tensor) -> Tensor:
        """(n_members, batch, n_outputs) of (batch, n) or, behind a layer, (n_members, batch, n)."""
        weight: Tensor = self.weights[i]
        low = torch.float32
        if self.kind != "float":
            # products of +-1, and pixels below 256, are exact in bfloat16; their sums are not
            low = torch.bfloat16 if self.training and self.kind == "binary" else low
            stored = weight.detach() >= 0
            read = stored if self.memories is None else self.memories[i].read(stored)
            weight = as_read(weight, stored, read, "straight_through", low)
        if x.ndim == 2:
            wide = x.to(low) @ weight.flatten(0, 1).T  # (batch, members x n_outputs)
            return wide.view(len(x), self.n_members, -1).transpose(0, 1)
        return x.to(low) @ weight.transpose(1, 2)

    @classmethod
    def joined(cls, parts: Sequence["DenseMembers"]) -> "DenseMembers":
        """Several ensembles, whose members are of one kind and shape, as one module."""
        if len({(p.sizes, p.kind, p.input) for p in parts}) != 1:
            raise InputError("ensembles that are joined need members of one kind and shape")
        counts = tuple(n for p in parts for n in p.counts)
        one = parts[0]
        whole = cls(sum(counts), one.sizes, one.kind, torch.Generator(), one.input)
        whole.counts = counts
        whole.log_scale = nn.Parameter(torch.zeros(len(counts)))
        states = [p.state_dict() for p in parts]
        whole.load_state_dict(
            {k: torch.cat([s[k] for s in states]) if v.ndim else v for k, v in states[0].items()}
        )
        return whole

    def parted(self) -> list["DenseMembers"]:
        """The ensembles that were joined, as they are now."""
        found = [
            DenseMembers(n, self.sizes, self.kind, torch.Generator(), self.input)
            for n in self.counts
        ]
        for k, values in self.state_dict().items():
            if not values.ndim:
                continue
            rows = len(values) // (len(found) if k == "log_scale" else self.n_members)
            shares = [rows * (1 if k == "log_scale" else n) for n in self.counts]
            for part, share in zip(found, values.split(shares), strict=True):
                part.state_dict()[k].copy_(share)
        return [part.eval() for part in found]

    @torch.no_grad()
    def apart(self) -> list[BinaryNet]:
        """The fully binary members as networks of their own, in evaluation mode.

        Raises:
            InputError: they are not fully binary.
        """
        if self.kind != "binary":
            raise InputError(f"only fully binary members are integer networks, not {self.kind}")
        shapes = tuple(LayerShape(n, m) for n, m in zip(self.sizes, self.sizes[1:], strict=False))
        nets = [BinaryNet(shapes, self.input) for _ in range(self.n_members)]
        return [self._member(m, net).eval() for m, net in enumerate(nets)]

    def _member(self, m: int, net: BinaryNet) -> BinaryNet:
        for weight, layer in zip(self.weights, net.binary_layers, strict=True):
            layer.set_rows(signs(weight[m] >= 0))
        for norm, own in zip(self.norms, net.norm_layers, strict=True):
            of = cast(PositiveBatchNorm, norm)
            own.eps = of.eps
            part = slice(m * own.num_features, (m + 1) * own.num_features)
            for name in ("weight", "bias", "running_mean", "running_var"):
                cast(Tensor, getattr(own, name)).copy_(cast(Tensor, getattr(of, name))[part])
        return net


def _together(cells: list[FaultyCells]) -> FaultyCells:
    """Cells of one layer of all members, (n_members, n_outputs, n_inputs); all of one map."""
    planes = {name: [getattr(c, name) for c in cells] for name in PLANES}
    return FaultyCells(**{k: torch.stack(v) for k, v in planes.items() if v[0] is not None})


Members = Ensemble | DenseMembers

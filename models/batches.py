"""Which images a step of training sees: a shuffled part, or examples of one class with ghosts.

A step on one class alone can be attributed to that class. Its batch norms would then normalise by
the statistics of that class; ghosts, drawn from all images, give them instead. They are in no loss,
and no gradient passes through the statistics, so a step is made by its examples and nothing else.

Source: ClassSampler of Whadup/xai_tracking, code of arXiv 2109.05880. There every example is
normalised by ghosts and itself; here by ghosts alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .recipe import Recipe


@dataclass(frozen=True, eq=False)
class Batch:
    """Numbers of the images of a step.

    Attributes:
        examples: (n,) int64, whose loss is minimised.
        ghosts: (n_ghosts,) int64, which normalise.
    """

    examples: Tensor
    ghosts: Tensor

    @property
    def all(self) -> Tensor:
        """Examples, then ghosts."""
        return torch.cat([self.examples, self.ghosts])


def draw(recipe: Recipe, labels: Tensor, order: torch.Generator) -> list[Batch]:
    """The batches of an epoch; no image is an example of two of them.

    Args:
        labels: (n_images,) int64.
        order: what is random comes from it.
    """
    size = recipe.batch - recipe.n_ghosts
    shuffled = torch.randperm(len(labels), generator=order)
    if recipe.batches == "mixed":
        groups = [shuffled]
    else:
        groups = [shuffled[labels[shuffled] == c] for c in range(int(labels.max()) + 1)]
    parts = [g[k : k + size] for g in groups for k in range(0, len(g) - size + 1, size)]
    if recipe.batches == "class_pure":
        parts = [parts[k] for k in torch.randperm(len(parts), generator=order)]
    return [
        Batch(part, torch.randint(len(labels), (recipe.n_ghosts,), generator=order))
        for part in parts
    ]

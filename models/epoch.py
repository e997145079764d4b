"""An epoch of training: the memory of each step, its loss, its update."""

import math

import torch
from torch import Tensor

from . import batches, losses
from .augment import augment
from .data import Images
from .margins import scores_and_margins
from .nets import encode
from .noise import TrainingErrors, set_memories
from .recipe import Recipe
from .tracer.recorder import Recorder
from .training_state import State

_LEAST_SCALE = 1e-6


def epoch(
    run: State,
    recipe: Recipe,
    errors: TrainingErrors,
    training: Images,
    recorder: Recorder | None = None,
) -> float:
    """Mean loss of one pass over the training images.

    Args:
        recorder: is told of every step.
    """
    run.model.train()
    device = run.model.device
    images = torch.from_numpy(training.images).flatten(1)
    labels = torch.from_numpy(training.labels).long()
    drawn = batches.draw(recipe, labels, run.order)
    n_all = len(drawn) * recipe.epochs
    for norm in run.model.norm_layers:
        norm.n_ghosts = recipe.n_ghosts
    total = 0.0
    for batch in drawn:
        done = run.n_steps / n_all
        rise = min(1.0, (run.n_steps + 1) / (recipe.warm_up * n_all)) if recipe.warm_up else 1.0
        rate = recipe.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * done))
        run.optimizer.param_groups[0]["lr"] = rate
        if done >= recipe.running_norm_from:
            for norm in run.model.norm_layers:
                norm.on_running, norm.momentum = True, recipe.running_momentum
        given = augment(images[batch.all], training.images.shape[1:], recipe.augment, run.rng)
        x = encode(given.to(device), recipe.input, run.model.shapes[0])
        total += _step(run, recipe, errors, x, labels[batch.examples].to(device), done)
        run.n_steps += 1
        if recorder is not None:
            recorder.step(run.model, batch.examples)
    set_memories(run.model, None)
    run.epoch += 1
    return round(total / len(drawn), 6)


def _step(
    run: State, recipe: Recipe, errors: TrainingErrors, x: Tensor, target: Tensor, done: float
) -> float:
    share = {"uniform": run.rng.random(), "fixed": 1.0, "rising": done}[recipe.rates]
    loss = torch.zeros(())
    if recipe.clean_weight:
        set_memories(run.model, None)
        clean = _objective(run, recipe, x, target)
        run.lies |= not recipe.clean_below or float(clean.detach()) < recipe.clean_below
        loss = clean * (recipe.clean_weight if run.lies else 1.0)
    if run.lies or not recipe.clean_weight:
        if recipe.has_errors:
            errors.put(run.model, run.n_steps, share)
        loss = loss + _objective(run, recipe, x, target) * (1.0 - recipe.clean_weight)
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    run.optimizer.step()
    with torch.no_grad():
        for layer in run.model.binary_layers:
            layer.weight.clamp_(-1, 1)
        if run.scale is not None:
            run.scale.clamp_(min=_LEAST_SCALE)
    for norm in run.model.norm_layers:
        norm.project()
    return float(loss.detach())


def _objective(run: State, recipe: Recipe, x: Tensor, target: Tensor) -> Tensor:
    """The loss of the weights as they read now, mean over the batch."""
    margins: list[Tensor] = []
    if recipe.tolerance_weight:
        logits, margins = scores_and_margins(run.model, x)
    else:
        logits = run.model(x)[: len(target)]  # (n_examples, n_classes)
    if run.scale is not None:
        logits = logits * run.scale
    if recipe.loss == "margin_hinge":
        loss = losses.margin_hinge(logits, target, recipe.margin)
    elif recipe.loss == "cross_entropy":
        loss = losses.cross_entropy(logits, target, recipe.temperature)
    else:
        loss = losses.margin_cross_entropy(
            logits, target, recipe.margin, recipe.limit, recipe.temperature
        )
    if margins:
        short = losses.margin_shortfall(margins, recipe.tolerance_margin)
        return loss.mean() + recipe.tolerance_weight * short
    return loss.mean()

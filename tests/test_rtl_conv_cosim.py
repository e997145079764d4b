"""Cores of convolutional networks under cocotb: gaps, stalls, resets, read errors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stoic.sim.bench.runner import Bench, Cosim
from stoic.sim.core import FORMS, Form
from stoic.sim.hardware import hardware_layout
from stoic.sim.layers import Pool
from stoic.sim.memory import Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_ensemble, with_random_tables

from .test_rtl_units import core


def uint8_network() -> Network:
    """A pool whose windows overlap, then a stride that skips pixels."""
    convs = ((4, 3, 1, 1, Pool(2, 1)), (5, 2, 2, 1, None))
    return random_conv_network((3, 4, 1), convs, (3,), "uint8", np.random.default_rng(7))


UINT8_FOLDS = (Fold(4, 9), Fold(2, 8), Fold(1, 7))


def conv_uint8(tmp_path: Path) -> Bench:
    net = uint8_network()
    return core(tmp_path, net, layout_of(net, UINT8_FOLDS))


def conv_bits(tmp_path: Path) -> Bench:
    """Two members with two threshold tables and check bits: pooled with a gap, and not pooled."""
    rng = np.random.default_rng(7)
    members = (
        random_conv_network((5, 5, 1), ((3, 3, 1, 1, Pool(2, 3)),), (3,), "bits", rng),
        random_conv_network((5, 5, 1), ((3, 4, 2, 2, None),), (3,), "bits", rng),
    )
    net = with_random_tables(random_ensemble(members), 1, rng)
    plain = layout_of(net, (Fold(3, 9), Fold(1, 5), Fold(2, 16), Fold(3, 9)))
    return core(tmp_path, net, hardware_layout(plain, 2, secded=True))


@pytest.mark.parametrize("make", [conv_uint8, pytest.param(conv_bits, marks=pytest.mark.slow)])
def test_convolutional_core_equals_golden(
    cosim: Cosim, tmp_path: Path, make: Callable[[Path], Bench]
) -> None:
    cosim.passes(make(tmp_path))


@pytest.mark.parametrize("form", FORMS)
def test_convolutional_scores_under_read_errors_are_the_model_s(
    cosim: Cosim, tmp_path: Path, form: Form
) -> None:
    cosim.passes(disturbed(tmp_path, form))


def disturbed(tmp_path: Path, form: Form) -> Bench:
    net = uint8_network()
    return core(tmp_path, net, layout_of(net, UINT8_FOLDS), injector=form)

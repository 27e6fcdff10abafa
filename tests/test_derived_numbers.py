"""Derived numbers against the independent computation of `diagnostics.derived_numbers`."""

import sys
import warnings
from pathlib import Path

import pytest

import bayesglmm as bg

if (root := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.append(root)  # for `diagnostics`

from diagnostics.derived_numbers import BOUND, LOOSER, SETTINGS, differences, setting

SOME = (
    "slope, offset, weights",
    "row effects",
    "nested and crossed, probit",
    "text, cloglog, poly",
    "three factors, levels reordered",
    "log link",
    "known errors",
    "splines, offset",
)


@pytest.mark.parametrize("name", SOME)
def test_every_number_is_found_again(name):
    assert name in SETTINGS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.DataWarning)
        found = list(differences(setting(name)))
    assert len({quantity for quantity, _ in found}) >= 10
    for quantity, size in found:
        assert size < LOOSER.get(quantity, BOUND), quantity

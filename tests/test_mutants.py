"""Broken copies are still broken: the line that each of them changes stands where it says, once.

They take minutes and run by hand; a line that has moved meanwhile would be noticed only then.
"""

from pathlib import Path

import catalogue
import pytest

import bayesglmm
from diagnostics import mutants, sbc_mutants

ALL = [
    *(one for copies in mutants.CATALOGUES.values() for one in copies),
    *(one for one in sbc_mutants.MUTANTS if isinstance(one, sbc_mutants.Kernel)),
    *catalogue.TWELVE.values(),
]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_the_line_stands_once(one):
    source = (Path(bayesglmm.__file__).parent / one.file).read_text("utf-8")
    assert source.count(one.old) == 1
    assert one.new != one.old

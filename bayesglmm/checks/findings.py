"""Findings of the pre-flight, and the data as its checks see them."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..columns import Rows

COUNTS = ("poisson", "negative_binomial")
KNOWN_ERRORS = "gaussian_se"  # a Gaussian response with known standard errors
PROPORTIONS = ("bernoulli", "binomial")


@dataclass
class Findings:
    """What is worth saying: warnings, and notes that the printed model lists."""

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Add a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)


class Observed(NamedTuple):
    """The response as the checks see it."""

    family: str
    name: str
    y: np.ndarray
    trials: np.ndarray | None
    rows: Rows


class Grouping(NamedTuple):
    """A factor of groups as the checks see it."""

    name: str
    codes: np.ndarray  # level of each row
    levels: int
    nested_name: bool  # written a:b

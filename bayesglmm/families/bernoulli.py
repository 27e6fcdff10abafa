"""Zero-one responses: the binomial family with one trial a row."""

from dataclasses import replace

from . import binomial
from ._registry import register

for _family in binomial.PAIRS:
    register(replace(_family, name="bernoulli"))

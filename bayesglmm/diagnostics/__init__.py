"""Judging draws: R-hat, effective sample size, Monte Carlo error, and the verdict.

This folder may import numpy, and scipy.special when a function is called; nothing of the model.
"""

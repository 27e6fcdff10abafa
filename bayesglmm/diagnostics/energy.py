"""E-BFMI: whether Hamiltonian chains explore the energy they need (Betancourt 2016)."""

import numpy as np


def ebfmi(energy: np.ndarray) -> np.ndarray:
    """Energy Bayesian fraction of missing information of each chain.

    Parameters
    ----------
    energy : array (chains, draws)
        The Hamiltonian at each draw.

    Returns
    -------
    array (chains,)
        Mean squared change of energy between draws over the variance of energy. Below 0.3 the
        momentum refreshment is too weak for the tails of the target. NaN where energy is constant.
    """
    energy = np.asarray(energy, dtype=float)
    if energy.shape[1] < 2:
        return np.full(energy.shape[0], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.square(np.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1, ddof=1)

"""Likelihoods of a linear mixed model from the dense covariance of all rows: V = R + Z Sigma Z'."""

import numpy as np


def dense_z(data):
    """Z of all effects, (n, effects), in the order of the model."""
    n = data.obs.y.size
    total = int(sum(data.levels[f] for f in data.factor))
    Z = np.zeros((n, total))
    for k, f in enumerate(data.factor):
        Z[np.arange(n), data.effect[k] + data.level[f]] = data.obs.Z[k]
    return Z


def dense_sigma(data, L):
    """Covariance of all effects, from L (Q, Q)."""
    total = int(sum(data.levels[f] for f in data.factor))
    covariance, block = np.zeros((total, total)), L @ L.T
    for k, f in enumerate(data.factor):
        for l, g in enumerate(data.factor):
            if f == g:
                own = np.arange(data.levels[f])
                covariance[data.effect[k] + own, data.effect[l] + own] = block[k, l]
    return covariance


def likelihood(X, y, Z, Sigma, variances, restricted):
    """Log-likelihood with all constants, beta and its covariance; variances (n,) of the rows."""
    V = np.diag(variances) + Z @ Sigma @ Z.T
    C = np.linalg.cholesky(V)
    Xs, ys = np.linalg.solve(C, X), np.linalg.solve(C, y)
    M = Xs.T @ Xs
    beta = np.linalg.solve(M, Xs.T @ ys)
    rest = ys - Xs @ beta
    value = -np.log(np.diag(C)).sum() - 0.5 * rest @ rest
    dof = y.size
    if restricted:
        value -= 0.5 * np.linalg.slogdet(M)[1]
        dof -= X.shape[1]
    u = Sigma @ Z.T @ np.linalg.solve(C.T, rest)
    return value - 0.5 * dof * np.log(2.0 * np.pi), beta, np.linalg.inv(M), u

"""Moves of the coefficients that no factor's effects can take up, and of the dispersion.

beta moves along the loose directions with the effects held. The proposal is a Newton step of fixed
curvature P, that at the fit, plus noise: beta' ~ N(beta + P^-1 g(beta), P^-1), accepted with the
full ratio of both ways. Now and then it is a plain random walk with the same P, which also finds
back from where a Newton step overshoots. The log of the dispersion moves likewise; that of a
Gaussian response, whose sum of squares is all it depends on, is drawn from its conditional under a
flat prior and accepted by the prior.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import families
from .._jit import bare, kernel
from .._linalg import add, cholesky, copy, dot, solve_lower, solve_upper
from .._random import gamma, normal, uniform
from ..density import BLOCK, dispersion
from ..prior_density import dispersion_logpdf, dispersion_slope, prior_logpdf, prior_slope

NONE, SQUARES, STEPS = 0, 1, 2  # Loose.kind: how the dispersion moves
WALKS = 0.1  # share of random walks among the moves
STEP, ACCEPTED, PROPOSED = 0, 1, 2  # columns of tuning; a step below 0: walks alone
COEFFICIENTS, DISPERSION = 0, 1  # rows of tuning


class Loose(NamedTuple):
    """The loose directions, and what is known at the fit of the curvature along them."""

    basis: np.ndarray  # (l, p)
    X: np.ndarray  # (l, n) at home
    gram: np.ndarray  # (l, l) X W X'
    prior: np.ndarray  # (l, l) precision of the prior, or of a Normal near it
    kind: np.ndarray  # (1,) int64
    number: np.ndarray  # (4,) log dispersion at the fit; power of it that the weights have; the
    #                     curvature along it; sum of the weights of the rows


LOG_PHI, POWER, CURVATURE, TOTAL = 0, 1, 2, 3  # of Loose.number


def empty() -> Loose:
    """No direction."""
    none = np.zeros((0, 0))
    return Loose(none, none, none, none, np.zeros(1, dtype=np.int64), np.zeros(4))


@bare
def _derivatives(rows, obs, X, eta, phi, spare, score):
    """Log-likelihood; scores along the loose directions, and last along the log dispersion."""
    value, size = 0.0, X.shape[0]
    for k in range(size + 1):
        score[k] = 0.0
    for first in range(0, eta.size, BLOCK):
        last = min(first + BLOCK, eta.size)
        m = last - first
        a, b, c = spare[0, :m], spare[1, :m], spare[2, :m]
        y, w = obs.y[first:last], obs.w[first:last]
        rows(families.GRADIENT, eta[first:last], y, w, phi, a, b, c, c)
        for i in range(m):
            value += a[i]
            score[size] += c[i]
        for k in range(size):
            score[k] += dot(X[k, first:last], b)
    return value


@bare
def _add_prior(priors, basis, beta, score):
    """Add the derivatives of log p(beta); returns log p(beta)."""
    value = 0.0
    for j in range(beta.size):
        row = priors[j]
        kind = int(row[0])
        value += prior_logpdf(kind, row[1], row[2], row[3], beta[j])
        slope = prior_slope(kind, row[1], row[2], row[3], beta[j])
        for k in range(basis.shape[0]):
            score[k] += basis[k, j] * slope
    return value


@kernel
def move(rows, obs, prior, rest, tuning, state, spare):
    """Move beta along the loose directions, and the dispersion. Returns the acceptance of beta.

    `spare` is (3, n): its first row holds the proposed eta, and blocks of it are scratch.
    """
    size, p = rest.X.shape[0], prior.beta.shape[0]
    block = np.empty((3, BLOCK))
    score, accepted = np.empty(size + 1), 0.0
    phi = dispersion(prior, state.theta)
    current = 0  # whether the scores are those of the state
    if size > 0:
        beta, trial = state.theta[:p], np.empty(p)
        new_score, P = np.empty(size + 1), np.empty((size, size))
        step, back, noise = np.empty(size), np.empty(size), np.empty(size)
        scale = 1.0
        if rest.number[POWER] != 0.0:
            scale = math.exp(rest.number[POWER] * (math.log(phi) - rest.number[LOG_PHI]))
        for k in range(size):
            for l in range(size):
                P[k, l] = scale * rest.gram[k, l] + rest.prior[k, l]
        walk = tuning[COEFFICIENTS, STEP] < 0.0 or uniform(state.random) < WALKS
        length = abs(tuning[COEFFICIENTS, STEP])
        if cholesky(P):
            state.value[0] = _derivatives(rows, obs, rest.X, state.eta, phi, block, score)
            value = state.value[0] + _add_prior(prior.beta, rest.basis, beta, score)
            for k in range(size):
                noise[k] = normal(state.random)
                step[k] = score[k]
            ratio = 0.0
            if walk:
                for k in range(size):
                    step[k] = length * noise[k]
                solve_upper(P, step)
            else:
                # C'(step - P^-1 g) is the noise
                solve_lower(P, step)
                for k in range(size):
                    step[k] += noise[k]
                    ratio += 0.5 * noise[k] * noise[k]
                solve_upper(P, step)
            eta = spare[0]
            copy(eta, state.eta)
            for k in range(size):
                add(eta, rest.X[k], step[k])
            for j in range(p):
                trial[j] = beta[j]
                for k in range(size):
                    trial[j] += rest.basis[k, j] * step[k]
            loglik = _derivatives(rows, obs, rest.X, eta, phi, block, new_score)
            slope = new_score[size]
            ratio += loglik + _add_prior(prior.beta, rest.basis, trial, new_score) - value
            if not walk:
                # The way back: noise' = C'(-step) - C^-1 g'.
                for k in range(size):
                    back[k] = new_score[k]
                solve_lower(P, back)
                for k in range(size):
                    total = back[k]
                    for l in range(k, size):
                        total += P[l, k] * step[l]
                    ratio -= 0.5 * total * total
                tuning[COEFFICIENTS, PROPOSED] += 1.0
            current = 1
            if math.log(uniform(state.random)) < ratio:
                accepted = 1.0
                tuning[COEFFICIENTS, ACCEPTED] += 0.0 if walk else 1.0
                copy(state.eta, eta)
                for j in range(p):
                    beta[j] = trial[j]
                state.value[0] = loglik
                score[size] = slope
    if rest.kind[0] == SQUARES:
        _draw_sigma(prior.phi[0], rest.number[TOTAL], state)
    elif rest.kind[0] == STEPS:
        if current == 0:
            state.value[0] = _derivatives(rows, obs, rest.X, state.eta, phi, block, score)
        _move_dispersion(rows, obs, prior.phi[0], rest, tuning[DISPERSION], state, block, score)
    return accepted


@kernel
def _draw_sigma(prior, weights, state):
    """Sigma of a Gaussian response, from sum of weights and log-likelihood -W log s - S / 2 s^2."""
    last = state.theta.size - 1
    log_phi = state.theta[last]
    squares = -2.0 * math.exp(2.0 * log_phi) * (state.value[0] + weights * log_phi)
    if not squares > 0.0:
        return
    proposed = 0.5 * math.log(0.5 * squares / gamma(state.random, 0.5 * weights))
    kind = int(prior[0])
    ratio = dispersion_logpdf(kind, prior[1], prior[2], prior[3], proposed)
    ratio -= dispersion_logpdf(kind, prior[1], prior[2], prior[3], log_phi)
    if math.log(uniform(state.random)) < ratio:
        state.theta[last] = proposed
        state.value[0] = -weights * proposed - 0.5 * squares * math.exp(-2.0 * proposed)


@kernel
def _move_dispersion(rows, obs, prior, rest, tuning, state, block, score):
    """The log of the dispersion: a Newton step of fixed curvature plus noise, or a walk."""
    last, size = state.theta.size - 1, rest.X.shape[0]
    kind, P = int(prior[0]), rest.number[CURVATURE]
    x, new_score = state.theta[last], np.empty(size + 1)
    walk = tuning[STEP] < 0.0 or uniform(state.random) < WALKS
    noise = normal(state.random) / math.sqrt(P)
    gradient = score[size] + dispersion_slope(kind, prior[1], prior[2], prior[3], x)
    step = abs(tuning[STEP]) * noise if walk else gradient / P + noise
    ratio = dispersion_logpdf(kind, prior[1], prior[2], prior[3], x + step)
    ratio -= dispersion_logpdf(kind, prior[1], prior[2], prior[3], x)
    threshold = math.log(uniform(state.random))
    if not ratio > -math.inf:
        return
    phi = math.exp(x + step)
    value = _derivatives(rows, obs, rest.X, state.eta, phi, block, new_score)
    ratio += value - state.value[0]
    if not walk:
        slope = dispersion_slope(kind, prior[1], prior[2], prior[3], x + step)
        back = step + (new_score[size] + slope) / P
        ratio += 0.5 * P * (noise * noise - back * back)
        tuning[PROPOSED] += 1.0
    if threshold < ratio:
        state.theta[last] = x + step
        state.value[0] = value
        tuning[ACCEPTED] += 0.0 if walk else 1.0

"""The maximum-likelihood fit by Laplace's approximation, on the user's scale."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..covariance import factors
from ..errors import DataError
from ..tables import Table
from .joint import LARGEST
from .mode import Mode, find

if TYPE_CHECKING:
    import pandas

    from ..model import Model

CI_Z = 1.959963984540054
ZERO_SD = 1e-3  # of the response's spread: a smaller sd whose likelihood is flat is reported as 0
EPSILON = 1e-5  # relative step of the Jacobian of the way back to the user's scale


@dataclass(frozen=True, eq=False)
class Fit:
    """A maximum-likelihood fit.

    Attributes
    ----------
    model : Model
    method : str
    names : tuple of str
        Rows: coefficients, sds, correlations, dispersion.
    estimate, se : ndarray, shape (rows,)
        Estimates and standard errors, the latter from the inverse Hessian of the log-likelihood
        by the delta method; nan where an sd is estimated as 0.
    loglik : float
        All constants included, so that it compares with other software.
    effects : dict of str to ndarray, shape (levels, columns)
        Conditional modes of u by factor.
    effect_sds : dict of str to ndarray
        Their sds given the parameters.
    converged : bool
    warnings : tuple of str
    """

    model: "Model"
    method: str
    names: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray
    loglik: float
    parameters: int
    effects: dict[str, np.ndarray]
    effect_sds: dict[str, np.ndarray]
    converged: bool
    warnings: tuple[str, ...]
    mode: Mode

    @property
    def aic(self) -> float:
        """-2 loglik + 2 parameters."""
        return 2.0 * self.parameters - 2.0 * self.loglik

    @property
    def bic(self) -> float:
        """-2 loglik + log(rows) parameters."""
        return float(np.log(self.model.design.X.shape[0])) * self.parameters - 2.0 * self.loglik

    def summary(self) -> "pandas.DataFrame":
        """Estimates, standard errors and Wald limits, a row for each parameter."""
        return Table(self.names, self.columns()).frame()

    def columns(self) -> dict[str, np.ndarray]:
        """Columns of the summary."""
        lower, upper = self._limits()
        return {"estimate": self.estimate, "se": self.se, "2.5%": lower, "97.5%": upper}

    def _limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Wald limits; of sds and dispersion on the log scale, of correlations on Fisher's z."""
        names, x, half = self.model.names, self.estimate, CI_Z * self.se
        p, sds, cors = len(names.fixed), len(names.sd), len(names.cor)
        lower, upper = x - half, x + half
        cor = np.zeros(x.size, dtype=bool)
        cor[p + sds : p + sds + cors] = True
        positive = ~cor
        positive[:p] = False
        with np.errstate(all="ignore"):  # an sd of 0 has no limits: nan
            ratio = np.exp(half[positive] / x[positive])
            lower[positive], upper[positive] = x[positive] / ratio, x[positive] * ratio
            z, width = np.arctanh(x[cor]), half[cor] / (1.0 - x[cor] ** 2)
            lower[cor], upper[cor] = np.tanh(z - width), np.tanh(z + width)
        return lower, upper

    def __str__(self) -> str:
        state = "converged" if self.converged else "NOT CONVERGED"
        head = [
            f"Maximum likelihood by {self.method}: {state}",
            f"{self.model.design.formula}   [{self.model.family.name}, {self.model.family.link}]",
            f"loglik {self.loglik:.4f}   AIC {self.aic:.2f}   BIC {self.bic:.2f}",
            "",
        ]
        table = Table(self.names, self.columns())
        return "\n".join([*head, str(table), *[f"! {line}" for line in self.warnings]])


def fit(model: "Model", method: str = "laplace") -> Fit:
    """Maximize Laplace's approximation of the marginal likelihood.

    Raises
    ------
    ValueError
        For a method that does not exist.
    DataError
        For crossed or nested factors with more than 2,000 effects.
    """
    if method != "laplace":
        raise ValueError(f"method {method!r} does not exist; there is 'laplace'")
    rows, data, start, constant, _ = model.problem
    effects = int(sum(data.levels[f] for f in data.factor))
    if data.levels.size > 1 and effects > LARGEST:
        raise DataError(
            f"the Laplace fit of crossed factors takes at most {LARGEST} effects in all; "
            f"this model has {effects}. Sample it with sampler='nuts' instead."
        )
    mode = find(rows, data, False, start)
    names = model.names
    rows_ = (*names.fixed, *names.sd, *names.cor, *names.dispersion)
    estimate = _flat(model, mode.theta)
    jacobian = np.empty((estimate.size, mode.theta.size))
    for j in range(mode.theta.size):
        move = np.zeros(mode.theta.size)
        move[j] = EPSILON
        up, down = _flat(model, mode.theta + move), _flat(model, mode.theta - move)
        jacobian[:, j] = (up - down) / (2.0 * EPSILON)
    se = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, mode.covariance, jacobian))
    warnings = []
    p, sds = len(names.fixed), len(names.sd)
    for i in range(p, p + sds):
        if estimate[i] * model.z_scale[i - p] < ZERO_SD * start.spread:
            warnings.append(f"variance of {rows_[i]} estimated as 0: the data show none")
            estimate[i], se[i] = 0.0, np.nan
    if not mode.definite and not warnings:
        warnings.append(
            "the likelihood is flat in some direction: standard errors mean little; "
            "look for separation, collinear columns or an effect that the data cannot show"
        )
    if not mode.converged:
        warnings.append("the optimizer stopped before the gradient vanished")
    u, sd_u = _effects(model, mode)
    return Fit(
        model,
        method,
        rows_,
        estimate,
        se,
        mode.value + constant,
        mode.theta.size,
        u,
        sd_u,
        mode.converged and (mode.definite or bool(warnings and "as 0" in warnings[0])),
        tuple(warnings),
        mode,
    )


def _flat(model: "Model", theta: np.ndarray) -> np.ndarray:
    """All rows of the table at theta."""
    data = model.problem.data
    effects = int(sum(data.levels[f] for f in data.factor))
    values = model.to_user(theta, np.zeros(effects))
    parts: list[Any] = [values["beta"], values["sd"], values["cor"]]
    parts += [np.atleast_1d(values[name]) for name in model.names.dispersion]
    return np.concatenate(parts)


def _effects(model: "Model", mode: Mode) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Conditional modes of u, and sds from the inverse curvature at the parameters."""
    data = model.problem.data
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    L = factors(data.prior.covariance, mode.theta[p : p + m])
    u = np.zeros(mode.map.modes.size)
    variance = np.zeros_like(u)
    Q = data.factor.size
    for k in range(Q):
        J = int(data.levels[data.factor[k]])
        own = slice(int(data.effect[k]), int(data.effect[k]) + J)
        for l in range(Q):
            if L[k, l] != 0.0:
                other = slice(int(data.effect[l]), int(data.effect[l]) + J)
                u[own] += L[k, l] * mode.map.modes[other]
        variance[own] = _variance(mode, data, L, k)
    values = model.to_user(mode.theta, u)["u"]
    sds = model.to_user(mode.theta, np.sqrt(variance))["u"]
    return values, sds


def _variance(mode: Mode, data: Any, L: np.ndarray, k: int) -> np.ndarray:
    """Variances of u of z column k: the diagonal of L H^-1 L'."""
    J = int(data.levels[data.factor[k]])
    if data.levels.size == 1:
        C = np.moveaxis(mode.map.blocks, 2, 0)
        C = np.tril(C)
        half = np.linalg.solve(C, np.broadcast_to(L[k], (J, L.shape[0]))[..., None])
        return (half[..., 0] ** 2).sum(axis=1)
    rows = np.zeros((mode.map.modes.size, J))
    for l in range(data.factor.size):
        if L[k, l] != 0.0:
            place = int(data.effect[l])
            rows[place + np.arange(J), np.arange(J)] = L[k, l]
    half = np.linalg.solve(np.tril(mode.map.dense), rows)
    return (half**2).sum(axis=0)

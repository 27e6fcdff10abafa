"""A model: design, family, priors in full. Frozen; what compiled code reads is made from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import checks, dialects
from .design import Design, build
from .errors import DataError
from .prior_defaults import SHAPES, Priors, column_means, resolve

if TYPE_CHECKING:
    from .density import Data
    from .families import Family
    from .fits.mode import Start
    from .predictive import Predictive


# Known without asking the registry.
PACKAGED = ("gaussian", "bernoulli", "binomial", "poisson", "negative_binomial", "gamma")


class Names(NamedTuple):
    """Rows of the tables, in the order of the draws."""

    fixed: tuple[str, ...]
    sd: tuple[str, ...]
    cor: tuple[str, ...]
    dispersion: tuple[str, ...]

    @property
    def inverse(self) -> tuple[str, ...]:
        """Rows that tables add: the dispersion as other software states it, ``1/size``."""
        return tuple(f"1/{name}" for name in self.dispersion if name in SHAPES)


class Problem(NamedTuple):
    """What fits and samplers work on."""

    rows: Any  # compiled row function of the family
    data: "Data"
    start: "Start"
    constant: float  # of the log-likelihood: terms that depend on the data only
    order: tuple[np.ndarray, ...]  # for each factor, level of the design at each internal place


def glmm(
    formula: str,
    data: Any,
    family: str = "gaussian",
    *,
    link: str | None = None,
    priors: dict[str, Any] | None = None,
    weights: Any = None,
    missing: str = "refuse",
    center: bool = True,
    functions: dict[str, Any] | None = None,
    reference: dict[str, str] | None = None,
    **others: Any,
) -> "Model":
    """Read a formula and a data frame into a model.

    Parameters
    ----------
    formula : str
        lme4's language: ``"y ~ x * f + (x | g)"``; ``successes | trials(n)`` for counts of trials,
        ``y | se(s)`` for a Gaussian response with known standard errors.
    data : DataFrame
        pandas, polars or pyarrow, or a dict of columns.
    family : str
        ``"gaussian"``, ``"bernoulli"``, ``"binomial"``, ``"poisson"``, ``"negative_binomial"``
        (variance mu + mu^2 / size) or ``"gamma"`` (variance mu^2 / shape), or one made by
        `families.define`.
    link : str, optional
        The family's usual link if not given.
    priors : dict, optional
        By row name: ``"Intercept"``, a coefficient, ``"b"`` (all other coefficients), ``"sd"``,
        ``"cor"``, a group (a prior of its Sigma, or a dict of ``sd`` and ``cor``), ``"sigma"``,
        ``"size"`` or ``"shape"`` (of that parameter itself; of 1/x or 1/sqrt(x) in `Inverse` or
        `InverseSqrt`).
        What is not given has the default that ``print(model)`` shows.
    weights : str or array, optional
        Frequencies: weight 3 is the row three times.
    missing : {"refuse", "drop"}
        What to do with rows that have missing values.
    center : bool
        Whether the intercept's prior is at the centred predictors (True) or at x = 0.
    functions : dict, optional
        Functions that the formula may use beyond the built-in table.
    reference : dict, optional
        Reference level by factor.

    Raises
    ------
    FormulaError, DataError, PriorError
        With the column, the first rows and the remedy.
    TypeError
        For an argument that there is not, also one of other packages.
    """
    dialects.keywords(others)
    if family not in PACKAGED:
        _family(family, link)
    # Data before the rest: what is wrong with them is said before numba is even imported.
    design = build(
        formula,
        data,
        family,
        weights=weights,
        missing=missing,
        functions=functions,
        reference=reference,
    )
    # Known standard errors leave no sigma: another family.
    chosen = _family(family if design.response.se is None else checks.KNOWN_ERRORS, link)
    return Model(design, chosen, resolve(design, chosen, priors or {}, center), center)


def _family(name: str, link: str | None) -> "Family":
    from . import families

    try:
        return families.get(name, link)
    except ValueError as error:
        names = dict.fromkeys(known for known, _ in families.FAMILIES)
        if name in names:
            raise DataError(str(error)) from None
    there = tuple(known for known in names if known != checks.KNOWN_ERRORS)
    hint = dialects.family(str(name), there) or f"; there are {', '.join(there)}"
    raise DataError(f"unknown family {name!r}{hint}")


@dataclass(frozen=True, eq=False)
class Model:
    """A generalized linear mixed model with its data and priors.

    Attributes
    ----------
    design : Design
        Response, columns, groups.
    family : Family
    priors : Priors
    center : bool
        Whether the predictors are centred inside and the intercept's prior is stated there.
    """

    design: Design
    family: "Family"
    priors: Priors
    center: bool

    @cached_property
    def names(self) -> Names:
        """Rows of the tables."""
        sd, cor = [], []
        for term in self.design.terms:
            group = self.design.factors[term.factor].name
            sd += [f"sd({name}|{group})" for name in term.names]
            if term.correlated:
                cor += [
                    f"cor({other},{name}|{group})"
                    for k, name in enumerate(term.names)
                    for other in term.names[:k]
                ]
        dispersion = (self.family.dispersion,) if self.family.dispersion else ()
        return Names(tuple(self.design.columns), tuple(sd), tuple(cor), dispersion)

    @cached_property
    def x_center(self) -> np.ndarray:
        """What is subtracted from each column of X inside, shape (p,)."""
        X = self.design.X
        if not (self.center and self.design.has_intercept):
            return np.zeros(X.shape[1])
        center = column_means(X, self.design.weights)
        center[self.intercept] = 0.0
        return center

    @cached_property
    def x_scale(self) -> np.ndarray:
        """What each column of X is divided by inside, shape (p,)."""
        X = self.design.X - self.x_center
        scale = np.sqrt((X**2).mean(axis=0))
        scale[~(scale > 0.0)] = 1.0
        if self.design.has_intercept:
            scale[self.intercept] = 1.0
        return scale

    @cached_property
    def z_scale(self) -> np.ndarray:
        """What each z column is divided by inside, shape (Q,)."""
        scales = [np.sqrt((term.z**2).mean(axis=0)) for term in self.design.terms]
        scale = np.concatenate(scales) if scales else np.zeros(0)
        scale[~(scale > 0.0)] = 1.0
        return scale

    @property
    def intercept(self) -> int:
        """Place of the intercept among the columns."""
        return self.design.columns.index("Intercept")

    @cached_property
    def problem(self) -> Problem:
        """What fits and samplers work on."""
        from .problem import bind

        return bind(self)

    def to_user(self, theta: np.ndarray, u: np.ndarray | None) -> dict[str, Any]:
        """Draws on the user's scale.

        Parameters
        ----------
        theta : ndarray, shape (..., d)
        u : ndarray, shape (..., effects)
            Or None: the result has no effects then.

        Returns
        -------
        dict
            ``beta`` (..., p); ``sd``; ``cor``; the dispersion by its name; ``u``, a dict by factor
            of arrays (..., levels, columns).
        """
        from .problem import to_user

        return to_user(self, theta, u)

    def sample(
        self,
        draws: int | None = None,
        warmup: int | None = None,
        chains: int = 4,
        **options: Any,
    ) -> Any:
        """Draw from the posterior; see `sampling.sample` for all options.

        Parameters
        ----------
        draws, warmup : int
            Iterations kept and discarded, per chain; 1,000 of each by default.
        chains : int
        jobs : int, optional
            Threads; the number of cores if not given. As many chains run at once; where there are
            fewer chains, each has several threads at its groups (``"gibbs"`` of one factor, from
            50,000 rows on). Does not change the draws.
        seed : int, optional
            The same seed gives the same draws.
        sampler : {"auto", "gibbs", "collapsed", "classical", "nuts", "hmc"}
            ``"auto"`` is ``"gibbs"`` where there are grouping factors, one or several, nested or
            crossed; ``"collapsed"`` where a Gaussian response makes that quicker; ``"nuts"`` where
            there are no random effects. What is printed of the posterior says which, and why.
            `Posterior.crosscheck` compares what one drew with another.
        thin : int
            Iterations for each draw kept.
        init : dict, optional
            Start by row name, for example ``{"sd(Intercept|g)": 0.5}``.
        target_accept, max_treedepth : float, int
            Of NUTS and HMC.
        progress : bool, optional
            Show a progress bar; by default where there is a terminal or a notebook.
        executor : concurrent.futures.Executor, optional
            Where the chains run instead of threads of this process: a pool of processes, or the
            workers of a cluster, ``dask.distributed``'s ``client.get_executor(pure=False)``. Tasks
            move one chain for about a second; a task that is lost with its worker is done again.
            The draws are those of threads. A function that makes an executor is called again when
            a pool breaks, as pools of processes do when a process dies; one that was given is left
            open. ``jobs`` has no meaning then. Workers import this package, and compile if their
            cache is empty; a family of your own has to be defined in a module that they import.
        checkpoint : str or Path, optional
            A file that the chains write their states and draws to as they run, replaced as a whole
            each time. If the process is killed, the same call goes on from there, and returns what
            it would have returned; other arguments, model or data are refused, but ``jobs``,
            ``executor`` and ``progress`` may change. The file stays when the run is done, so that
            the same call returns the same draws at once: remove it when you do not need it. With
            ``keep="stream"`` the same call goes on in the same file.
        checkpoint_seconds : float
            Between two checkpoints, 30 by default; at most a tenth of the time is spent on them.
        keep : {"all", "summary", "stream"}
            What is kept of the draws of effects (of all else, all draws are). ``"all"``: in memory.
            ``"summary"``: their moments, quantiles to a stated accuracy and convergence, 142 bytes
            for each effect and chain however many draws there are; see `EffectsSummary`.
            ``"stream"``: on the disk, read as they are needed. The draws are the same, and the
            verdict covers the effects each time. Draws that would take more than 60% of the
            available memory are refused before anything is allocated.
        stream : str or Path, optional
            The netCDF file for ``keep="stream"``; it must not exist, unless a checkpoint goes on
            with it.
        blocks : dict, optional
            Blocks of ``sampler="classical"``, which they imply: methods by name. ``"beta"`` (or a
            coefficient's row name, or a tuple of row names, for a block of its own; ``"beta"`` is
            then the rest): ``"random_walk"``, ``"iwls"``, ``"conjugate"``, ``"slice"``,
            ``"centred"``. ``"u"`` or ``"u[group]"``: ``"random_walk"``, ``"iwls"``,
            ``"conjugate"``. ``"Sigma"``, a group's name or ``"Sigma[group]"``: ``"random_walk"``,
            ``"conjugate"``, ``"near_conjugate"``, ``"slice"``, ``"noncentred"`` (sds with the
            standardized effects held). The dispersion's name: ``"random_walk"``, ``"conjugate"``,
            ``"slice"``. Several methods are done in turn: ``["iwls", "centred"]`` or
            ``"iwls+centred"``. What is not named gets what serves best. ``post.sampler_blocks()``
            and ``post.tuning_history()`` tell how they did.
        nbi, nmc, ntu, maxtune : int, optional
            As SAS's PROC MCMC has them: iterations of burn-in (``warmup``), iterations after it of
            which every ``thin``-th is kept (``draws``), iterations of a loop of tuning of random
            walks (500), and the most loops (24), which come before burn-in.
        propcov : {"fit", "quanew", "ind"}, optional
            Covariance of random walks: from the curvature at the fit; the same at first, then
            learned in the loops of tuning; the identity at first, then learned.

        Returns
        -------
        Posterior

        Raises
        ------
        DataError
            For an argument outside its domain, or a checkpoint of another run, by name.
        LoadError
            For a checkpoint that was cut short or altered.

        Warns
        -----
        ConvergenceWarning
            If the verdict on the draws says no: what failed, of which parameters, and what to do.
            The verdict is all of `Posterior.verdict`, but of effects streamed to more than 1 GiB,
            which are not read back for it. Where warnings are errors the draws are not lost: they
            are the exception's ``posterior``.
        """
        from .sampling import sample

        return sample(self, draws=draws, warmup=warmup, chains=chains, **options)

    def fit(self, method: str = "laplace", **options: Any) -> Any:
        """Maximum likelihood; see `fitting.fit` for all options.

        Parameters
        ----------
        method : {"laplace", "aghq", "rspl", "mspl", "reml", "ml", "glm"}
            Laplace's approximation of the marginal likelihood; adaptive Gauss-Hermite quadrature
            of it; restricted and full pseudo-likelihood (SAS's GLIMMIX); for Gaussian responses
            restricted and full likelihood; maximum likelihood without the random effects.
        nodes : int, optional
            Quadrature nodes a dimension, for ``"aghq"``.
        df : {"containment", "between-within", "residual", "none"}, optional
            Rule of the denominator degrees of freedom, for methods that test by Student's t.
        scale : {"fixed", "estimate"}, optional
            For ``"rspl"`` and ``"mspl"``: whether the variance may be a multiple of the family's.

        Returns
        -------
        Fit
        """
        from .fitting import fit

        return fit(self, method, **options)

    def prior_predictive(self, draws: int = 1000, seed: int | None = None) -> "Predictive":
        """Draw parameters from their priors, and responses of the data's rows given them.

        Parameters
        ----------
        draws : int
        seed : int, optional
            The same seed gives the same draws.

        Returns
        -------
        Predictive
            With `draws`, `check`, `plot`, and `data` for ArviZ.

        Raises
        ------
        PriorError
            For a flat prior, which is no distribution.
        """
        from .predictive import prior_predictive

        return prior_predictive(self, draws, seed)

    def describe(self) -> dict[str, list[str]]:
        """Lines of text by heading: what was read, and the priors in full."""
        return {"Data": self._data_lines(), "Priors": self._prior_lines()}

    @property
    def counted(self) -> list[str]:
        """Lines on how the rows count: trials, offset, weights, rows left out."""
        design, lines = self.design, []
        response = design.response
        if response.trials is not None:
            each = _range(response.trials)
            share = f"{response.y.sum():g} successes of {response.trials.sum():g} trials"
            lines.append(f"response {response.name}: {share}, {each} a row")
        lines += list(design.notes)
        if np.any(design.offset != 0.0):
            lines.append(f"offset: {_range(design.offset)}, with coefficient 1")
        if np.any(design.weights != 1.0):
            total = f"{design.weights.sum():g} rows in all"
            lines.append(f"weights: frequencies, {_range(design.weights)}; {total}")
        return lines

    def _data_lines(self) -> list[str]:
        design = self.design
        lines = [f"rows: {design.X.shape[0]} used", *self.counted]
        lines.append("coefficients: " + (", ".join(design.columns) or "none"))
        for term in design.terms:
            factor = design.factors[term.factor]
            q = len(term.names)
            form = "unstructured" if term.correlated and q > 1 else "diagonal"
            matrix = f"Sigma {q} x {q}, {form}" if q > 1 else "one variance"
            lines.append(
                f"group {factor.name}: {len(factor.levels)} levels; "
                f"{', '.join(term.names)} ({matrix})"
            )
        return lines

    def _prior_lines(self) -> list[str]:
        lines = []
        for name, prior in zip(self.design.columns, self.priors.beta, strict=True):
            at = " at the centred predictors" if name == "Intercept" and self.priors.centred else ""
            lines.append(f"{name} ~ {prior}{at}")
        for term, prior in zip(self.design.terms, self.priors.terms, strict=True):
            group = self.design.factors[term.factor].name
            if prior.sigma is not None:
                lines.append(f"Sigma({', '.join(term.names)}|{group}) ~ {prior.sigma}")
                lines += [f"  {line}" for line in implied(prior.sigma, term.names)]
                continue
            for name, sd in zip(term.names, prior.sd, strict=True):
                lines.append(f"sd({name}|{group}) ~ {sd}")
            if prior.cor is not None:
                lines.append(f"cor({', '.join(term.names)}|{group}) ~ {prior.cor}")
        if self.family.dispersion:
            lines.append(self.priors.dispersion.statement(self.family.dispersion))
        return lines

    def __str__(self) -> str:
        head = f"{self.design.formula}\nfamily {self.family.name}, link {self.family.link}"
        parts = [head]
        for heading, lines in self.describe().items():
            parts.append("\n".join([heading, *[f"  {line}" for line in lines]]))
        if self.design.warnings:
            parts.append("\n".join(["Warnings", *[f"  {line}" for line in self.design.warnings]]))
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"<Model {self.design.formula!r}, {self.family.name}>"

    def __reduce__(self) -> Any:
        """Of what it computes again, compiled functions among it, nothing goes to others."""
        return restore, (self.saved(),)

    def saved(self) -> dict[str, Any]:
        """What `restore` makes the same model of."""
        return {
            "design": self.design,
            "family": self.family.name,
            "link": self.family.link,
            "priors": self.priors,
            "center": self.center,
        }


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def restore(saved: dict[str, Any]) -> Model:
    """The model that `Model.saved` describes."""
    return Model(
        saved["design"], _family(saved["family"], saved["link"]), saved["priors"], saved["center"]
    )


def implied(prior: Any, names: tuple[str, ...]) -> list[str]:
    """What a prior of Sigma says of the sds and correlations, in words."""
    from .covariance_prior import implied_lines

    return implied_lines(prior, names)

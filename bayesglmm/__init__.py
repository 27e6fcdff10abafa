"""Bayesian generalized linear mixed models.

A formula and a data frame in, an exact posterior with honest diagnostics out::

    import bayesglmm as bg
    data = bg.load_dataset("epilepsy")
    model = bg.glmm("seizures ~ treat + (1 | id)", data, family="poisson")
    post = model.sample(seed=1)

Symbols, the same in every file and every text:

===========  ====================================================================================
y            response; ``trials`` its numbers of trials, ``weights`` its frequencies
X, z         columns of the fixed effects; columns of one random-effects term (Z is never built)
beta         fixed effects (coefficients)
u            random effects, ``u[level] ~ N(0, Sigma)`` for every level of a factor
v            standardized effects, ``u = L v`` with ``Sigma = L L'``
Sigma        covariance of one term's effects: ``diag(sd) cor diag(sd)``
psi          unconstrained covariance parameters: log sds, and correlations on Fisher's z
phi          dispersion, on its natural scale (``sigma`` of a Gaussian response)
theta        ``(beta, psi, log phi)``: everything but the effects
eta, mu      linear predictor; mean, ``g(mu) = eta`` with the link g
position     what a sampler moves; ``logdensity`` and ``gradient`` are taken there
===========  ====================================================================================

Layers; every module imports only from those above it (``tests/test_layers.py`` lists them all):

1. tools: ``errors``, ``tables``, ``_jit``, ``_simd``, ``_special``, ``_linalg``, ``_random`` ...
2. formula and data to a Design: ``frames``, ``datasets``, ``formula``, ``design``, ``checks`` ...
3. statistics: ``families``, ``links``, ``priors``, ``covariance``, ``layout``, ``density``,
   ``fits``, ``conditionals`` ...
4. movement, which knows no statistics: ``samplers``, ``adaptation``, ``diagnostics``,
   ``chains`` ...
5. where the two columns meet: ``model``, ``problem``, ``programs`` ...
6. results: ``sampling``, ``posterior``, ``summary``, ``io``, ``cli`` ...

Importing the package imports none of the heavy libraries; each comes when it is first needed.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "glmm": "model",
    "Model": "model",
    "Posterior": "posterior",
    "Fit": "likelihood_fit",
    "anova": "likelihood_ratio",
    "compare": "comparison",
    "diagnose": "diagnosis",
    "Diagnosis": "diagnosis",
    "load": "io",
    "load_dataset": "datasets",
    "read_csv": "frames",
    "verify": "verification",
    "Flat": "priors",
    "Normal": "priors",
    "StudentT": "priors",
    "Cauchy": "priors",
    "Laplace": "priors",
    "HalfNormal": "priors",
    "HalfStudentT": "priors",
    "HalfCauchy": "priors",
    "Uniform": "priors",
    "Exponential": "priors",
    "Gamma": "priors",
    "PC": "priors",
    "GammaPrecision": "priors",
    "InverseGammaVariance": "priors",
    "Inverse": "priors",
    "InverseSqrt": "priors",
    "LKJ": "priors",
    "InverseWishart": "priors",
    "HuangWand": "priors",
    "DataError": "errors",
    "FormulaError": "errors",
    "PriorError": "errors",
    "LoadError": "errors",
    "DataWarning": "errors",
    "ConvergenceWarning": "errors",
}

_MODULES = {"families"}  # where a user's own module finds `define`

__all__ = sorted({*_HOME, *_MODULES})


def __getattr__(name: str) -> object:
    """Import a public name, or the module it lives in, when it is first asked for."""
    if name in _MODULES:
        return import_module(f"bayesglmm.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'bayesglmm' has no attribute {name!r}")
    value = getattr(import_module(f"bayesglmm.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]

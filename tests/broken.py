"""Broken samplers: one line of the package changed, and the test that has to see it."""

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from joint import Case, deviations
from mutants import Change, plain_copy

BERNOULLI = Case(
    "bernoulli",
    "y ~ x + offset(w) + (1|g)",
    "bernoulli",
    beta=((0.3, 0.8), (0.0, 0.7)),
    sd=(1.0,),
)
STUDENT = Case(
    "binomial, Student t",
    "y | trials(m) ~ x + offset(w) + (1|g)",
    "binomial",
    beta=((0.3, 0.4), (0.0, 0.4)),
    sd=(0.6,),
    beta_df=5.0,
)
# Priors so narrow that counts stay small: a fixed proposal sticks where they are large.
POISSON = Case(
    "poisson",
    "y ~ x + offset(w) + (1|g)",
    "poisson",
    beta=((-0.4, 0.3), (0.0, 0.3)),
    sd=(0.25,),
)
GAUSSIAN = Case(
    "gaussian",
    "y ~ x + offset(w) + (1|g)",
    "gaussian",
    beta=((0.3, 0.5), (0.0, 0.5)),
    sd=(0.6,),
    sigma=(6.0, 5.0),
)
# Where an sd underflows, plain Python refuses the logarithm that a determinant would need.
GAUSSIAN_DIAGONAL = replace(
    GAUSSIAN,
    name="gaussian, diagonal",
    formula="y ~ x + offset(w) + (x||g)",
    sd=(0.6, 0.4),
    groups=3,
)
LKJ = Case(
    "poisson, LKJ",
    "y ~ x + offset(w) + (x|g)",
    "poisson",
    beta=((-0.2, 0.4), (0.0, 0.3)),
    sd=(0.4, 0.3),
    eta=1.5,
    groups=3,
)
DIAGONAL = Case(
    "bernoulli, diagonal",
    "y ~ x + offset(w) + (x||g)",
    "bernoulli",
    beta=((0.3, 0.8), (0.0, 0.8)),
    sd=(0.9, 0.8),
    groups=3,
)
WISHART = Case(
    "poisson, inverse-Wishart",
    "y ~ x + offset(w) + (x|g)",
    "poisson",
    beta=((-0.2, 0.4), (0.0, 0.3)),
    wishart=(14.0, [[2.0, 0.5], [0.5, 1.2]]),
    groups=3,
)
NEGATIVE_BINOMIAL = Case(
    "negative binomial",
    "y ~ x + offset(w) + (1|g)",
    "negative_binomial",
    beta=((-0.2, 0.3), (0.0, 0.3)),
    sd=(0.25,),
    root=(16.0, 16.0),
)
GAMMA = Case(
    "gamma",
    "y ~ x + offset(w) + (1|g)",
    "gamma",
    beta=((-0.2, 0.3), (0.0, 0.3)),
    sd=(0.3,),
    root=(20.0, 18.0),
)
CASES = [
    BERNOULLI,
    STUDENT,
    POISSON,
    GAUSSIAN,
    LKJ,
    DIAGONAL,
    WISHART,
    NEGATIVE_BINOMIAL,
    GAMMA,
]


@dataclass(frozen=True)
class Broken(Change):
    """One change, and the case and sampler of the joint test that sees it."""

    case: Case
    sampler: str
    draws: int = 1500

    def deviations(self, seed: int = 1) -> dict[str, float]:
        """z of the test functions in a plain-Python copy of the package with the change.

        A chain that runs away ends where Python's math refuses; compiled code would go on with nan.
        """
        with tempfile.TemporaryDirectory() as folder:
            load = plain_copy(Path(folder), (self.file, self.old, self.new))
            try:
                return deviations(self.case, self.sampler, load, self.draws, seed)[0]
            except (ArithmeticError, ValueError) as reason:
                return {f"ran away ({reason})": math.inf}


TRANSPORT, CENTRING = "conditionals/transport.py", "conditionals/centring.py"
COLLAPSED, COLLAPSED_DENSITY = "conditionals/collapsed.py", "conditionals/collapsed_density.py"
COORDINATES = "coordinates.py"
PASSES, RENEWAL = "conditionals/passes.py", "conditionals/renewal.py"
ALONE = "gibbs, transport alone"

HASTINGS = Broken(
    "no Hastings term (theta)",
    TRANSPORT,
    "return power * (math.log1p(new_square / df) - math.log1p(old_square / df))",
    "return 0.0 * power",
    BERNOULLI,
    ALONE,
)
JACOBIAN = Broken(
    "no Jacobian (log det C)",
    PASSES,
    "value = total_of(loglik[place:end]) - total_of(total[:groups])",
    "value = total_of(loglik[place:end])",
    GAUSSIAN,
    ALONE,
    draws=6000,
)
PRIOR = Broken(
    "prior of psi with the wrong sign",
    "density.py",
    "value += covariance.psi_logdensity(",
    "value -= covariance.psi_logdensity(",
    BERNOULLI,
    ALONE,
)
LINEAR = Broken(
    "no Jacobian (linear map)",
    PASSES,
    "add(own_total, own, 1.0)",
    "add(own_total, own, 0.0)",
    BERNOULLI,
    "gibbs, linear, transport alone",
)
MOMENTUM = Broken(
    "momentum of the wrong scale",
    "samplers/leapfrog.py",
    "momentum[i] /= np.sqrt(inverse_metric[i])",
    "momentum[i] *= np.sqrt(inverse_metric[i])",
    BERNOULLI,
    "nuts",
)
COLLAPSED = "conditionals/collapsed_density.py"
COLLAPSED_JACOBIAN = Broken(
    "collapsed, no Jacobian of the sds' coordinate",
    COLLAPSED,
    "jacobian += log_slope(x[i], near[i])",
    "jacobian += 0.0",
    GAUSSIAN,
    "collapsed",
)
CATALOGUE = [
    HASTINGS,
    JACOBIAN,
    PRIOR,
    LINEAR,
    MOMENTUM,
    Broken(
        "kinetic energy without its half",
        "samplers/leapfrog.py",
        "return 0.5 * total",
        "return total",
        BERNOULLI,
        "hmc",
        draws=6000,
    ),
    Broken(
        "no Hastings term (effects)",
        RENEWAL,
        "out[g] = loglik[g] - larger - log(total)",
        "out[g] = loglik[g]",
        GAUSSIAN,
        ALONE,
        draws=6000,
    ),
    Broken(
        "effects without the half of their prior",
        "density.py",
        "- 0.5 * dot(v, v)",
        "- dot(v, v)",
        BERNOULLI,
        "hmc",
    ),
    Broken(
        "prior of sd taken at the variance",
        "covariance.py",
        "prior_logpdf(cov.sd_kind[k], a, b, c, s / cov.z_scale[k])",
        "prior_logpdf(cov.sd_kind[k], a, b, c, s * s / cov.z_scale[k])",
        BERNOULLI,
        ALONE,
    ),
    Broken(
        "stale linear predictor",
        PASSES,
        "fixed_part(obs, c, state.theta[side, :p], work.row[FIXED], 0)",
        "fixed_part(obs, c, state.theta[1 - side, :p], work.row[FIXED], 0)",
        BERNOULLI,
        ALONE,
    ),
    Broken(
        "offset dropped",
        "lanes.py",
        "out[i] = offset[i]",
        "out[i] = 0.0",
        BERNOULLI,
        ALONE,
        draws=6000,
    ),
    Broken(
        "group index off by one",
        "density.py",
        "eta[i] += own[level[i]]",
        "eta[i] += own[(level[i] + 1) % own.size]",
        BERNOULLI,
        "hmc",
    ),
    Broken(
        "effects left behind by a centred coefficient",
        CENTRING,
        "u[k, g] -= centre.W[a, k, g] * step",
        "u[k, g] -= 0.0 * centre.W[a, k, g] * step",
        BERNOULLI,
        "gibbs",
    ),
    Broken(
        "Student's prior of a centred coefficient forgotten",
        CENTRING,
        "if ratio < 0.0 and not math.log(uniform(random)) < ratio:",
        "if ratio < -1e9:",
        replace(STUDENT, beta_df=2.5),
        "gibbs",
        draws=20_000,
    ),
    Broken(
        "conjugate draw of Sigma without the groups",
        CENTRING,
        "_wishart_factor(S, cov.df[block] + J, random, sigma)",
        "_wishart_factor(S, cov.df[block], random, sigma)",
        replace(WISHART, family="bernoulli"),
        "gibbs",
    ),
    Broken(
        "inverse-Wishart scale transposed",
        CENTRING,
        "total += cov.scale[lo + k, lo + i] * cov.scale[lo + l, lo + i]",
        "total += cov.scale[lo + i, lo + k] * cov.scale[lo + i, lo + l]",
        WISHART,
        "gibbs",
    ),
    Broken(
        "slices without the determinant of Sigma",
        CENTRING,
        "value -= J * math.log(L[lo + k, lo + k])",
        "value -= math.log(L[lo + k, lo + k])",
        replace(LKJ, groups=2),
        "gibbs",
    ),
    Broken(
        "sds and correlations drawn from sum u u' without their prior",
        CENTRING,
        "ratio -= _beyond_wishart(cov, lo, L[lo:hi, lo:hi], power)",
        "ratio = 0.0",
        LKJ,
        "gibbs",
    ),
    Broken(
        "correlations drawn as if the proposal had their density",
        CENTRING,
        "power = cov.eta[block] - 1.0 + 0.5 * q",
        "power = -2.0",
        LKJ,
        "gibbs",
    ),
    Broken(
        "sds drawn from sum u^2 as if there were two groups",
        CENTRING,
        "gamma(random, 0.5 * (J - 1.0))",
        "gamma(random, 0.5)",
        DIAGONAL,
        "gibbs",
    ),
    Broken(
        "prior of 1/sqrt(size) without its Jacobian",
        "prior_density.py",
        "- 0.5 * log_phi - LOG_TWO",
        "- LOG_TWO",
        NEGATIVE_BINOMIAL,
        ALONE,
    ),
    Broken(
        "no Hastings term (collapsed)",
        "conditionals/collapsed.py",
        "ratio = power * (math.log1p(new_square / DF) - math.log1p(old_square / DF))",
        "ratio = 0.0 * power",
        GAUSSIAN_DIAGONAL,
        "collapsed, one block",
    ),
    Broken(
        "no determinant of the effects integrated out",
        COLLAPSED_DENSITY,
        "value -= _levels(sums, side, work)",
        "value -= 0.0 * _levels(sums, side, work)",
        GAUSSIAN_DIAGONAL,
        "collapsed, one block",
    ),
    Broken(
        "fit of the coefficients integrated out forgotten",
        COLLAPSED_DENSITY,
        "squares -= side.r[k] * side.r[k]",
        "squares -= 0.0 * side.r[k] * side.r[k]",
        GAUSSIAN_DIAGONAL,
        "collapsed, one block",
    ),
    Broken(
        "effects drawn against the residuals",
        "conditionals/collapsed_draws.py",
        "add(out, sums.border[i, k, first : first + size], weights[i] / sigma)",
        "add(out, sums.border[i, k, first : first + size], -weights[i] / sigma)",
        GAUSSIAN_DIAGONAL,
        "collapsed, one block",
    ),
    Broken(
        "no Jacobian (standardized effects)",
        COORDINATES,
        "logs -= log(C[g])",
        "logs -= 0.0 * log(C[g])",
        BERNOULLI,
        "hmc",
    ),
    Broken(
        "no Jacobian (several standardized effects)",
        COORDINATES,
        "total -= log(x[g])",
        "total -= 0.0 * log(x[g])",
        LKJ,
        "hmc",
    ),
    Broken(
        "standardized effects not scaled back",
        COORDINATES,
        "v[g] = l * c[g] / h + x[g] / C[g]",
        "v[g] = l * c[g] / h + x[g]",
        BERNOULLI,
        "hmc",
    ),
    Broken(
        "collapsed, no log det of C",
        COLLAPSED,
        "value -= _levels(sums, side, work)",
        "value -= 0.0 * _levels(sums, side, work)",
        GAUSSIAN,
        "collapsed",
    ),
    Broken(
        "collapsed, no log det of P",
        COLLAPSED,
        "value -= math.log(side.P[k, k])",
        "value -= 0.0 * side.P[k, k]",
        GAUSSIAN,
        "collapsed",
    ),
    Broken(
        "collapsed, no prior of psi",
        COLLAPSED,
        "value = jacobian + covariance.psi_logdensity(cov, t[:m], work.L)",
        "value = jacobian",
        GAUSSIAN,
        "collapsed",
    ),
    COLLAPSED_JACOBIAN,
    Broken(
        "collapsed, no Hastings term",
        "conditionals/collapsed.py",
        "ratio = power * (math.log1p(new_square / DF) - math.log1p(old_square / DF))",
        "ratio = 0.0 * power",
        GAUSSIAN,
        "collapsed",
    ),
    Broken(
        "collapsed, no n log sigma",
        COLLAPSED,
        "value -= sums.size[0] * t[m]",
        "value -= 0.0 * t[m]",
        GAUSSIAN,
        "collapsed",
    ),
    Broken(
        "collapsed, prior mean of beta forgotten",
        COLLAPSED,
        "side.r[k] = scale * M[p, k] + precision * mean",
        "side.r[k] = scale * M[p, k]",
        GAUSSIAN,
        "collapsed",
    ),
    Broken(
        "collapsed, u drawn without beta",
        "conditionals/collapsed_draws.py",
        "weights[k] = -weights[k]",
        "weights[k] = 0.0",
        GAUSSIAN,
        "collapsed",
    ),
]

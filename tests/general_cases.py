"""Models of the joint-distribution and rank tests: structures, priors, links, weights of all sorts.

`ONE` have one factor, `SEVERAL` more. Priors are such that a fixed proposal does not stick: those
of counts keep them small, and half-t sds are narrow.
"""

from dataclasses import replace

import crossed_cases
from joint_crossed import CrossedCase, Effects

WIDE = ((0.3, 0.8), (0.0, 0.7))
NARROW = ((-0.4, 0.3), (0.0, 0.3))
COUNTS = ((-0.2, 0.4), (0.0, 0.3))
GAUSS = ((0.3, 0.5), (0.0, 0.5))
SHAPES = ((-0.2, 0.3), (0.0, 0.25))
SMALL = (14.0, ((2.0, 0.5), (0.5, 1.2)))  # inverse-Wishart of two columns
THREE = (10.0, ((3.0, 0.8, 0.2), (0.8, 2.0, -0.4), (0.2, -0.4, 1.5)))
SIGMA, SIZE, SHAPE = (6.0, 5.0), (16.0, 16.0), (20.0, 18.0)


def case(name: str, formula: str, family: str, beta, *effects: Effects, **options) -> CrossedCase:
    """A model whose formula is "y ~ x + offset(w) + ..." or begins otherwise."""
    left, _, right = formula.rpartition("~")
    formula = f"{left or 'y '}~ x + offset(w) + {right.strip()}"
    return CrossedCase(name, formula, family, beta=beta, effects=effects, **options)


BERNOULLI = case("bernoulli", "(1|h)", "bernoulli", WIDE, Effects("h", (0.9,)))
STUDENT = case(
    "binomial, Student t", "y | trials(m) ~ (1|h)", "binomial", ((0.3, 0.4), (0.0, 0.4)),
    Effects("h", (0.6,)), beta_df=5.0,
)  # fmt: skip
LAPLACE = case(
    "Laplace priors", "(1|h)", "bernoulli", ((0.2, 0.5), (0.0, 0.5)), Effects("h", (0.8,)),
    laplace=True,
)  # fmt: skip
CENTRED = case("centred x", "(1|h)", "bernoulli", WIDE, Effects("h", (0.8,)), center=True)
HALF_T = case("half-t sds", "(x||h)", "bernoulli", WIDE, Effects("h", (0.6, 0.5), df=6.0))
VARIANCE = case(
    "inverse-gamma variance", "(1|h)", "bernoulli", WIDE, Effects("h", (0.0,), gamma=(4.0, 2.0))
)
DIAGONAL = case("diagonal", "(x||h)", "bernoulli", WIDE, Effects("h", (0.9, 0.8)))
TWO_TERMS = case(
    "two terms", "(1|h) + (0 + x|h)", "bernoulli", WIDE,
    Effects("h", (0.8,)), Effects("h", (0.8,), columns=("x",)),
)  # fmt: skip
SLOPE_ALONE = case(
    "slope alone", "(0 + x|h)", "poisson", COUNTS, Effects("h", (0.4,), columns=("x",))
)
POISSON = case("poisson", "(1|h)", "poisson", NARROW, Effects("h", (0.25,)))
LKJ = case("LKJ", "(x|h)", "poisson", COUNTS, Effects("h", (0.4, 0.3), eta=1.5))
FEW = case("LKJ, two levels", "(x|g)", "bernoulli", WIDE, Effects("g", (0.8, 0.6), eta=1.5))
LKJ_THREE = case(
    "LKJ of three", "(x + z|c)", "bernoulli", WIDE, Effects("c", (0.8, 0.6, 0.5), eta=1.5)
)
WISHART = case("inverse-Wishart", "(x|h)", "poisson", COUNTS, Effects("h", wishart=SMALL))
WISHART_THREE = case(
    "inverse-Wishart of three", "(x + z|h)", "bernoulli", WIDE, Effects("h", wishart=THREE)
)
HUANG = case("Huang and Wand", "(x|g)", "poisson", COUNTS, Effects("g", huang=((0.3, 0.25), 5.0)))
GAUSSIAN = case("gaussian", "(1|h)", "gaussian", GAUSS, Effects("h", (0.6,)), sigma=SIGMA)
GAUSSIAN_LKJ = case(
    "gaussian, LKJ", "(x|h)", "gaussian", GAUSS, Effects("h", (0.6, 0.4), eta=1.5), sigma=SIGMA
)
KNOWN = case(
    "known errors", "y | se(error) ~ (x|h)", "gaussian", WIDE,
    Effects("h", (0.8, 0.5), eta=1.5), known=True,
)  # fmt: skip
NEGATIVE_BINOMIAL = case(
    "negative binomial", "(1|h)", "negative_binomial", SHAPES, Effects("h", (0.25,)), root=SIZE
)
GAMMA = case("gamma, LKJ", "(x|h)", "gamma", SHAPES, Effects("h", (0.3, 0.25), eta=1.5), root=SHAPE)
GAMMA_ONE = case("gamma, intercepts", "(1|h)", "gamma", SHAPES, Effects("h", (0.3,)), root=SHAPE)
WEIGHTED = case(
    "weights", "y | weights(weight) ~ (1|h)", "poisson", NARROW, Effects("h", (0.3,)),
    weighted=True,
)  # fmt: skip
WEIGHTED_TRIALS = case(
    "weights and trials", "y | trials(m) + weights(weight) ~ (1|h)", "binomial", WIDE,
    Effects("h", (0.7,)), weighted=True,
)  # fmt: skip
ROWS = case("row effects", "(1|r)", "poisson", NARROW, Effects("r", (0.4,)))
PROBIT = case(
    "probit", "y | trials(m) ~ (x|h)", "binomial", ((0.2, 0.4), (0.0, 0.4)),
    Effects("h", (0.5, 0.4), eta=2.0), link="probit",
)  # fmt: skip
CLOGLOG = case(
    "cloglog", "(1|h)", "bernoulli", ((-0.3, 0.5), (0.0, 0.5)), Effects("h", (0.6,)),
    link="cloglog",
)  # fmt: skip

# Models of `broken` under other names: those of `test_joint_distribution` are there already.
ONE = [
    LAPLACE, CENTRED, HALF_T, VARIANCE, TWO_TERMS, SLOPE_ALONE, FEW, LKJ_THREE, WISHART_THREE,
    HUANG, GAUSSIAN_LKJ, KNOWN, GAMMA, WEIGHTED, WEIGHTED_TRIALS, ROWS, PROBIT, CLOGLOG,
]  # fmt: skip

NESTED_LKJ = case(
    "nested, LKJ", "(x|g/c)", "bernoulli", WIDE,
    Effects("g", (1.0, 0.6), eta=1.5), Effects("c", (0.8, 0.5), eta=1.5),
)  # fmt: skip
NESTED_DIAGONAL = case(
    "nested, diagonal", "(x||g/c)", "bernoulli", WIDE,
    Effects("g", (1.0, 0.6)), Effects("c", (0.8, 0.5)),
)  # fmt: skip
NESTED_WISHART = case(
    "nested, inverse-Wishart", "(x|g/c)", "poisson", COUNTS,
    Effects("g", wishart=SMALL), Effects("c", wishart=SMALL),
)  # fmt: skip
NESTED_GAUSSIAN = case(
    "nested, gaussian", "(1|g/c)", "gaussian", GAUSS,
    Effects("g", (0.6,)), Effects("c", (0.5,)), sigma=SIGMA,
)  # fmt: skip
TWO_SLOPES = case(
    "slopes of both", "(x|g) + (x|h)", "bernoulli", WIDE,
    Effects("g", (0.8, 0.6), eta=1.5), Effects("h", wishart=(10.0, ((3.0, 0.5), (0.5, 2.2)))),
)  # fmt: skip
CROSSED_ROWS = case(
    "row effects besides", "(1|g) + (1|r)", "poisson", NARROW,
    Effects("g", (0.3,)), Effects("r", (0.4,)),
)  # fmt: skip
CROSSED_KNOWN = case(
    "crossed, known errors", "y | se(error) ~ (1|g) + (1|h)", "gaussian", WIDE,
    Effects("g", (0.8,)), Effects("h", (0.5,)), known=True,
)  # fmt: skip
CROSSED_WEIGHTED = case(
    "crossed, weights", "y | weights(weight) ~ (1|g) + (1|h)", "poisson", NARROW,
    Effects("g", (0.25,)), Effects("h", (0.3,)), weighted=True,
)  # fmt: skip
CROSSED_TRIALS = case(
    "crossed, weights and trials", "y | trials(m) + weights(weight) ~ (1|g) + (1|h)", "binomial",
    WIDE, Effects("g", (0.7,)), Effects("h", (0.7,)), weighted=True,
)  # fmt: skip
CROSSED_HUANG = case(
    "crossed, Huang and Wand", "(x|h) + (1|g)", "bernoulli", WIDE,
    Effects("h", huang=((0.5, 0.4), 5.0)), Effects("g", (0.7,)),
)  # fmt: skip
CROSSED_THREE = case(
    "crossed, LKJ of three", "(1|g) + (x + z|c)", "bernoulli", WIDE,
    Effects("g", (0.7,)), Effects("c", (0.8, 0.6, 0.5), eta=1.5),
)  # fmt: skip
CROSSED_TERMS = case(
    "crossed, two terms", "(1|g) + (0 + x|g) + (1|h)", "bernoulli", WIDE,
    Effects("g", (0.8,)), Effects("g", (0.8,), columns=("x",)), Effects("h", (0.7,)),
)  # fmt: skip
CROSSED_PROBIT = case(
    "crossed, probit", "(1|g) + (x|h)", "bernoulli", ((0.2, 0.4), (0.0, 0.4)),
    Effects("g", (0.5,)), Effects("h", (0.5, 0.4), eta=2.0), link="probit",
)  # fmt: skip
CROSSED_CENTRED = case(
    "crossed, centred x", "(1|g) + (1|h)", "bernoulli", WIDE,
    Effects("g", (0.8,)), Effects("h", (0.8,)), center=True,
)  # fmt: skip
CROSSED_LAPLACE = case(
    "crossed, Laplace priors", "(1|g) + (1|h)", "bernoulli", ((0.2, 0.5), (0.0, 0.5)),
    Effects("g", (0.8,)), Effects("h", (0.8,)), laplace=True,
)  # fmt: skip
CROSSED_SIZE = case(
    "crossed, negative binomial slope", "(1|g) + (x||h)", "negative_binomial", SHAPES,
    Effects("g", (0.2,)), Effects("h", (0.25, 0.2)), root=SIZE,
)  # fmt: skip
CROSSED_SHAPE = case(
    "crossed, gamma slope", "(1|g) + (x|h)", "gamma", SHAPES,
    Effects("g", (0.3,)), Effects("h", (0.3, 0.2), eta=1.5), root=SHAPE,
)  # fmt: skip
SEVERAL = [
    NESTED_LKJ, NESTED_DIAGONAL, NESTED_WISHART, NESTED_GAUSSIAN, TWO_SLOPES, CROSSED_ROWS,
    CROSSED_KNOWN, CROSSED_WEIGHTED, CROSSED_TRIALS, CROSSED_HUANG, CROSSED_THREE, CROSSED_TERMS,
    CROSSED_PROBIT, CROSSED_CENTRED, CROSSED_LAPLACE, CROSSED_SIZE, CROSSED_SHAPE,
]  # fmt: skip

# Counts far from those of the frame: steps by the fit's curvature go too far and are rejected.
WIDE_COUNTS = case(
    "poisson, wide", "(x|g) + (1|h)", "poisson", ((0.0, 0.8), (0.0, 0.8)),
    Effects("g", (0.4, 0.3), eta=1.5), Effects("h", (0.3,)),
)  # fmt: skip
NESTED = crossed_cases.NESTED
# The rank test (`exact_ranks`): each part that can be run alone, on models where it differs.
RANKED = [
    *(("gibbs: effects", c) for c in (BERNOULLI, LKJ, GAMMA_ONE, WEIGHTED, CLOGLOG)),
    *(("gibbs: theta", c) for c in (BERNOULLI, LKJ, GAUSSIAN, WISHART_THREE, KNOWN)),
    *(("gibbs: psi", c) for c in (DIAGONAL, HUANG)),
    *(("gibbs: coefficients and dispersion", c) for c in (NEGATIVE_BINOMIAL, GAUSSIAN)),
    *(("gibbs: walk of psi", c) for c in (BERNOULLI, LKJ)),
    *(("gibbs: theta, linear map", c) for c in (BERNOULLI, LKJ)),
    *(("gibbs: Sigma given u", c) for c in (DIAGONAL, LKJ, LKJ_THREE, WISHART, WISHART_THREE)),
    *(("collapsed: t", c) for c in (GAUSSIAN, GAUSSIAN_LKJ, KNOWN, NESTED_GAUSSIAN, CROSSED_KNOWN)),
    ("collapsed: walk of t", GAUSSIAN_LKJ),
    *((kind, c) for kind in ("hmc", "nuts") for c in (BERNOULLI, WISHART, GAMMA_ONE)),
    ("nuts", CROSSED_PROBIT),
    *(("crossed: centred coefficients", c) for c in (CROSSED_LAPLACE, crossed_cases.TYPES)),
    *(("crossed: loose coefficients", c) for c in (WIDE_COUNTS, CROSSED_LAPLACE)),
    *(("crossed: dispersion", c) for c in (CROSSED_SIZE, CROSSED_SHAPE, NESTED_GAUSSIAN)),
    *(
        (f"crossed: nested, {kind}", c)
        for kind in ("child", "parent", "against each other")
        for c in (NESTED, NESTED_LKJ)
    ),
    ("crossed: nested, child", NESTED_WISHART),
    *(("classical: walk of beta", c) for c in (BERNOULLI, STUDENT)),
    *(("classical: iwls of beta", c) for c in (POISSON, LAPLACE)),
    ("classical: slice of a coefficient", CLOGLOG),
    ("classical: exact beta", GAUSSIAN),
    *(("classical: centred beta", c) for c in (STUDENT, LKJ)),
    *(("classical: walk of u", c) for c in (BERNOULLI, WISHART)),
    *(("classical: iwls of u", c) for c in (BERNOULLI, GAMMA, PROBIT)),
    *(("classical: exact u", c) for c in (GAUSSIAN_LKJ, CROSSED_KNOWN)),
    *(("classical: walk of Sigma", c) for c in (LKJ_THREE, HUANG, WISHART)),
    *(("classical: slice of Sigma", c) for c in (BERNOULLI, VARIANCE)),
    *(("classical: exact Sigma", c) for c in (WISHART, HUANG, HALF_T, VARIANCE)),
    *(("classical: nearly exact Sigma", c) for c in (LKJ_THREE, DIAGONAL)),
    ("classical: sd, effects along", BERNOULLI),
    ("classical: walk of the dispersion", GAUSSIAN),
    ("classical: exact sigma", GAUSSIAN),
    *(("classical: slice of the dispersion", c) for c in (NEGATIVE_BINOMIAL, GAMMA_ONE)),
]
# Sweeps of whole samplers, which are no reversible kernels: `exact_ranks.moved`.
SWEPT = [
    *(("gibbs", c) for c in (HALF_T, LKJ_THREE, FEW, KNOWN, GAMMA)),
    ("gibbs, walk", HUANG),
    *(("crossed", c) for c in (NESTED_LKJ, TWO_SLOPES, CROSSED_SIZE, CROSSED_TRIALS)),
    ("crossed, walk", NESTED_GAUSSIAN),
    ("collapsed", GAUSSIAN_LKJ),
    *(("classical", c) for c in (LKJ, replace(GAUSSIAN, name="gaussian"), NESTED_WISHART)),
]

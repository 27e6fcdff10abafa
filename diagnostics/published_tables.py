"""The published tables: ours, what was printed, and the difference in units of the last digit.

Numbers are compared as printed: ours, rounded to the digits of the publication, has to be the
same. What differs carries its reason: another rule for degrees of freedom, an optimizer that
stopped early, a rounded input. The last three tables are forms on simulated data: where the data
are not public, published values are quoted only; where the truth is known, it stands in their
place.

Run as ``python -m diagnostics.published_tables``; code 1 for a difference without a reason.
"""

import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ml_cases import CASES
from ml_references import fit as fit_case
from ml_references import load

import bayesglmm as bg
from bayesglmm.likelihood_fit import Fit

from . import published_forms
from .report import Report, parser

SEED = 5
VARIANCE_SE = 0.01  # relative: SAS takes the Hessian in variances, we in the logs of sds
EARLY = "lme4 early"
STOPPED = (
    "lme4 early: at its default tolerance glmer's inner iterations stop before the modes of the "
    "effects; with a tight one it agrees with ours"
)
RULE = "other rule"
VISITS = {"week 1": "0", "week 2": "1", "week 4": "2"}


class Table:
    """Lines of ours and published, with a verdict each."""

    def __init__(self, title: str) -> None:
        self.title, self.rows, self.missed, self.notes = title, [], [], []

    def __call__(
        self, name: str, ours: float, published: str, why: str = "", within: float = 0.0
    ) -> None:
        """Add a line.

        Parameters
        ----------
        published : str
            As printed: its digits are those that are compared.
        why : str
            The reason of a difference; shown where there is one.
        within : float
            Relative difference that counts as none.
        """
        digits = len(published.partition(".")[2])
        shown = f"{ours:.{digits}f}"
        units = round((float(shown) - float(published)) * 10**digits)
        near = abs(ours - float(published)) <= within * abs(float(published))
        verdict = "=" if units == 0 else f"within {within:.0%}" if near else why or "MISS"
        if verdict == "MISS":
            self.missed.append(f"{self.title}: {name}")
        self.rows.append((name, shown, published, f"{units:+d}" if units else "0", verdict))

    def all(self, names: Sequence[str], ours: Sequence[float], published: str, **how) -> None:
        """Add a line for each of some numbers printed with spaces between."""
        for name, value, text in zip(names, ours, published.split(), strict=True):
            self(name, float(value), text, **how)

    def coefficients(self, fit: Fit, printed: Mapping[str, str], why: str = "") -> None:
        """Add lines for estimate and standard error of rows: ``"1.66 (.17)"`` by name."""
        place = {name: i for i, name in enumerate(fit.names)}
        for name, text in printed.items():
            estimate, _, error = text.rstrip(")").partition(" (")
            self(name, fit.estimate[place[name]], estimate, why)
            if error:
                self(f"  se {name}", fit.se[place[name]], error, why)

    def variances(self, fit: Fit, estimates: str, errors: str) -> None:
        """Add lines for variances and covariances with their standard errors, SAS's form."""
        found = fit.variances()
        self.all(found.index, found["estimate"], estimates)
        self.all([f"  se {name}" for name in found.index], found["se"], errors, within=VARIANCE_SE)


# ---- the tables --------------------------------------------------------------------------------


def depression() -> Table:
    """Diagnosis and treatment are numbers (0, 1) in the printed analysis, time is a class."""
    table = Table("Depression, 340 x 3: severe + new * time + (1 | case), week 4 the reference")
    case = CASES["depression__timeclass"]
    data = case.frame().assign(
        severe=lambda f: (f.diagnose == "severe") * 1.0, new=lambda f: (f.treat == "new") * 1.0
    )
    fit = bg.glmm("outcome ~ severe + new * timef + (1 | case)", data, case.family).fit("rspl")
    table.coefficients(
        fit,
        {
            "Intercept": ".9813 (.1813)",
            "severe": "-1.3119 (.1470)",
            "new": "2.0435 (.3060)",
            "timef[0]": "-.9599 (.2290)",
            "timef[1]": "-.6205 (.2245)",
            "new:timef[0]": "-2.0989 (.3894)",
            "new:timef[1]": "-1.0965 (.3838)",
        },
    )
    table.variances(fit, ".01838", ".1330")
    table.all([f"DF {name}" for name in fit.names[:7]], fit.df, "337 676 676 676 676 676 676")
    tests = fit.type3()
    table.all([f"F {name}" for name in tests.index], tests["F"], "79.69 41.09 9.12 14.73")
    pairs = {
        week: tuple({"new": new, "timef": visit} for new in (1, 0))
        for week, visit in VISITS.items()
    }
    ratios = fit.contrasts(between=pairs, exponentiate=True).frame()
    printed = (".9461 .5888 1.5201", "2.5780 1.6250 4.0899", "7.7178 4.2318 14.0757")
    for (week, row), text in zip(ratios.iterrows(), printed, strict=True):
        names = [f"new vs standard, {week}", "  lower", "  upper"]
        table.all(names, [row["estimate"], row["2.5%"], row["97.5%"]], text)
    for method, text in (("Laplace", ".00336"), ("AGQ25", ".0045")):
        sd = fit_case("depression__timeclass", method).estimate[7]
        table(f"variance, {method}", sd**2, text)
    table.notes.append("F of time: at new = 0, as for a number; among classes it would be another")
    return table


def epilepsy() -> Table:
    table = Table("Epilepsy, 59 x 4: log(base) * treat + log(age) + visit + (visit | id), RSPL")
    model = bg.glmm(
        "seizures ~ log(base) * treat + log(age) + visit + (visit | id)",
        bg.load_dataset("epilepsy"),
        family="poisson",
    )
    fit = model.fit("rspl")
    table.coefficients(
        fit,
        {
            "Intercept": "-2.3423 (1.2616)",
            "log(base)": ".8700 (.1351)",
            "treat[Progabide]": "-1.3682 (.6884)",
            "log(base):treat[Progabide]": ".3304 (.2090)",
            "log(age)": ".4627 (.3568)",
            "visit": "-.05276 (.03137)",
        },
    )
    table.variances(fit, ".4052 -.05393 .02174", ".1251 .02964 .009264")
    table.all(
        [f"DF {name}" for name in fit.names[:6]],
        fit.df,
        "55 117 117 117 58 117",
        why=RULE,
    )
    table.notes.append(
        "other rule: ours is containment by the rank of [X Z] (the intercept has the rank that the "
        "patients add to X, coefficients in no random effect what is left of the rows); the "
        "printed table has one more for the intercept and one less for the rest"
    )
    ratio = fit.effect_of("treat", over={"base": [8]}, exponentiate=True)
    table("rate ratio at base 8", ratio.quantities.estimate[0], ".5")
    crossing = fit.effect_of("treat", over="base", exponentiate=True).crossing()
    table("base where it is 1", crossing.table().columns["estimate"][0], "63")
    return table


def rikz() -> Table:
    table = Table("RIKZ, 9 beaches x 5: Richness ~ NAP + (1 | Beach), Poisson")
    one, two = (fit_case(f"rikz__nap_beach{case}", "Laplace") for case in ("", "_olre"))
    sds = ("sd(Intercept|Beach)", "sd(Intercept|Sample)")
    table.coefficients(one, {"Intercept": "1.66229 (.17400)", "NAP": "-.50389 (.07580)"})
    table.coefficients(one, {sds[0]: ".47430"})
    table.rows.append(("same as published, lme4", "", "", "", ""))
    table.coefficients(one, {"Intercept": "1.66233 (.17373)", "NAP": "-.50389 (.07535)"}, EARLY)
    table.coefficients(one, {sds[0]: ".47428"}, EARLY)
    table.rows.append(("with (1 | Sample), glmmTMB", "", "", "", ""))
    table.coefficients(two, {"Intercept": "1.63635 (.17533)", "NAP": "-.55214 (.09784)"})
    table.coefficients(two, {sds[1]: ".26564", sds[0]: ".45829"})
    table.rows.append(("same as published, lme4", "", "", "", ""))
    table.coefficients(two, {"Intercept": "1.636575", "NAP": "-.551958"}, EARLY)
    table.coefficients(two, {sds[1]: ".26555", sds[0]: ".45822"}, EARLY)
    table.notes.append(STOPPED)
    for case, fit in (("", one), ("_olre", two)):
        stopped = load(f"rikz__nap_beach{case}__lme4_Laplace").content["logLik"]
        table.notes.append(f"log likelihood: ours {fit.loglik:.5f}, lme4 stopped at {stopped:.5f}")
    return table


def sleepstudy() -> Table:
    table = Table("Sleep study, 18 x 10: Reaction ~ Days + (Days | Subject)")
    reml = fit_case("sleepstudy__slope", "REML")
    table.coefficients(reml, {"Intercept": "251.405 (6.825)", "Days": "10.467 (1.546)"})
    found = reml.variances()["estimate"]
    table("var(Intercept|Subject)", found.iloc[0], "612.09", "")
    table("var(Days|Subject)", found.iloc[2], "35.07")
    table("var(residual)", found.iloc[3], "654.94")
    table("cor(Intercept,Days|Subject)", reml.estimate[4], ".07")
    for name, value in zip(found.index, closed_form(), strict=True):
        table(f"{name}, closed form", value, f"{found[name]:.5f}")
    zero, one = (fit_case(f"sleepstudy__{model}", "ML") for model in ("ri", "slope"))
    tests = bg.anova(zero, one).frame()
    table.all(["loglik (1 | Subject)", "loglik"], tests["logLik"], "-897.04 -875.97")
    table.all(["AIC (1 | Subject)", "AIC"], tests["AIC"], "1802.1 1763.9")
    last = tests.iloc[-1]
    table.all(["chi-square", "df"], [last["chi2"], last["df"]], "42.139 2")
    table("p x 1e10", 1e10 * last["p"], "7.07")
    return table


def closed_form() -> tuple[float, ...]:
    """REML of a balanced model, from the subjects' own lines: var, cov, var, residual."""
    data = bg.load_dataset("sleepstudy").sort_values(["Subject", "Days"])
    y = data["Reaction"].to_numpy().reshape(18, 10).T
    X = np.array([np.ones(10), np.arange(10.0)]).T
    lines, sums, _, _ = np.linalg.lstsq(X, y, rcond=None)
    residual = float(sums.sum()) / (18 * (10 - 2))
    G = np.cov(lines) - residual * np.linalg.inv(X.T @ X)
    return G[0, 0], G[1, 0], G[1, 1], residual


def tvsfp() -> Table:
    table = Table("TVSFP, 1600 / 135 / 28: thkspre + cc * tv, classes in schools")
    data = bg.load_dataset("tvsfp")
    nested = bg.glmm("thksbin ~ thkspre + cc * tv + (1 | school / class)", data, "bernoulli")
    rows = ("Intercept", "thkspre", "cc", "tv", "cc:tv")
    sds = ("sd(Intercept|school)", "sd(Intercept|school:class)")
    exact = "-1.2462 (.1946) .3954 (.0463) 1.0393 (.2431) .3339 (.2340) -.4669 (.3402)"
    early = "-1.2462 (.1945) .3954 (.0462) 1.0392 (.2430) .3338 (.2339) -.4669 (.3401)"
    fit = nested.fit("laplace")
    for label, values, spread, why in (
        ("binary, glmmTMB", exact, ".2503 .3936", ""),
        ("binary, lme4", early, ".2503 .3936", EARLY),
    ):
        table.rows.append((label, "", "", "", ""))
        table.coefficients(fit, _paired(rows, values), why)
        table.coefficients(fit, dict(zip(sds, spread.split(), strict=True)), why)
    linear = bg.glmm("thksord ~ thkspre + cc * tv + (1 | school / class)", data).fit("reml")
    table.notes.append(STOPPED)
    values = "1.8644 (.1057) .2186 (.0211) .5130 (.1366) .1544 (.1336) -.2498 (.1906)"
    table.rows.append(("score as Gaussian, lme4 REML", "", "", "", ""))
    table.coefficients(linear, _paired(rows, values))
    table.coefficients(linear, {sds[0]: ".1713", sds[1]: ".2177", "sigma": "1.0282"})
    return table


def _paired(rows: Sequence[str], values: str) -> dict[str, str]:
    texts = [f"{text})" for text in values.rstrip(")").split(") ")]
    return dict(zip(rows, texts, strict=True))


def abortion() -> Table:
    table = Table("Abortion, 1850 x 3: response ~ question + gender + (1 | case), logit")
    exact = fit_case("abortion__ri", "AGQ100")
    rows = exact.names[1:4]
    table(rows[0], exact.estimate[1], ".8348")
    table(rows[1], exact.estimate[2], ".2925", "rounded twice")
    table(rows[2], exact.estimate[3], "-.0126")
    table.notes.append(f"rounded twice: lme4 itself has .292447, ours is {exact.estimate[2]:.6f}")
    table("sd, 100 nodes", exact.estimate[4], "8.75")
    table("loglik, 100 nodes", exact.loglik, "-2289.250")
    table("sd, 25 nodes: not enough", fit_case("abortion__ri", "AGQ25").estimate[4], "9.34")
    laplace = fit_case("abortion__ri", "Laplace")
    table("sd, Laplace: far too small", laplace.estimate[4], "5.63")
    table("same, lme4", laplace.estimate[4], "5.59", EARLY)
    table.notes.append(STOPPED)
    case = CASES["abortion__ri"]
    model = bg.glmm(case.formula, case.frame(), case.family, priors={"sd": bg.HalfStudentT(3, 2.5)})
    post = model.sample(draws=2000, seed=SEED, progress=False)
    draws = post.scalar_draws[..., post.names.index("sd(Intercept|case)")]
    error = post.summary().loc["sd(Intercept|case)", "mcse_mean"]
    chance = f"within 4 Monte Carlo errors of {error:.3f}"
    table("posterior mean of sd", draws.mean(), "8.79", chance if _near(draws, 8.79, error) else "")
    table("posterior sd of sd", draws.std(), ".55", within=0.1)
    return table


def _near(draws: np.ndarray, known: float, error: float) -> bool:
    return abs(float(draws.mean()) - known) < 4.0 * error + 0.005  # half a printed digit


def clinics() -> Table:
    table = Table("Clinics, 8 x 2: favorable of n ~ treatment + (1 | clinic), logit")
    one, two = (fit_case(f"clinics__{case}", "Laplace") for case in ("ri", "ri_int"))
    table.coefficients(
        one,
        {
            "Intercept": "-1.1965 (.5529)",
            "treatment[drug]": ".7382 (.3004)",
            "sd(Intercept|clinic)": "1.3897",
        },
    )
    table.rows.append(("with clinic x treatment", "", "", "", ""))
    table.coefficients(
        two,
        {
            "Intercept": "-1.1996 (.5597)",
            "treatment[drug]": ".7423 (.3215)",
            "sd(Intercept|clinic)": "1.3899",
            "sd(Intercept|ct)": ".0758",
        },
    )
    table.rows.append(("RSPL", "", "", "", ""))
    table.coefficients(
        fit_case("clinics__ri", "RSPL"),
        {"Intercept": "-1.1464 (.5586)", "treatment[drug]": ".7244 (.2963)"},
    )
    return table


TABLES: tuple[Callable[[], Table], ...] = (
    depression,
    epilepsy,
    rikz,
    sleepstudy,
    tvsfp,
    abortion,
    clinics,
)


def main() -> int:
    """Print all tables."""
    options = parser(__doc__)
    options.add_argument("--only", default="", help="tables whose name contains this")
    arguments = options.parse_args()
    report = Report("published_tables", not arguments.no_save and not arguments.only)
    missed = []
    for make in TABLES:
        if arguments.only in make.__name__:
            table = make()
            report(table.title)
            report.table(("row", "ours", "published", "last digit", ""), table.rows)
            report("".join(f"{note}\n" for note in table.notes))
            missed += table.missed
    for form in published_forms.FORMS:
        if arguments.only in form.__name__:
            form(report)
    report("\n".join(["MISSED", *missed]) if missed else "every row as printed, or with its reason")
    report.save()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What users of other packages write first is refused with what to write here."""

import numpy as np
import pytest

import bayesglmm as bg

DATA = {
    "y": [0, 3, 1, 2, 5, 1, 0, 2],
    "n": [5, 6, 5, 6, 5, 6, 5, 6],
    "share": [0.0, 0.5, 0.2, 0.3, 1.0, 0.2, 0.0, 0.3],
    "x": [0.1, 0.5, -1.0, 0.3, 2.0, 0.7, -0.2, 0.9],
    "f": list("abababab"),
    "g": [1, 1, 2, 2, 3, 3, 4, 4],
}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Poisson", 'write family="poisson"'),
        ("poisson()", 'write family="poisson"'),
        ("Gamma", 'write family="gamma"'),
        ("nbinom2", 'write family="negative_binomial"'),
        ("negative-binomial", 'write family="negative_binomial"'),
        ("normal", 'write family="gaussian"'),
        ("binomial(link='probit')", 'write family="binomial", link="probit"'),
        ("student", "there are binomial, bernoulli, gamma, gaussian, negative_binomial, poisson"),
    ],
)
def test_families_of_other_packages(name, words):
    with pytest.raises(bg.DataError, match="unknown family") as at:
        bg.glmm("y ~ x + (1 | g)", DATA, family=name)
    assert str(at.value).endswith(words)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ as.factor(x) + (1 | g)", "write factor(x). There are"),
        ("y ~ s(x) + (1 | g)", "write bs(x, df)"),
        ("y ~ exposure(n) + (1 | g)", "write offset(log(t))"),
        ("y | rate(n) ~ x + (1 | g)", "write + offset(log(t)) right of ~"),
        ("p(y, n) ~ x + (1 | g)", "write prop(successes, trials)"),
        ("y ~ . + (1 | g)", "name the columns"),
        ("y ~ tan(x) + (1 | g)", "is not allowed: there are log"),
    ],
)
def test_functions_of_other_packages(formula, words):
    with pytest.raises(bg.FormulaError) as at:
        bg.glmm(formula, DATA, family="poisson")
    assert words in str(at.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("offset", "write + offset"),
        ("prior", "write priors="),
        ("REML", 'fit("reml")'),
        ("chains", "sampling comes after"),
        ("colour", "it has family, link"),
    ],
)
def test_arguments_of_other_packages(name, words):
    with pytest.raises(TypeError, match="glmm\\(\\) has no argument") as at:
        bg.glmm("y ~ x + (1 | g)", DATA, family="poisson", **{name: 1})
    assert words in str(at.value)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("sd(Intercept|g)", 'write "g": {"sd": {"Intercept": ...}}'),
        ("cor(Intercept,x|g)", 'write "g": {"cor": ...}'),
        ("1|g", 'write "g": {"sd": {"Intercept": ...}}'),
        ("b_x", "did you mean 'x'?"),
        ("f", "did you mean 'f[b]'?"),
    ],
)
def test_prior_keys_of_other_packages(key, words):
    with pytest.raises(bg.PriorError) as at:
        bg.glmm("y ~ x + f + (x | g)", DATA, family="poisson", priors={key: bg.HalfNormal(1)})
    assert words in str(at.value)


def test_the_data_come_second():
    with pytest.raises(bg.FormulaError, match="not dict; it comes before the data") as at:
        bg.glmm(DATA, "y ~ x + (1 | g)", family="poisson")
    assert "0.5" not in str(at.value)


def test_a_name_in_other_letters_is_found():
    with pytest.raises(bg.DataError, match="did you mean 'x'"):
        bg.glmm("y ~ X + (1 | g)", DATA, family="poisson")


def test_what_binomial_responses_lack_is_said_by_what_they_hold():
    with pytest.raises(bg.DataError, match="write y | trials") as counts:
        bg.glmm("y ~ x + (1 | g)", DATA, family="binomial")
    assert "bernoulli" not in str(counts.value)
    with pytest.raises(bg.DataError, match=r"share is no count \(0.5\).*prop\(successes, n\)"):
        bg.glmm("share ~ x + (1 | g)", DATA, family="binomial")
    with pytest.raises(bg.DataError, match='family="bernoulli"'):
        bg.glmm("z ~ x + (1 | g)", DATA | {"z": [0, 1] * 4}, family="binomial")


def test_printed_models_tell_trials_offset_and_weights():
    model = bg.glmm(
        "cbind(y, n) ~ x + offset(log(n)) + (1 | g)",
        DATA | {"w": np.arange(8)},
        family="binomial",
        weights="w",
    )
    lines = [line.strip() for line in str(model).splitlines()]
    # Failures, not trials, come second: who mistook them sees more trials than there were.
    assert "response cbind(y, n): 14 successes of 58 trials, 5 to 10 a row" in lines
    assert "offset: 1.609 to 1.792, with coefficient 1" in lines
    assert "weights: frequencies, 0 to 7; 28 rows in all" in lines
    shown = str(model.fit("laplace"))
    for line in ("14 successes of 58 trials", "offset: 1.609", "weights: frequencies, 0 to 7"):
        assert line in shown


@pytest.mark.parametrize("text", ["{}%", "{},5", "1,{:03d}", "$ {}"])
def test_numbers_with_signs_are_no_factor_of_many_levels(text):
    data = {"y": np.arange(60) % 4, "share": [text.format(k) for k in range(60)]}
    with pytest.raises(bg.DataError, match="is text like .* 59 dummies; convert it to numbers"):
        bg.glmm("y ~ share", data, family="poisson")


def test_levels_that_separate_are_not_all_listed():
    data = {"y": np.repeat([0, 3], [10, 50]), "f": [f"level {k // 2}" for k in range(60)]}
    with pytest.warns(bg.DataWarning) as found:
        bg.glmm("y ~ f", data, family="poisson")
    said = [str(warning.message) for warning in found]
    assert sum("2 rows have y at its lowest" in text for text in said) == 4
    assert "so does 1 more level of f" in said


def test_reference_levels_may_be_numbers():
    model = bg.glmm("y ~ factor(n) + (1 | g)", DATA, family="poisson", reference={"n": 6})
    assert model.names.fixed == ("Intercept", "factor(n)[5]")


@pytest.mark.parametrize(
    ("data", "words"), [("my.csv", "read by bg.read_csv('my.csv')"), (None, "not NoneType")]
)
def test_what_is_no_data_frame(data, words):
    with pytest.raises(bg.DataError) as at:
        bg.glmm("y ~ x", data, family="poisson")
    assert words in str(at.value)


def test_a_group_with_a_space_is_written_in_backticks():
    with pytest.raises(bg.FormulaError, match="unexpected 'name'; .* backticks"):
        bg.glmm("y ~ x + (1 | my name)", DATA, family="poisson")


def test_arguments_of_other_packages_after_the_fit():
    model = bg.glmm("y ~ f + (1 | g)", DATA, family="poisson")
    post = model.sample(draws=10, warmup=20, chains=2, seed=1, progress=False)
    for method, name, ours in (
        (post.predict, "re_formula", "effects"),
        (post.predict, "allow_new_levels", "new_levels"),
        (post.predict, "type", "scale"),
        (post.predictive, "sample_new_groups", "new_levels"),
    ):
        with pytest.raises(TypeError, match=f"no argument '{name}'; did you mean '{ours}'"):
            method(DATA, **{name: 1})
    with pytest.raises(TypeError, match="predictive\\(\\) has no argument 'scale'"):
        post.predictive(scale="link")
    with pytest.raises(TypeError, match="did you mean 'ci_prob'"):
        post.means("f", level=0.9)
    with pytest.raises(TypeError, match="did you mean 'level'"):
        model.fit("laplace").means("f", ci_prob=0.9)
    with pytest.raises(TypeError, match="did you mean 'exponentiate'"):
        post.contrasts("f", exp=True)

"""Fitted curves, and the plots that a posterior draws of itself."""

import matplotlib
import numpy as np
import pytest
import results

import bayesglmm as bg
from bayesglmm.errors import DataError

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def epilepsy():
    return results.drawn("epilepsy")


@pytest.fixture(scope="module")
def herds():
    return results.drawn("cbpp")


def linear(post, settings):
    """Draws (draws, k) of X beta at settings of base, treat, age, visit."""
    beta = post.values["beta"].reshape(-1, len(post.model.design.columns))
    names = post.model.design.columns
    rows = []
    for base, treat, age, visit in settings:
        values = {
            "Intercept": 1.0,
            "log(base)": np.log(base),
            "treat[Progabide]": treat,
            "log(age)": np.log(age),
            "visit": visit,
            "log(base):treat[Progabide]": np.log(base) * treat,
        }
        rows.append([values[name] for name in names])
    return beta @ np.array(rows).T


def test_curves_at_effects_of_zero(epilepsy):
    frame = results.data("epilepsy")
    age, visit = frame.age.mean(), frame.visit.mean()
    curve = epilepsy.curve({"base": [8, 64]}, by="treat")
    assert curve.curves == ("treat=placebo", "treat=Progabide")
    settings = [(base, treat, age, visit) for treat in (0, 1) for base in (8, 64)]
    expected = np.exp(linear(epilepsy, settings))
    table = curve.table()
    np.testing.assert_allclose(table.columns["base"], [8, 64, 8, 64])
    np.testing.assert_allclose(table.columns["mean"], expected.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(table.columns["2.5%"], np.quantile(expected, 0.025, axis=0))
    assert table.rows[0] == "treat=placebo, base=8"


def test_open_factors_are_averaged_over_their_levels_before_the_link(epilepsy):
    frame = results.data("epilepsy")
    age, visit = frame.age.mean(), frame.visit.mean()
    both = linear(epilepsy, [(20.0, treat, age, visit) for treat in (0, 1)])
    made = epilepsy.curve({"base": [20]}).table().columns["mean"]
    np.testing.assert_allclose(made, np.exp(both.mean(axis=1)).mean(), rtol=1e-10)


def test_marginal_curves_have_half_the_variance_of_the_effects_more(epilepsy):
    sd = epilepsy.values["sd"].reshape(-1, 2)
    cor = epilepsy.values["cor"].reshape(-1)
    visit = 0.2
    v = sd[:, 0] ** 2 + (visit * sd[:, 1]) ** 2 + 2.0 * visit * cor * sd[:, 0] * sd[:, 1]
    at = {"base": 20, "treat": "placebo", "age": 30}
    eta = linear(epilepsy, [(20.0, 0, 30.0, visit)])[:, 0]
    made = epilepsy.curve({"visit": [visit]}, at=at, effects=("population", "marginal"))
    population, marginal = (p.draws[..., 0].reshape(-1) for p in made.predictions)
    np.testing.assert_allclose(population, np.exp(eta), rtol=1e-10)
    np.testing.assert_allclose(marginal, np.exp(eta + 0.5 * v), rtol=1e-8)


def test_curves_of_groups_have_their_effects(epilepsy):
    at = {"base": 20, "treat": "placebo", "age": 30}
    made = epilepsy.curve({"visit": [-0.3, 0.3]}, at=at, groups={"id": [3, 10]}, scale="link")
    assert made.curves == ("id=3", "id=10")
    levels = epilepsy.model.design.factors[0].levels
    for level, prediction in zip(("3", "10"), made.predictions, strict=True):
        u = epilepsy.values["u"]["id"][:, :, levels.index(level)].reshape(-1, 2)
        for k, visit in enumerate((-0.3, 0.3)):
            expected = linear(epilepsy, [(20.0, 0, 30.0, visit)])[:, 0] + u @ [1.0, visit]
            np.testing.assert_allclose(prediction.draws[..., k].reshape(-1), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"over": "vist"}, "visit"),
        ({"over": "visit", "by": "base"}, "number"),
        ({"over": "treat", "by": "treat"}, "differ"),
        ({"over": "visit", "at": {"foo": 3}}, "foo"),
        ({"over": "visit", "effects": "conditional"}, "groups="),
        ({"over": "visit", "scale": "log"}, "response, link"),
        ({"over": "visit", "groups": {"id": [999]}}, "999"),
        ({"over": "visit", "groups": {"subject": [1]}}, "subject"),
        ({"over": "visit", "groups": {"id": range(1, 50)}}, "49 curves"),
        ({"over": "visit", "groups": {"id": []}}, "no level of 'id'"),
        ({"over": "visit", "groups": [3]}, "groups has to be a dict"),
        ({"over": "visit", "at": 3}, "at has to be a dict"),
        ({"over": "visit", "effects": ()}, "population, marginal"),
        ({"over": 3}, "by its name, not by 3"),
    ],
)
def test_refusals_say_what_there_is(epilepsy, options, words):
    with pytest.raises(DataError, match=words):
        epilepsy.curve(**options)


def test_a_curve_is_plotted_with_its_names(epilepsy, herds, tmp_path):
    axes = epilepsy.plot_curve("base", by="treat", path=tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000
    assert axes.get_xlabel() == "base"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "treat=placebo",
        "treat=Progabide",
    ]
    median = epilepsy.curve("base", by="treat").predictions[0].table().columns["median"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), median)
    axes = herds.plot_curve("period")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "3", "4"]
    assert "incidence" in axes.get_ylabel()


@pytest.mark.parametrize(
    ("refused", "error", "words"),
    [
        (lambda post: post.predict(ci_prob=95), DataError, "between 0 and 1; it is 95"),
        (lambda post: post.predict(ci_kind="bca"), DataError, "one of eti, hdi"),
        (lambda post: post.icc(ci_prob=1), DataError, "between 0 and 1"),
        (lambda post: post.icc(level=0.9), TypeError, "icc.. has no argument 'level'"),
        (lambda post: post.r2(level=0.9), TypeError, "r2.. has no argument 'level'"),
        (lambda post: post.plot_curve("base", path="a.doc"), DataError, "saved as .*png.*'doc'"),
    ],
)
def test_limits_and_files_that_cannot_be_had_are_refused(epilepsy, refused, error, words):
    with pytest.raises(error, match=words):
        refused(epilepsy)


def test_spaghetti_goes_through_the_fitted_means_of_every_group(epilepsy):
    figure = epilepsy.plot_spaghetti("visit")
    axes = figure.axes[0]
    assert len(axes.lines) == 59 + 1  # and the line at effects of 0
    index = np.asarray(epilepsy.model.design.factors[0].index)
    rows = np.flatnonzero(index == 0)
    means = epilepsy.predict().table().columns["mean"]
    np.testing.assert_allclose(sorted(axes.lines[0].get_ydata()), sorted(means[rows]))
    panels = epilepsy.plot_spaghetti("visit", levels=[3, 10], panels=True)
    assert [axes.get_title() for axes in panels.axes] == ["3", "10"]
    with pytest.raises(DataError, match="data=frame"):
        epilepsy.plot_spaghetti("base")
    given = epilepsy.plot_spaghetti("base", data=results.data("epilepsy"))
    assert len(given.axes[0].lines) == 59 + 1
    with pytest.raises(DataError, match="no group 'treat'"):
        epilepsy.plot_spaghetti("visit", "treat")


def test_spaghetti_of_a_column_with_a_space_and_of_data_that_do_not_fit():
    frame = results.data("sleepstudy").rename(columns={"Days": "days awake"})
    model = bg.glmm("Reaction ~ `days awake` + (1 | Subject)", frame)
    post = results.posterior(
        model,
        np.array([250.0, 10.0]),
        np.eye(2),
        sd=[30.0],
        cor=np.zeros(0),
        sigma=30.0,
        u={"Subject": np.zeros((18, 1))},
    )
    assert len(post.plot_spaghetti("days awake").axes[0].lines) == 18 + 1
    assert len(post.plot_spaghetti("days awake", levels="308").axes[0].lines) == 1 + 1
    with pytest.raises(DataError, match="10 rows, and the model was made of 180"):
        post.plot_spaghetti("days awake", data=frame[:10])
    with pytest.raises(DataError, match="names no group"):
        post.plot_spaghetti("days awake", levels=[], panels=True)


def test_curves_say_that_offsets_are_out_and_spaghetti_has_their_mean():
    frame = results.data("epilepsy").assign(weeks=2.0)
    model = bg.glmm("seizures ~ visit + offset(log(weeks)) + (1 | id)", frame, "poisson")
    u = {"id": np.zeros((59, 1))}
    post = results.posterior(
        model, np.array([1.0, 0.1]), 0.01 * np.eye(2), sd=[0.5], cor=np.zeros(0), u=u
    )
    curve = post.curve({"visit": [0.1]})
    assert "offset at 0" in str(curve) and "offset at 0" in curve.plot().get_ylabel()
    lines = post.plot_spaghetti("visit").axes[0].lines
    # Without effects all groups lie on the line at effects of 0.
    np.testing.assert_allclose(lines[0].get_ydata(), lines[-1].get_ydata(), rtol=1e-10)
    assert "mean offset" in lines[-1].get_label()


def test_spaghetti_of_a_formula_with_a_function_of_ones_own():
    frame = results.data("sleepstudy")
    own = {"half": lambda x: x / 2}
    model = bg.glmm("Reaction ~ half(Days) + (1 | Subject)", frame, functions=own)
    u = {"Subject": np.zeros((18, 1))}
    post = results.posterior(
        model, np.array([250.0, 20.0]), np.eye(2), sd=[30.0], cor=np.zeros(0), sigma=30.0, u=u
    )
    figure = post.plot_spaghetti("Days", data=frame, functions=own)
    assert len(figure.axes[0].lines) == 18 + 1


def test_traces_of_one_name_and_of_none(epilepsy):
    assert len(epilepsy.plot_chains("visit").axes) == 3
    with pytest.raises(DataError, match="no parameters"):
        epilepsy.plot_chains([])
    with pytest.raises(DataError, match="there are beta, sd"):
        epilepsy.plot_trace("vist")


def test_a_forest_of_ratios_has_a_logarithmic_axis(epilepsy):
    axes = epilepsy.plot_forest(exponentiate=True)
    assert axes.get_xscale() == "log"
    assert "rate ratio" in axes.get_xlabel()
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert "Intercept" not in labels and "treat[Progabide]" in labels
    low = np.quantile(np.exp(epilepsy.values["beta"]), 0.025, axis=(0, 1))
    ends = np.array([path.vertices[0, 0] for path in axes.collections[0].get_paths()])
    np.testing.assert_allclose(ends, low[1:])
    fitted = results.fit("epilepsy").plot_forest(["treat", "visit"])
    assert fitted.get_xscale() == "linear"
    assert len(fitted.get_yticklabels()) == 2


def test_chains_priors_and_quantiles_are_drawn_by_name(epilepsy, herds):
    figure = epilepsy.plot_chains(["visit", "sd(visit|id)", "u(visit|id[3])"])
    assert len(figure.axes) == 9
    with pytest.raises(DataError, match="no parameter 'vist'"):
        epilepsy.plot_chains(["vist"])
    titles = [axes.get_title() for axes in herds.plot_priors().axes]
    assert titles[:2] == ["sd(Intercept|herd)", "icc(herd)"]
    assert [axes.get_title() for axes in epilepsy.plot_normal().axes] == ["Intercept", "visit"]
    points = results.fit("epilepsy").plot_normal("id").axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(points, np.sort(results.fit("epilepsy").effects["id"][:, 0]))
    with pytest.raises(DataError, match="no group 'x'"):
        epilepsy.plot_normal("x")


def test_the_prior_of_an_icc_is_that_of_its_draws(herds):
    from bayesglmm import prior_plot

    shown = {each.name: each for each in prior_plot._shown(herds)}
    sd = np.abs(
        herds.model.priors.terms[0].sd[0].scale * np.random.default_rng(1).standard_t(3, 99999)
    )
    expected = sd**2 / (sd**2 + np.pi**2 / 3.0)
    drawn = shown["icc(herd)"].from_prior
    for p in (0.25, 0.5, 0.75):
        assert np.quantile(drawn, p) == pytest.approx(np.quantile(expected, p), abs=0.05)


def test_residuals_of_groups_are_boxes_in_order(epilepsy):
    axes = epilepsy.plot_residuals(by="id").axes[0]
    assert axes.get_xlabel() == "id"
    middle = [line.get_ydata()[0] for line in axes.lines if line.get_color() == "#D55E00"]
    assert len(middle) == 59
    assert np.all(np.diff(middle) >= 0.0)
    with pytest.raises(DataError, match="no group 'x'"):
        epilepsy.plot_residuals(by="x")

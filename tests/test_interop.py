"""The posterior in other packages' hands: ArviZ's functions, numpy and metrics, data frames."""

import arviz_plots
import arviz_stats
import matplotlib
import numpy as np
import pytest
import results
import xarray

import bayesglmm as bg

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def herds():
    return results.drawn("cbpp")


def test_arviz_summarizes_what_we_do(herds):
    ours = herds.summary()
    theirs = arviz_stats.summary(herds.data, var_names=["beta", "sd"], round_to="none")
    np.testing.assert_allclose(theirs["mean"].to_numpy(float), ours["mean"].to_numpy(), rtol=1e-10)
    np.testing.assert_allclose(theirs["r_hat"].to_numpy(float), ours["r_hat"].to_numpy(), rtol=1e-8)
    np.testing.assert_allclose(
        theirs["ess_bulk"].to_numpy(float), ours["ess_bulk"].to_numpy(), rtol=1e-8
    )


# A herd with one row says little of its effect without it, and ArviZ says so.
@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning")
# ArviZ's own call of pandas.
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_arviz_compares_models_by_leaving_out(herds):
    smaller = results.model("cbpp", "incidence | trials(size) ~ 1 + (1 | herd)").sample(
        draws=500, warmup=500, seed=4, progress=False
    )
    table = arviz_stats.compare({"period": herds.loo(), "none": smaller.loo()})
    assert list(table.index) == ["period", "none"]
    assert float(table["elpd_diff"].iloc[1]) != 0.0


def test_arviz_scales_the_priors(herds):
    table = herds.sensitivity()
    assert (table["prior"] < 1.0).all()
    tree = herds.data
    assert "posterior" in tree.children and isinstance(tree, xarray.DataTree)


@pytest.mark.parametrize("plot", ["plot_forest", "plot_trace_dist", "plot_rank", "plot_pair"])
def test_arviz_plots_the_posterior(herds, plot):
    made = getattr(arviz_plots, plot)(herds.data, var_names=["beta"])
    assert made is not None
    matplotlib.pyplot.close("all")


def test_predictions_are_arrays_for_metrics(herds):
    frame = results.data("cbpp")
    prediction = herds.predict(frame)
    means = np.asarray(prediction)
    assert means.shape == (len(prediction),) == (56,)
    np.testing.assert_allclose(means, prediction.table().columns["mean"], rtol=1e-12)
    observed = (frame.incidence / frame["size"]).to_numpy()
    assert float(np.mean((observed - prediction) ** 2)) < float(np.var(observed))


def test_a_saved_posterior_is_a_file_that_xarray_opens(herds, tmp_path):
    path = tmp_path / "herds.nc"
    herds.save(path)
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        beta = tree["posterior"]["beta"].to_numpy()
    np.testing.assert_array_equal(beta, herds.values["beta"])
    np.testing.assert_array_equal(bg.load(path).values["beta"], beta)

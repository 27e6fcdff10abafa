"""Saved fits: what is loaded says all that the saved one says."""

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.fitting import METHODS
from bayesglmm.likelihood_fit import Fit


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_fit_is_the_saved_one(method, tmp_path):
    data = bg.load_dataset("sleepstudy")
    model = bg.glmm("Reaction ~ Days + (Days|Subject)", data)
    if method == "aghq":
        model = bg.glmm("seizures ~ treat + (1|id)", bg.load_dataset("epilepsy"), "poisson")
    fit = model.fit(method)
    path = tmp_path / "fit.nc"
    fit.save(path)
    loaded = bg.load(path)
    assert isinstance(loaded, Fit)
    assert str(loaded) == str(fit)
    assert loaded.summary().equals(fit.summary())
    np.testing.assert_array_equal(loaded.fitted(), fit.fitted())
    np.testing.assert_array_equal(loaded.residuals(), fit.residuals())
    if method != "glm":
        for group, sds in fit.effect_sds.items():
            np.testing.assert_array_equal(loaded.effect_sds[group], sds)
    assert str(loaded.contrasts("Intercept")) == str(fit.contrasts("Intercept"))


def test_other_programs_read_the_table(tmp_path):
    xarray = pytest.importorskip("xarray")
    fit = bg.glmm("Reaction ~ Days + (1|Subject)", bg.load_dataset("sleepstudy")).fit()
    fit.save(tmp_path / "fit.nc")
    with xarray.open_dataset(tmp_path / "fit.nc", group="fit") as table:
        assert table.parameter.values.tolist() == list(fit.names)
        np.testing.assert_array_equal(table.estimate, fit.estimate)


def test_no_maximum_stays_no_maximum(tmp_path):
    data = {
        "y": np.array([0, 0, 1, 1] * 5),
        "x": np.tile([0.0, 1, 2, 3], 5),
        "g": np.arange(20) % 4,
    }
    with pytest.warns(bg.DataWarning):
        model = bg.glmm("y ~ x + (1|g)", data, "bernoulli")
    fit = model.fit()
    fit.save(tmp_path / "fit.nc")
    loaded = bg.load(tmp_path / "fit.nc")
    assert not loaded.converged and loaded.warnings == fit.warnings


def test_files_are_not_replaced_unasked(tmp_path):
    fit = bg.glmm("Reaction ~ Days + (1|Subject)", bg.load_dataset("sleepstudy")).fit()
    fit.save(tmp_path / "fit.nc")
    with pytest.raises(FileExistsError, match="force=True"):
        fit.save(tmp_path / "fit.nc")
    fit.save(tmp_path / "fit.nc", force=True)

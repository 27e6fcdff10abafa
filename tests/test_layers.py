"""The direction of imports: every module imports only what its layer may know."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import bayesglmm

ROOT = Path(bayesglmm.__file__).parent

# Layers from the bottom up: their modules (a folder counts as one), and the layers they may import
# beside their own.
LAYERS: dict[str, tuple[set[str], set[str]]] = {
    "tools": (
        {
            "errors",
            "caller",
            "dialects",
            "tables",
            "listing",
            "codec",
            "sealed",
            "bundle",
            "steady",
            "memory",
            "_jit",
            "_cache",
            "_linking",
            "_sources",
            "_simd",
            "_special",
            "_linalg",
            "_blocked",
            "_atomic",
            "_random",
        },
        set(),
    ),
    "data": (
        {
            "frames",
            "parquet",
            "columns",
            "series",
            "coding",
            "redundancy",
            "wording",
            "datasets",
            "expressions",
            "formula",
            "groups",
            "design",
            "coefficients",
            "combinations",
            "grid",
            "checks",
        },
        {"tools"},
    ),
    "statistics": (
        {
            "families",
            "links",
            "priors",
            "prior_base",
            "prior_text",
            "matrix_priors",
            "prior_density",
            "prior_curve",
            "covariance",
            "covariance_prior",
            "lanes",
            "layout",
            "density",
            "coordinates",
            "fits",
            "conditionals",
        },
        {"tools", "data"},
    ),
    "movement": (
        {"samplers", "adaptation", "diagnostics", "chains", "progress"},
        {"tools"},
    ),
    "meeting": (
        {
            "model",
            "problem",
            "prior_defaults",
            "bound",
            "programs",
            "collapsed_program",
            "collapsed_cost",
            "blocks",
            "block_plan",
            "classical_program",
            "classical_steps",
            "crossed_program",
            "recipe",
        },
        {"tools", "data", "statistics", "movement"},
    ),
    "results": (
        {
            "axes",
            "sampling",
            "warned",
            "choice",
            "sas_options",
            "sampling_history",
            "resumption",
            "checkpoint",
            "consistency",
            "footprint",
            "keeping",
            "no_start",
            "effects_file",
            "effects_summary",
            "summary",
            "posterior",
            "posterior_derived",
            "posterior_plots",
            "arviz_form",
            "pointwise",
            "printout",
            "fitting",
            "likelihood_fit",
            "fit_printout",
            "wald",
            "residuals",
            "profiles",
            "derived",
            "quantities",
            "contrasts",
            "means",
            "type3",
            "effect_curve",
            "fitted_curve",
            "forest_plot",
            "chain_plot",
            "prior_plot",
            "normal_plot",
            "residual_plot",
            "spaghetti",
            "crossing",
            "averages",
            "new_rows",
            "prediction",
            "prior_draws",
            "predictive",
            "shares",
            "information",
            "quantile_residuals",
            "sensitivity",
            "report",
            "marginal",
            "identified",
            "likelihood_ratio",
            "comparison",
            "comparison_flags",
            "crosscheck",
            "fit_plots",
            "io",
            "any_draws",
            "outpost",
            "ods",
            "ods_model",
            "ods_options",
            "dic",
            "diagnosis",
            "diagnosis_tables",
            "cli",
            "__main__",
            "cli_arguments",
            "cli_sample",
            "cli_report",
            "cli_fit",
            "cli_diagnose",
            "cli_predict",
            "cli_verify",
            "verification",
            "exports",
        },
        {"tools", "data", "statistics", "movement", "meeting"},
    ),
}
LAYER = {module: layer for layer, (modules, _) in LAYERS.items() for module in modules}

# The calls that go up: a model hands itself over to what makes a posterior, a fit or draws of it.
UPWARD = {
    ("model", "bayesglmm.sampling.sample"),
    ("model", "bayesglmm.fitting.fit"),
    ("model", "bayesglmm.predictive.prior_predictive"),
}

# Libraries that only some modules may import, at top level or inside a function.
CONFINED = {
    "numba": {"_jit", "_cache", "_linking"},
    "llvmlite": {"_jit", "_simd"},
    "pandas": LAYERS["data"][0] | {"tables", "listing"},
    "narwhals": LAYERS["data"][0],
    "polars": LAYERS["data"][0],
    "pyarrow": LAYERS["data"][0],
    "formulaic": LAYERS["data"][0],
    "arviz_base": LAYERS["results"][0],
    "arviz_stats": LAYERS["results"][0],
    "arviz_plots": LAYERS["results"][0],
    "xarray": LAYERS["results"][0],
    "matplotlib": LAYERS["results"][0],
    "h5py": {"io", "effects_file"},
    "h5netcdf": {"io", "effects_file"},
    "scipy.optimize": {"fits"},
    "rich": {"progress", "cli"},
    # Nothing that is read from a file is ever unpickled.
    "pickle": set(),
    "joblib": set(),
    "dill": set(),
}

# Slow to import, and not needed to print a posterior: only inside the function that needs them.
LAZY = ("arviz_base", "arviz_stats", "arviz_plots", "xarray", "matplotlib", "h5py", "h5netcdf")


class Imported(NamedTuple):
    """An import: what, and whether it happens when the module itself is imported."""

    name: str
    top_level: bool


def sources() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def module(path: Path) -> str:
    """Return the module or folder of the package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[Imported]:
    """Yield all imports of a file, but for those that only a type checker sees."""
    package = ("bayesglmm", *path.relative_to(ROOT).parts[:-1])

    def walk(node: ast.AST, top_level: bool) -> Iterator[Imported]:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Imported(alias.name, top_level)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join((*base, *filter(None, [node.module])))
            for alias in node.names:
                yield Imported(f"{origin}.{alias.name}", top_level)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, top_level and not inside)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


def within(name: str, library: str) -> bool:
    return name == library or name.startswith(f"{library}.")


def test_every_module_has_a_layer():
    unknown = {module(path) for path in sources()} - LAYER.keys() - {"__init__"}
    assert unknown == set()


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = module(path)
    if own == "__init__":
        assert not [i.name for i in imports(path) if within(i.name, "bayesglmm")]
        return
    layer = LAYER[own]
    allowed = {layer} | LAYERS[layer][1]
    for imported in imports(path):
        parts = imported.name.split(".")
        # `from . import __version__` is the package's own name, known to all.
        if parts[0] == "bayesglmm" and parts[1] in LAYER and (own, imported.name) not in UPWARD:
            assert LAYER[parts[1]] in allowed, f"{layer} may not import {imported.name}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_libraries_stay_where_they_belong(path):
    for imported in imports(path):
        for library, modules in CONFINED.items():
            if within(imported.name, library):
                assert module(path) in modules, f"{imported.name} belongs in {sorted(modules)}"
        if imported.top_level:
            assert not any(within(imported.name, library) for library in LAZY), imported.name

"""Saved posteriors and fits: one netCDF file, checked as a whole before anything in it is read.

The file is netCDF-4 (HDF5), so that ArviZ and xarray open it too: the groups of
`bayesglmm.arviz_form` (of a fit a group ``fit`` with its table), and a group ``bayesglmm`` with the
model, from which it is rebuilt. The model's specification is JSON, stored as bytes because an
attribute may not pass 64 kB. Behind the HDF5 content, where HDF5 does not look, stands a SHA-256 of
all of it: what was cut short or altered is refused before the HDF5 library parses a byte. Nothing
is ever unpickled.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import arviz_form, consistency, priors, sealed
from .chains import Standing
from .codec import Decoder, Encoder, checked
from .coding import Frozen
from .design import Design, Response
from .effects_file import StreamedArray
from .effects_summary import EffectsSummary
from .errors import DataError, LoadError
from .fits.outcome import Outcome
from .groups import Factor, Term
from .likelihood_fit import Fit
from .model import restore
from .posterior import NotKept, Posterior, Run
from .prior_defaults import Priors, TermPrior
from .recipe import Recipe
from .resumption import Resumption
from .steady import SteadyFile

if TYPE_CHECKING:
    import h5py

FORMAT = 1  # raised when an older reader could not read the file
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
OWN = "bayesglmm"  # the group of what only this package reads
# What a model is made of; nothing else is ever made from a file.
NOUNS = (
    *(Design, Response, Factor, Term, Frozen, Priors, TermPrior),
    *priors.SCALAR_PRIORS,
    *priors.MATRIX_PRIORS,
    *(Resumption, Recipe, Standing, EffectsSummary),
)
OF_OTHERS = (".csv", ".gz", ".parquet", ".json", ".txt", ".html", ".pkl", ".pickle", ".xlsx")
KINDS = "biuf"  # of the arrays that are read: booleans, integers, floats


def save(
    result: Posterior | Fit, path: str | Path, *, force: bool = False, states: bool = True
) -> None:
    """Save a posterior or a fit to one file, which appears whole or not at all.

    Parameters
    ----------
    result : Posterior or Fit
        What is saved, model included.
    path : str or Path
        The file; ``.nc`` is customary.
    force : bool
        Whether a file of that name may be replaced.
    states : bool
        Whether to save where the chains of a posterior stand, which `Posterior.extend` needs: for
        large models some dozens of numbers for each row and effect.

    Raises
    ------
    DataError
        If the name promises another kind of file.
    FileExistsError
        If there is such a file and ``force`` is false.
    OSError
        If it cannot be written, as where the folder does not exist; what there was before is
        untouched.
    """
    path = Path(path)
    if path.suffix.lower() in OF_OTHERS:
        raise DataError(
            f"{path.name}: a model with its draws is saved as one netCDF file, like "
            f"{path.stem}.nc; draws alone are saved as .csv or .parquet by outpost(), a page is "
            "written by report()"
        )
    sealed.refuse_place(path)
    if path.exists() and not force:
        raise sealed.taken(path)
    with sealed.replacing(path, force) as temporary:
        _write(result, temporary, states)
        sealed.seal(temporary)


def load(path: str | Path) -> Any:
    """Load a posterior or a fit that was saved with its method ``save``.

    Returns
    -------
    Posterior or Fit

    Raises
    ------
    LoadError
        If the file is missing, cut short, altered, of another origin or of a newer version; nothing
        of it has been used then.
    """
    if "://" in str(path):
        raise LoadError(f"{path} is an address, not a file; save it to a file first")
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if file.read(len(HDF5_SIGNATURE)) != HDF5_SIGNATURE:
                raise LoadError(f"{path} is no saved posterior or fit: it is not a netCDF-4 file")
            sealed.check(file, path, "a saved posterior or fit")
        return _read(path)
    except LoadError:
        raise
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a file sets off that was made to
        words = f"{error}" or type(error).__name__
        raise LoadError(
            f"{path} does not hold a posterior or a fit of this package: {words:.500}"
        ) from error


def _write(result: Posterior | Fit, path: Path, states: bool) -> None:
    import h5netcdf

    encoder = Encoder(NOUNS)
    spec: dict[str, Any] = {"format": FORMAT, "model": encoder.encode(result.model.saved())}
    own_arrays: dict[str, np.ndarray] = {}
    with SteadyFile(path) as target, h5netcdf.File(target, "w") as file:
        if isinstance(result, Posterior):
            spec |= {"run": asdict(result.run), "stats": list(result.stats)}
            spec["resumption"] = encoder.encode(result.resumption) if states else None
            spec["effects"] = encoder.encode(result.effects)
            own_arrays["theta"] = result.theta
            groups = arviz_form.layout(result)
            for group, variables in groups.variables.items():
                _write_group(file.create_group(group), variables, groups.coords)
                file[group].attrs.update(arviz_form.attributes(result))
        else:
            outcome = result.outcome
            content = {f.name: getattr(outcome, f.name) for f in fields(outcome)}
            content["variances"] = outcome.variances()
            spec |= {"outcome": encoder.encode(content), "rule": result.rule}
            table = result.table()
            variables = {name: (["parameter"], x) for name, x in table.columns.items()}
            _write_group(file.create_group("fit"), variables, {"parameter": list(table.rows)})
        own = file.create_group(OWN)
        arrays = {
            "spec": np.frombuffer(json.dumps(spec).encode(), dtype=np.uint8),
            **own_arrays,
            **encoder.arrays,
        }
        for name, values in arrays.items():
            # One dim for each length; where an array has a length twice, another.
            dims: list[str] = []
            for length in values.shape:
                same = sum(dim.startswith(f"length_{length}_") for dim in dims)
                dims.append(f"length_{length}_{same}")
                own.dimensions.setdefault(dims[-1], length)
            own.create_variable(name, dims, data=_numbers(values))


def _write_group(group: Any, variables: dict[str, Any], coords: dict[str, Any]) -> None:
    for name, (dims, values) in variables.items():
        for dim, length in zip(dims, values.shape, strict=True):
            if dim not in group.dimensions:
                group.dimensions[dim] = length
                coord = np.asarray(coords[dim])
                kind = coord.dtype if coord.dtype.kind in KINDS else _text_type()
                group.create_variable(dim, (dim,), dtype=kind, data=coord.astype(kind))
        if isinstance(values, np.ndarray):
            group.create_variable(name, tuple(dims), data=_numbers(values))
        else:
            variable = group.create_variable(name, tuple(dims), dtype=values.dtype)
            for place in values.pieces():
                variable[place] = values[place]


def _numbers(values: np.ndarray) -> np.ndarray:
    """NetCDF has no booleans."""
    return values.astype(np.int8) if values.dtype.kind == "b" else values


def _text_type() -> np.dtype:
    import h5py

    return h5py.string_dtype()


def _read(path: Path) -> Posterior | Fit:
    import h5py

    with h5py.File(path, "r") as file:
        size = path.stat().st_size
        arrays = {name: _array(file[OWN], name, size) for name in file[OWN]}
        spec = json.loads(arrays.pop("spec").tobytes())
        if spec["format"] > FORMAT:
            raise LoadError(f"{path} was saved by a newer version; upgrade bayesglmm to read it")
        decoder = Decoder(arrays, NOUNS)
        restored = restore(decoder.decode(spec["model"]))
        consistency.model(restored)
        if "outcome" in spec:
            content = decoder.decode(spec["outcome"])
            variances = content.pop("variances")
            return Fit(restored, Outcome(**content, variances=lambda: variances), spec["rule"])
        theta = arrays["theta"]
        checked(Run, spec["run"], {})
        run = Run(**spec["run"])
        effects = decoder.decode(spec.get("effects"))

        def array(group: str, name: str) -> Any:
            if run.keep == "stream" and name.startswith("u_"):
                shape = _inside(file[group], name, size).shape
                return StreamedArray(path.absolute(), name, tuple(range(shape[0])), shape)
            return _array(file[group], name, size)

        values, stats = arviz_form.read(restored, spec["stats"], array, effects is None)
        held = decoder.decode(spec.get("resumption"))
    consistency.draws(restored, theta, values, stats, effects is None)
    if effects is not None:
        values["u"] = NotKept()
    return Posterior(restored, values, stats, theta, run, held, effects)


def _array(group: "h5py.Group", name: str, size: int) -> np.ndarray:
    """Read an array that lies plainly inside the file."""
    return np.asarray(_inside(group, name, size)[()])


def _inside(group: "h5py.Group", name: str, size: int) -> "h5py.Dataset":
    """Return what an array that lies plainly inside the file is read from."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise LoadError(f"{name} lies in another file")
    item = group[name]
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        raise LoadError(f"{name} is not an array inside the file")
    if item.dtype.kind not in KINDS or item.nbytes > size:
        raise LoadError(f"{name} is of type {item.dtype}, {item.nbytes} bytes: not one of ours")
    return item

"""Draws of effects on the disk: written as chains run, read as they are needed.

The file is netCDF-4, with the variables of `bayesglmm.arviz_form`, one a factor. It is written
under another name beside its own, which it gets when it is whole.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .arviz_form import SAMPLED, own_name
from .errors import LoadError
from .posterior import groups
from .problem import effects_to_user
from .steady import SteadyFile

if TYPE_CHECKING:
    import xarray

    from .model import Model

GROUP, TOKEN, MADE = "posterior", "run", "draws_made"
PIECE = 64 * 2**20  # bytes read or written at a time


class EffectsFile:
    """A file of draws of all effects, being written.

    Parameters
    ----------
    path : str or Path
    model : Model
    chains, draws : int
        Of each how many there will be.
    token : str, optional
        Of the run, if its checkpoint knows it: the same call then goes on with what there is.
    begun : bool
        Whether the checkpoint has chains whose draws have to be there.

    Raises
    ------
    FileExistsError
        If there is such a file, and it is not that of this run.
    LoadError
        If draws that the checkpoint counts on are not there.
    OSError
        If it cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        model: "Model",
        chains: int,
        draws: int,
        token: str | None = None,
        begun: bool = False,
    ) -> None:
        self.path, self.model, self.shape = Path(path), model, (chains, draws)
        self.token, self.kept = token or secrets.token_hex(4), token is not None
        self.part = self.path.with_name(f".{self.path.name}.{self.token}.part")
        self.failed: OSError | None = None  # the first write that failed; none follows it
        if is_of(self.path, token):
            self.part = self.path
        elif self.path.exists():
            raise _taken(self.path)
        elif begun and not self.part.exists():
            raise LoadError(
                f"the draws of effects that the checkpoint goes on from are neither in {self.path} "
                f"nor in {self.part}. Remove the checkpoint to begin anew"
            )
        elif not begun:
            try:
                self._create()
            except OSError as error:
                self.part.unlink(missing_ok=True)
                raise OSError(f"{self.path} could not be written: {error}") from error
        self.place = self._places()
        self.file = os.open(self.part, os.O_RDWR)

    def _create(self) -> None:
        """Make the file with all that it has beside the draws, and their place.

        From here on nothing changes but the draws themselves: a process that is killed leaves a
        file that can be read.
        """
        import h5netcdf

        chains, draws = self.shape
        with SteadyFile(self.part) as target, h5netcdf.File(target, "w") as file:
            group = file.create_group(GROUP)
            group.dimensions.update({"chain": chains, "draw": draws})
            for name, levels, columns in groups(self.model.design):
                dim = own_name(name)
                for place, texts in ((dim, levels), (f"{dim}_effect", columns)):
                    group.dimensions[place] = len(texts)
                    kind = _text_type()
                    data = np.array(texts, dtype=kind)
                    group.create_variable(place, (place,), dtype=kind, data=data)
                made = group.create_variable(
                    f"u_{dim}", (*SAMPLED, dim, f"{dim}_effect"), dtype="f8"
                )
                made[0, 0, 0, 0] = 0.0  # HDF5 finds a place for the whole when it has a first value
            group.attrs.update({TOKEN: self.token, MADE: 0})

    def _places(self) -> dict[str, int]:
        """Return where in the file the draws of each factor begin.

        They lie there in one piece, and are written without HDF5: threads need not wait for each
        other, and a full disk is an error of one write (see `steady`).
        """
        import h5py

        chains, draws = self.shape
        found = {}
        try:
            with h5py.File(self.part, "r") as file:
                for name, levels, columns in groups(self.model.design):
                    data = file[GROUP][f"u_{own_name(name)}"]
                    shape = (chains, draws, len(levels), len(columns))
                    if data.shape != shape or data.dtype != np.float64:
                        raise ValueError(f"u_{own_name(name)} is {data.dtype} {data.shape}")
                    found[name] = int(data.id.get_offset())
        except Exception as error:  # whatever a damaged file sets off in the library
            raise LoadError(
                f"{self.part} has no place for the draws of effects: {error}. Remove it and the "
                "checkpoint to begin anew"
            ) from error
        return found

    def chain(self, row: int, had: int = 0) -> "Rows":
        """Return what a chain's draws are put into; its row 0 is draw `had`."""
        return Rows(self, row, had)

    def put(self, row: int, draws: slice, u: np.ndarray) -> None:
        """Write draws of a chain, internal u (draws, effects)."""
        for name, values in effects_to_user(self.model, u).items():
            self._write(name, row, draws.start, values)

    def copy(self, row: int, name: str, values: "StreamedArray", chain: int) -> None:
        """Write a factor's draws of a chain of another file."""
        for from_chain, piece in values.pieces():
            if from_chain == chain:
                self._write(name, row, piece.start, values[chain, piece])

    def put_back(self, row: int, first: int, rest: np.ndarray) -> None:
        """Write draws that `rest` returned, (draws, effects), the first of them as draw `first`."""
        at = 0
        for name, levels, columns in groups(self.model.design):
            own = rest[:, at : at + len(levels) * len(columns)]
            at += own.shape[1]
            self._write(name, row, first, own.reshape(len(rest), len(levels), len(columns)))

    def _write(self, name: str, row: int, first: int, values: np.ndarray) -> None:
        """Write draws (draws, levels, columns) of a factor and a chain, from draw `first` on."""
        values = np.ascontiguousarray(values, dtype=np.float64)
        if not values.size:
            return
        if self.failed is not None:
            raise self.failed
        place = self.place[name] + (row * self.shape[1] + first) * values[0].nbytes
        left = values.reshape(-1).view(np.uint8).data
        try:
            while left:
                done = os.pwrite(self.file, left, place)
                left, place = left[done:], place + done
        except OSError as error:
            free = shutil.disk_usage(self.part.absolute().parent).free
            self.failed = OSError(
                error.errno,
                f"{error.strerror}; {len(left)} bytes are needed for the next draws and {free} are "
                f"free. The draws of effects so far are in {self.part}",
            )
            raise self.failed from error

    def finish(self, rows: list[int], draws: int) -> dict[str, "StreamedArray"]:
        """Close the file and give it its name; return its arrays by factor.

        Parameters
        ----------
        rows : list of int
            The chains that are in the result.
        draws : int
            How many draws of each are.
        """
        import h5py

        os.fsync(self.file)
        self._close()
        with SteadyFile(self.part, "r+") as target, h5py.File(target, "r+") as file:
            attributes = file[GROUP].attrs
            if attributes[MADE] != draws:
                attributes[MADE] = draws
        self._sync()
        if self.part != self.path:
            try:
                os.link(self.part, self.path)  # fails where the name has been taken meanwhile
            except FileExistsError:
                raise _taken(self.path) from None
            finally:
                self.part.unlink(missing_ok=True)
        return arrays(self.path, self.model, rows, draws)

    def flush(self) -> None:
        """Put what has been written onto the disk."""
        os.fsync(self.file)

    def _sync(self) -> None:
        with open(self.part, "r+b") as file:
            os.fsync(file.fileno())

    def _close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def abandon(self) -> None:
        """Close the file; it stays if a checkpoint goes on from it, or the disk was full."""
        self._close()
        if not self.kept and self.failed is None:
            self.part.unlink(missing_ok=True)


class Rows:
    """Where the draws of one chain go; for chains it is an array that is assigned to."""

    def __init__(self, file: EffectsFile, row: int, had: int) -> None:
        self.file, self.row, self.had = file, row, had

    def __setitem__(self, draws: slice, u: np.ndarray) -> None:
        """Write draws u (draws, effects)."""
        place = slice(draws.start + self.had, draws.start + self.had + len(u))
        try:
            self.file.put(self.row, place, u)
        except OSError as error:
            raise OSError(f"{self.file.path} could not be written: {error}") from error


@dataclass(frozen=True, eq=False)
class StreamedArray:
    """Draws (chains, draws, levels, columns) in a file; what is indexed is read.

    Attributes
    ----------
    path : Path
    variable : str
        In the file's group of the posterior.
    rows : tuple of int
        The file's chains that are in the array.
    shape : tuple of int
    """

    path: Path
    variable: str
    rows: tuple[int, ...]
    shape: tuple[int, ...]
    dtype = np.dtype(np.float64)
    ndim = 4

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part: numbers and slices are read alone, anything else after reading all."""
        key = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(each, int | np.integer | slice) for each in key):
            return np.asarray(self)[key]
        full: list[Any] = [*key, *[slice(None)] * (4 - len(key))]
        chains, draws, rest = full[0], full[1], full[2:]
        if isinstance(draws, slice):
            draws = slice(*draws.indices(self.shape[1]))
        else:
            draws = range(self.shape[1])[draws]
        numbers = range(self.shape[0])
        if isinstance(chains, slice):
            return self._read(list(numbers[chains]), (draws, *rest))
        return self._read([numbers[chains]], (draws, *rest))[0]

    def pieces(self) -> Iterator[tuple[int, slice]]:
        """Yield indices that cut the array into parts of moderate size."""
        step = max(1, PIECE // (8 * int(np.prod(self.shape[2:]))))
        for chain in range(self.shape[0]):
            for first in range(0, self.shape[1], step):
                yield chain, slice(first, min(self.shape[1], first + step))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def reshape(self, *shape: Any) -> np.ndarray:
        """Read all, in another shape."""
        return np.asarray(self).reshape(*shape)

    def lazy(self, dims: list[str], coords: dict[str, Any]) -> "xarray.DataArray":
        """Return the array as xarray has it, read when it is used."""
        import xarray

        whole = xarray.open_dataset(self.path, group=GROUP, engine="h5netcdf")[self.variable]
        part = whole.isel(chain=list(self.rows), draw=slice(0, self.shape[1]))
        return part.assign_coords({dim: coords[dim] for dim in dims})

    def _read(self, chains: list[int], key: tuple[Any, ...]) -> np.ndarray:
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                data = file[GROUP][self.variable]
                if data.dtype != self.dtype or data.ndim != self.ndim:
                    raise ValueError(f"{self.variable} is {data.dtype} {data.shape}")
                return np.stack([data[(self.rows[chain], *key)] for chain in chains])
        except Exception as error:  # whatever a damaged file sets off in the library
            raise LoadError(
                f"the draws of effects in {self.path} cannot be read: {error!s:.500}"
            ) from error


def is_of(path: Path, token: str | None) -> bool:
    """Whether a file has the draws of a run."""
    import h5py

    if token is None or not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(file[GROUP].attrs.get(TOKEN) == token)
    except Exception:  # whatever a file of another kind sets off in the library
        return False


def _taken(path: Path) -> FileExistsError:
    return FileExistsError(f"{path} exists, and a stream replaces no file: name another")


def rest(values: dict[str, StreamedArray], chain: int, draws: int) -> np.ndarray:
    """Return draws (draws, effects) of a chain that its file has after the last of the arrays."""
    parts = []
    for each in values.values():
        last = each.shape[1]
        one = each._read([chain], (slice(last, last + draws),))[0]
        parts.append(one.reshape(draws, each.shape[2] * each.shape[3]))
    return np.concatenate(parts, axis=1)


def arrays(path: Path, model: "Model", rows: list[int], draws: int) -> dict[str, StreamedArray]:
    """Return the arrays of a file by factor."""
    return {
        name: StreamedArray(
            path.absolute(),
            f"u_{own_name(name)}",
            tuple(rows),
            (len(rows), draws, len(levels), len(columns)),
        )
        for name, levels, columns in groups(model.design)
    }


def _text_type() -> Any:
    import h5py

    return h5py.string_dtype()

"""Checkpoints: where the chains of a run stand, on the disk, so that a killed run goes on.

A checkpoint is one file, replaced as a whole every so often while the chains run: their states and
all their draws so far, the program, and what the run was asked to do. It stays when the run is
done: the same call then returns the same draws at once.
"""

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import __version__, bundle
from .chains import Standing
from .codec import Decoder, Encoder
from .errors import DataError, LoadError
from .recipe import Recipe

if TYPE_CHECKING:
    from .model import Model

KIND = "bayesglmm checkpoint 1"
WHAT = "a checkpoint of this package"
NOUNS = (Recipe, Standing)
SHARE = 10  # of the time at least so many parts are the chains', one is the checkpoint's
SECONDS = 30.0  # between two checkpoints: what a killed run may lose


@dataclass(frozen=True)
class Identity:
    """What a run was asked to do; two runs of one identity make the same draws."""

    formula: str
    family: str
    data: str
    priors: str
    seed: int | None
    chains: int
    draws: int
    warmup: int
    thin: int
    sampler: str
    target_accept: float
    max_treedepth: int
    init: str
    keep: str
    options: str = ""
    version: str = __version__

    @classmethod
    def of(
        cls,
        model: "Model",
        *,
        seed: int | None,
        sampler: str,
        keep: str,
        options: str,
        init: dict[str, float] | None,
        target_accept: float,
        **counts: Any,
    ) -> "Identity":
        """Return the identity of a run of a model; arguments are those of `sampling.sample`."""
        design, family = model.design, model.family
        numbers: dict[str, Any] = {name: int(value) for name, value in counts.items()}
        return cls(
            formula=design.formula,
            family=f"{family.name}, {family.link} link",
            priors="; ".join(model.describe()["Priors"]),
            data=_digest(model),
            seed=None if seed is None else int(seed),
            sampler=sampler,
            keep=keep,
            options=options,
            init=repr(sorted((name, float(value)) for name, value in (init or {}).items())),
            target_accept=float(target_accept),
            **numbers,
        )


class Found(NamedTuple):
    """What a checkpoint holds."""

    seed: int
    recipe: Recipe
    standings: tuple[Standing, ...]
    failures: dict[int, str]
    stream: str | None


class Checkpoint:
    """The file of a run, written while its chains run (a `chains.run` recorder).

    Parameters
    ----------
    path : str or Path
    identity : Identity
        Of the run.
    seconds : float
        Between two writes; more where writing takes long.

    Attributes
    ----------
    before : function without arguments, or None
        Called before each write, when what the chains have put elsewhere has to be safe.
    """

    def __init__(self, path: str | Path, identity: Identity, seconds: float) -> None:
        self.path, self.identity, self.seconds = Path(path), identity, seconds
        self.next = 0.0
        self.fixed: tuple[int, Recipe, str | None] | None = None
        self.before: Callable[[], None] | None = None

    def find(self) -> Found | None:
        """Return what the file holds, None where there is no file yet.

        Raises
        ------
        LoadError
            If the file is no checkpoint, was cut short or altered.
        DataError
            If it is the checkpoint of another run, with what differs.
        """
        if not self.path.exists():
            return None
        content, arrays = bundle.read(self.path, KIND, WHAT)
        try:
            asked = content["identity"]
            self._compare(asked)
            made = Decoder(arrays, NOUNS).decode(content["run"])
            found = Found(
                made["seed"],
                made["recipe"],
                made["standings"],
                made["failures"],
                made.get("stream"),
            )
        except DataError:
            raise
        except Exception as error:  # whatever a file sets off that was made to
            words = f"{error}" or type(error).__name__
            raise LoadError(f"{self.path} is not {WHAT}: {words:.500}") from error
        self.fixed = found.seed, found.recipe, found.stream
        return found

    def _compare(self, asked: Mapping[str, Any]) -> None:
        other = [
            f"{name} was {_short(asked.get(name))}, now it is {_short(value)}"
            if name != "data"
            else "the data are others"
            for name, value in asdict(self.identity).items()
            if asked.get(name) != value
        ]
        if other:
            raise DataError(
                f"{self.path} is the checkpoint of another run: {'; '.join(other)}. Remove it, or "
                "give this run a file of its own"
            )

    def open(self, seed: int, recipe: Recipe, stream: str | None = None) -> None:
        """Begin a new file: what cannot be written is known before the chains run.

        `stream` is the token of the file that draws of effects are streamed to.
        """
        self.fixed = seed, recipe, stream
        self._write((), {})

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() >= self.next

    def write(self, standings: Sequence[Standing], failures: Mapping[int, str]) -> None:
        """Write where the chains stand; if that fails the chains go on, with a warning."""
        try:
            if self.before is not None:
                self.before()
            self._write(standings, failures)
        except OSError as error:
            self.next = time.monotonic() + self.seconds
            warnings.warn(
                f"no checkpoint could be written, and the run goes on without: {error}",
                UserWarning,
                stacklevel=2,
            )

    def _write(self, standings: Sequence[Standing], failures: Mapping[int, str]) -> None:
        assert self.fixed is not None
        begun = time.monotonic()
        encoder = Encoder(NOUNS)
        seed, recipe, stream = self.fixed
        run = {
            "seed": seed,
            "recipe": recipe,
            "standings": tuple(standings),
            "failures": dict(failures),
            "stream": stream,
        }
        content = {"identity": asdict(self.identity), "run": encoder.encode(run)}
        bundle.write(self.path, KIND, content, encoder.arrays)
        now = time.monotonic()
        self.next = now + max(self.seconds, SHARE * (now - begun))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _digest(model: "Model") -> str:
    """Return a hash of all data of a model."""
    design = model.design
    arrays = [design.X, design.offset, design.weights]
    response = (getattr(design.response, field.name) for field in fields(design.response))
    arrays += [value for value in response if isinstance(value, np.ndarray)]
    arrays += [factor.index for factor in design.factors]
    arrays += [term.z for term in design.terms]
    digest = hashlib.sha256(repr([factor.levels for factor in design.factors]).encode())
    digest.update(repr((design.columns, model.center)).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()

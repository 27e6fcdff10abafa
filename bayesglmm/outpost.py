"""The draws of a posterior as a data frame, and as a file that other programs read."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sealed
from .errors import DataError
from .listing import Listing

if TYPE_CHECKING:
    import pandas

    from .posterior import Posterior

SUFFIXES = (".csv", ".csv.gz", ".parquet")


def frame(post: "Posterior", u: bool = False) -> "pandas.DataFrame":
    """Return the draws: ``chain`` and ``draw`` from 1, and a column a parameter."""
    chains, draws = post.chains, post.draws
    columns: dict[str, Any] = {
        "chain": np.repeat(np.arange(1, chains + 1), draws),
        "draw": np.tile(np.arange(1, draws + 1), chains),
    }
    parts = [(post.names, post.scalar_draws)]
    if u:
        parts.append((post.effect_names, post.effect_draws))
    for names, values in parts:
        flat = values.reshape(chains * draws, len(names))
        columns |= {name: flat[:, k] for k, name in enumerate(names)}
    return Listing("Draws", columns).frame()


def save(post: "Posterior", path: str | Path, *, u: bool = False, force: bool = False) -> None:
    """Save the draws to a file, which appears whole or not at all.

    Parameters
    ----------
    post : Posterior
    path : str or Path
        ``.csv``, ``.csv.gz`` or ``.parquet`` (which needs pyarrow).
    u : bool
        Whether the effects of all levels are saved too.
    force : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    DataError
        For another suffix, or Parquet without pyarrow.
    FileExistsError
        If there is such a file and `force` is false.
    """
    path = Path(path)
    suffix = next((ending for ending in SUFFIXES if path.name.endswith(ending)), None)
    if suffix is None:
        raise DataError(f"draws are saved as {', '.join(SUFFIXES)}, not as {path.name!r}")
    sealed.refuse_place(path)
    if path.exists() and not force:
        raise sealed.taken(path)
    made = frame(post, u)
    with sealed.replacing(path, force) as temporary:
        if suffix == ".parquet":
            try:
                made.to_parquet(temporary, index=False)
            except ImportError as error:
                raise DataError("Parquet needs pyarrow; save as .csv instead") from error
        else:
            packed = "gzip" if suffix == ".csv.gz" else None
            made.to_csv(temporary, index=False, compression=packed)

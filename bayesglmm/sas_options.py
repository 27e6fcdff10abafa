"""Options by the names that PROC MCMC has for them: nbi, nmc, ntu, maxtune, propcov."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import checks
from .blocks import asked, resolve
from .errors import DataError

if TYPE_CHECKING:
    from .model import Model

DRAWS = WARMUP = 1000
NTU, MAXTUNE = 500, 24  # SAS's own
PROPCOVS = ("fit", "quanew", "ind")


def counts(
    draws: int | None, warmup: int | None, thin: int, nbi: int | None, nmc: int | None
) -> tuple[int, int]:
    """Return draws kept and iterations of burn-in, from our names or SAS's.

    Of ``nmc`` iterations every ``thin``-th is kept.

    Raises
    ------
    DataError
        If both names are given and do not say the same.
    """
    checks.sampler_arguments(
        draws=DRAWS if draws is None else draws,
        warmup=WARMUP if warmup is None else warmup,
        chains=1,
        thin=thin,
        nbi=nbi,
        nmc=nmc,
    )
    if nmc is not None:
        if nmc < thin:
            raise DataError(f"nmc={nmc} iterations keep no draw with thin={thin}")
        if draws is not None and draws != nmc // thin:
            raise DataError(
                f"draws={draws} and nmc={nmc} with thin={thin} contradict each other: nmc is the "
                f"number of iterations after burn-in, of which {nmc // thin} are kept. Give one"
            )
        draws = nmc // thin
    if nbi is not None:
        if warmup is not None and warmup != nbi:
            raise DataError(
                f"warmup={warmup} and nbi={nbi} contradict each other: both are the number of "
                "iterations of burn-in. Give one"
            )
        warmup = nbi
    return DRAWS if draws is None else draws, WARMUP if warmup is None else warmup


def classical(
    model: "Model",
    sampler: str,
    burn_in: int,
    *,
    blocks: Mapping[Any, Any] | None,
    ntu: int | None,
    maxtune: int | None,
    propcov: str | None,
) -> tuple[int, dict[str, Any] | None]:
    """Return the iterations before the first draw, and the settings of a classical program.

    Raises
    ------
    DataError
        For a setting of the classical sampler where another one samples, or outside its domain.
    """
    if sampler != "classical":
        for name, value in (("ntu", ntu), ("maxtune", maxtune), ("propcov", propcov)):
            if value is not None:
                raise DataError(
                    f"{name} is of random walks, which sampler='classical' has, and {sampler!r} "
                    "does not"
                )
        return burn_in, None
    checks.sampler_arguments(draws=1, warmup=burn_in, chains=1, ntu=ntu, maxtune=maxtune)
    covariance = "fit" if propcov is None else propcov
    if not isinstance(covariance, str) or covariance.lower() not in PROPCOVS:
        raise DataError(
            f"propcov has to be one of {', '.join(PROPCOVS)}, not {propcov!r}: the curvature at "
            "the fit, kept; the same, learned from then on; the identity, learned from then on"
        )
    chosen = asked(blocks)
    walks = any(block.method == "random_walk" for block in resolve(model, chosen))
    loops = (MAXTUNE if maxtune is None else maxtune) if walks else 0
    iterations = NTU if ntu is None else ntu
    return burn_in + loops * iterations, {
        "chosen": chosen,
        "nbi": burn_in,
        "ntu": iterations,
        "maxtune": loops,
        "propcov": covariance.lower(),
    }

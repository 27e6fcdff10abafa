"""The verdict as a warning: who prints nothing hears of it all the same."""

import math
import warnings
from dataclasses import replace

from . import caller
from .diagnostics.verdict import judge
from .errors import ConvergenceWarning
from .posterior import Posterior

# Bytes of streamed draws: more would have to be read back from the disk, which takes as long as
# writing them did.
MOST_READ = 2**30


def warned(post: Posterior) -> Posterior:
    """Return a posterior; a `ConvergenceWarning` says so if it did not converge.

    An interruption meanwhile ends the judging, and the posterior is flagged as interrupted.
    """
    try:
        if on_disk(post) <= MOST_READ:
            verdict = post.verdict
        else:
            verdict = judge([(post.scalar_draws, lambda i: post.names[i])], post.stats)
    except KeyboardInterrupt:
        return replace(post, run=replace(post.run, interrupted=True))
    if not verdict.ok:
        warning = ConvergenceWarning(verdict.warning)
        warning.posterior = post
        warnings.warn(warning, stacklevel=caller.level())
    return post


def on_disk(post: Posterior) -> int:
    """Bytes of draws that are not in memory."""
    if post.run.keep != "stream":
        return 0
    return sum(8 * math.prod(values.shape) for values in post.values["u"].values())

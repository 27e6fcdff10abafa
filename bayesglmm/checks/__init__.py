"""The pre-flight: what in the data and the arguments is refused or warned about, before compiling.

Each check takes plain arrays and costs a pass or two over the rows. A refusal raises DataError with
the column, the first rows and the remedy; what can be used all the same goes into `Findings`.
Nothing here imports the design, which calls it.
"""

from .arguments import sampler_arguments, unknown_keywords
from .coefficients import fixed_effects
from .findings import KNOWN_ERRORS, Findings, Grouping, Observed
from .groups import group_column, groups, slopes
from .response import known_errors, response
from .rows import complete_rows, offset, weights
from .separation import separation

__all__ = [
    "KNOWN_ERRORS",
    "Findings",
    "Grouping",
    "Observed",
    "complete_rows",
    "fixed_effects",
    "group_column",
    "groups",
    "known_errors",
    "offset",
    "response",
    "sampler_arguments",
    "separation",
    "slopes",
    "unknown_keywords",
    "weights",
]

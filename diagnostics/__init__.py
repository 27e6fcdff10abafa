"""The evidence: what takes minutes to hours, each run as ``python -m diagnostics.NAME``.

What is shared with the tests (reference posteriors, broken copies) stays in ``tests/``, which is
put on the path here and nowhere else: ``from references import REFERENCES``.
"""

import sys
import warnings
from pathlib import Path

from bayesglmm import ConvergenceWarning

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"

# What looks at convergence reads the verdicts; runs that are short on purpose have no others.
warnings.filterwarnings("ignore", "NOT converged", ConvergenceWarning)

if (tests := str(ROOT / "tests")) not in sys.path:
    sys.path.append(tests)

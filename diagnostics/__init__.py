"""The evidence: what takes minutes to hours, each run as ``python -m diagnostics.NAME``.

What is shared with the tests (reference posteriors, broken copies) stays in ``tests/``, which is
put on the path here and nowhere else: ``from references import REFERENCES``.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"

if (tests := str(ROOT / "tests")) not in sys.path:
    sys.path.append(tests)

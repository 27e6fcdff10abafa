"""A family reaches compiled code as a pointer, and must be itself there."""

import json
import os
import subprocess
import sys

# Every process numbers its compiled functions from 1: families that were compiled and cached by
# processes of their own may have the same number, and their symbols must differ all the same.
COMPILE = """
import numpy as np
from bayesglmm import families
row = np.ones(1)
families.bind(families.get({family!r}))(0, row, row, row, 1.0, row, row, row, row)
"""
CALL = """
import json
import numpy as np
from bayesglmm import families
from bayesglmm._jit import entry, types

@entry(lambda: types.float64(families.ROWS_TYPE, types.float64[::1]), cache=False)
def at(rows, row):
    a = np.zeros(1)
    rows(families.LOGLIK, row, row, row, 1.0, a, a, a, a)
    return a[0]

row = np.ones(1)
values = [at(families.bind(families.get(f)), row) for f in ("poisson", "bernoulli") * 2]
print(json.dumps(values))
"""


def test_families_cached_by_different_processes_are_not_mistaken(tmp_path):
    environment = {**os.environ, "BAYESGLMM_CACHE_DIR": str(tmp_path)}

    def run(code):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    for family in ("poisson", "bernoulli"):
        run(COMPILE.format(family=family))
    poisson, bernoulli, *again = json.loads(run(CALL))
    # At y = weight = eta = 1, data-only constants left out: 1 - e, and 1 - log(1 + e).
    assert abs(poisson - -1.718281828459045) < 1e-12
    assert abs(bernoulli - -0.3132616875182228) < 1e-12
    assert again == [poisson, bernoulli]

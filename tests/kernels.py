"""Calls of compiled inner functions from Python, which have no way in of their own."""

import json
import os
import subprocess
import sys
from functools import cache

import numba

from bayesglmm._jit import ENABLED


@cache
def callable_(function):
    """An inner function behind a compiled one that Python may call."""
    if not ENABLED:
        return function

    def outside(*args):
        return function(*args)

    return numba.njit(error_model="numpy")(outside)


def with_compilation_off(code):
    """What a script prints as JSON when everything runs as plain Python."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)

"""Warnings are errors on the command line too, those of Python's own checks included."""

import subprocess
import sys
import warnings

import pytest

from bayesglmm import verification
from bayesglmm.errors import ConvergenceWarning

SLEEP = "sleepstudy", "Reaction ~ Days + (Days | Subject)"
FEW = "--draws", "20", "--warmup", "20", "--chains", "2", "--jobs", "1", "--seed", "1", "--quiet"


def strictly(folder, *arguments):
    """Code and complaints of the command with every warning an error and Python's checks on."""
    command = [sys.executable, "-W", "error", "-X", "dev", "-m", "bayesglmm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return done.returncode, done.stderr


def test_commands_warn_of_nothing(tmp_path):
    """What is not closed is complained of when it is collected, after all else has gone well."""
    assert strictly(tmp_path, "--version") == (0, "")
    assert strictly(tmp_path, "fit", *SLEEP, "--method", "reml") == (0, "")
    files = "--save", "fit.nc", "--report", "report.html"
    assert strictly(tmp_path, "sample", *SLEEP, *FEW, *files) == (1, "")  # of so few draws
    assert strictly(tmp_path, "diagnose", "fit.nc") == (1, "")
    assert strictly(tmp_path, "predict", "fit.nc") == (0, "")


def test_a_warning_would_be_seen(tmp_path):
    code = "open('x', 'w'); import warnings; warnings.warn('of something')"
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "of something" in done.stderr
    assert "ResourceWarning" in done.stderr


def test_verification_silences_only_what_its_short_runs_say(monkeypatch):
    def check(category):
        warnings.warn("heard", category, stacklevel=2)
        return True, ""

    monkeypatch.setattr(verification, "CHECKS", {"": lambda: check(ConvergenceWarning)})
    assert verification.verify().ok
    monkeypatch.setattr(verification, "CHECKS", {"": lambda: check(UserWarning)})
    with pytest.warns(UserWarning, match="heard"):
        assert verification.verify().ok

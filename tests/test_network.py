"""The package talks to no other machine: no module for it is imported, no socket is opened."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bayesglmm

PACKAGE = Path(bayesglmm.__file__).parent
TALKERS = {
    *("socket", "socketserver", "ssl", "select", "selectors", "asyncio", "http", "urllib"),
    *("ftplib", "smtplib", "poplib", "imaplib", "telnetlib", "xmlrpc", "webbrowser", "wsgiref"),
    *("requests", "httpx", "aiohttp", "urllib3", "fsspec", "pooch", "tornado", "dask"),
    *("distributed", "multiprocessing"),
}
# Tells how a process of the user's pool ended; it opens nothing.
QUIET = {"multiprocessing.process"}

# Whatever opens a socket, or looks an address up, raises an event of this name.
WATCH = """
import sys

def watch(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.")):
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(watch)
"""

SESSION = """
from bayesglmm.cli import main

def run(*arguments):
    code = main([*arguments, "--quiet"] if arguments[0] in ("sample", "fit") else [*arguments])
    assert code in (0, 1), (arguments, code)

model = "epilepsy", "seizures ~ treat + (1|id)", "--family", "poisson"
few = "--draws", "20", "--warmup", "20", "--chains", "2", "--jobs", "1", "--seed", "1"
run("datasets")
run("fit", *model, "--method", "laplace")
run("sample", *model, *few, "--save", "fit.nc", "--report", "first.html")
run("diagnose", "fit.nc")
run("predict", "fit.nc")
run("report", "fit.nc", "second.html")
"""


def imported(source):
    """The packages that a source imports, anywhere in it; those of quiet modules left out."""
    for node in ast.walk(ast.parse(source)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module or ""]
        yield from (module.partition(".")[0] for module in modules if module not in QUIET)


def watched(code, folder):
    """A process of its own that ends with words where it would talk."""
    command = [sys.executable, "-c", WATCH + code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_no_module_imports_what_talks():
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 100
    talking = {p.name: found for p in paths if (found := TALKERS & set(imported(p.read_text())))}
    assert not talking


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "def f():\n    from urllib.request import urlopen",
        "import multiprocessing",
        "from multiprocessing.connection import Client",
    ],
)
def test_an_import_of_what_talks_is_seen(source):
    assert TALKERS & set(imported(source))


def test_a_session_opens_no_socket(tmp_path):
    done = watched(SESSION, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "fit.nc").stat().st_size > 0 and (tmp_path / "second.html").exists()


@pytest.mark.parametrize("call", ["socket.socket()", "socket.getaddrinfo('localhost', 80)"])
def test_an_opened_socket_is_seen(call, tmp_path):
    done = watched(f"import socket\n{call}", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("socket.")


def test_an_address_is_no_file(tmp_path):
    code = (
        "import bayesglmm as bg\n"
        "for read in (bg.read_csv, bg.load):\n"
        "    try:\n"
        "        read('https://localhost/data.csv')\n"
        "    except (ValueError, OSError) as error:\n"
        "        print('refused')\n"
    )
    done = watched(code, tmp_path)
    assert done.stdout.split() == ["refused", "refused"], done.stderr

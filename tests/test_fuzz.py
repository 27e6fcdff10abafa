"""Inputs made by chance: refused in words of our own, and nothing of them is ever run.

Each day has its own seed, printed by a test that fails; `diagnostics.fuzz` runs many more.
"""

import random
import time
import warnings
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import fuzz
import pytest

from bayesglmm import blocks, frames, prior_text
from bayesglmm.design import build
from bayesglmm.errors import DataError, DataWarning, FormulaError, PriorError
from bayesglmm.model import glmm

SEED = int(f"{datetime.now(UTC):%Y%m%d}")
FORMULAS, TABLES, FILES, TEXTS = 1500, 250, 25, 1000
MAX_SECONDS = 1.0  # of the processor, for one formula
FORMULAS_OF_DATA = (
    "y ~ x + f + (1 | g)",
    "y ~ x * f + (x | g)",
    "y | trials(n) ~ x",
    "y ~ scale(x) + poly(w, 2) + (1 | f/g)",
    "y | weights(w2) ~ log1p(x) + offset(w)",
    "y ~ factor(x) + (1 | x)",
)
FAMILIES = ("gaussian", "poisson", "bernoulli", "binomial", "gamma", "negative_binomial")


def family(formula: str) -> str:
    """Return the family whose checks a formula may pass."""
    of_trials = any(word in formula for word in ("trials(", "cbind(", "prop("))
    return "binomial" if of_trials else "gaussian"


def formulas(seed: int, count: int, folder: Path) -> tuple[Counter[str], float]:
    """Read and evaluate formulas; return how many were accepted, and the longest time."""
    rng, data, canary = random.Random(f"formula {seed}"), fuzz.frame(), folder / "canary"
    found: Counter[str] = Counter()
    longest = 0.0
    with warnings.catch_warnings(action="ignore"):
        for good in fuzz.GOOD:  # whatever is imported late is imported here
            build(good, data, family(good))
        for k in range(count):
            attacks = len(fuzz.ATTACKS)
            text = fuzz.formula(rng, canary)
            if k < attacks:
                text = f"y ~ x + {fuzz.ATTACKS[k].format(canary)}"
            begun = time.process_time()
            with fuzz.watched() as events:
                try:
                    build(text, data, family(text))
                    found["accepted"] += 1
                except (FormulaError, DataError):
                    found["refused"] += 1
                except BaseException as error:
                    raise AssertionError(f"{text!r}: {error!r}") from error
            spent = time.process_time() - begun
            longest = max(longest, spent)
            assert not events, (text, events)
            assert spent < MAX_SECONDS, (text, spent)
    assert not canary.exists()
    return found, longest


def tables(seed: int, count: int, folder: Path) -> Counter[str]:
    """Read CSV files, and models of strange data frames."""
    rng, path = random.Random(f"table {seed}"), folder / "data.csv"
    found: Counter[str] = Counter()
    for k in range(count):
        path.write_bytes(fuzz.table(rng))
        with warnings.catch_warnings(record=True) as said, fuzz.watched():
            warnings.simplefilter("always")
            try:
                frames.read_columns(path)
                found["CSV file accepted"] += 1
            except DataError:
                found["CSV file refused"] += 1
            except BaseException as error:
                raise AssertionError(f"table {k}, {path.read_bytes()!r}: {error!r}") from error
        assert not said
        with warnings.catch_warnings(action="ignore"):
            data = fuzz.data(rng)
        more = {"missing": "drop"} if rng.random() < 0.3 else {}
        more |= {"weights": fuzz.column(rng, 8)} if rng.random() < 0.1 else {}
        formula, chosen = rng.choice(FORMULAS_OF_DATA), rng.choice(FAMILIES)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                glmm(formula, data, chosen, **more)
                found["data frame accepted"] += 1
            except (DataError, FormulaError):
                found["data frame refused"] += 1
            except BaseException as error:
                raise AssertionError(f"data {k}, {formula}, {data!r}, {more}: {error!r}") from error
        assert all(issubclass(each.category, DataWarning) for each in said), (k, said[0])
    return found


def files(seed: int, count: int, folder: Path, kind: str) -> Counter[str]:
    """Read altered files of a kind in processes of their own."""
    found = fuzz.read_altered(kind, seed, count, folder)
    faults = [each for each in found if each.outcome not in ("loaded", "refused")]
    faults = [each for each in faults if not each.outcome.startswith("not made")]
    assert len(found) == count and not faults, faults[:5]
    # What is altered without its checksum is always found, if the file has one.
    plain = [each for each in found if each.way == "bytes" and kind != "effects.nc"]
    assert all(each.outcome == "refused" for each in plain)
    return Counter(each.outcome for each in found)


def test_formulas_run_nothing_and_end(tmp_path):
    found, _ = formulas(SEED, FORMULAS, tmp_path)
    assert found["accepted"] > FORMULAS / 50  # the generator does reach the evaluation


def test_tables_are_refused_in_words(tmp_path):
    found = tables(SEED, TABLES, tmp_path)
    assert min(found.values()) > TABLES / 20


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    fuzz.make(folder)
    return folder


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_altered_files_are_refused_and_nothing_else_happens(kind, good_files):
    found = files(SEED, FILES, good_files, kind)
    assert found["refused"] > FILES / 10


def test_texts_of_priors_and_blocks_are_refused_in_words(tmp_path):
    rng, canary = random.Random(f"text {SEED}"), tmp_path / "canary"
    good = ["normal(0, 2.5)", "inverse_wishart(4, [[1, 0], [0, 1]])", "inverse(exponential(1))"]
    with warnings.catch_warnings(action="ignore"):
        for text in good:
            prior_text.parse(text)
        for k in range(TEXTS):
            text = fuzz.mutated_text(rng, rng.choice(good))
            text = rng.choice(fuzz.ATTACKS).format(canary) if k % 9 == 0 else text
            # Parsing a text into a tree compiles nothing that is run.
            with fuzz.watched() as events:
                for read, refusal in ((prior_text.parse, PriorError), (blocks.parsed, DataError)):
                    try:
                        read(text)
                    except refusal:
                        pass
                    except BaseException as error:
                        raise AssertionError(f"{text!r}: {error!r}") from error
            assert not [e for e in events if not e.startswith("compile")], (text, events)
    assert not canary.exists()


# --- the watch itself can see --------------------------------------------------------------------


def test_the_watch_sees_what_is_run(tmp_path):
    deeds = {
        "exec": lambda: exec("1 + 1"),
        "open": lambda: (tmp_path / "made").write_text("x"),
        "os.mkdir": lambda: (tmp_path / "folder").mkdir(),
        "pickle.find_class": lambda: __import__("pickle").loads(b"cbuiltins\nlist\n."),
        "subprocess.Popen": lambda: __import__("subprocess").run(["true"]),
    }
    for event, deed in deeds.items():
        with fuzz.watched() as events:
            deed()
        assert any(each.startswith(event) for each in events), event
    with fuzz.watched(tmp_path) as events:
        (tmp_path / "made").write_text("x")
    assert not events


def test_a_formula_that_were_run_would_be_seen(tmp_path):
    canary = tmp_path / "canary"
    with fuzz.watched() as events:
        eval(f"open({str(canary)!r}, 'w')").close()
    assert events and canary.exists()


def test_nothing_that_unpickles_is_imported_by_reading(good_files):
    """Neither by what `load` imports itself: what numba and others need is there before."""
    code = (
        "import sys, fuzz, bayesglmm, bayesglmm.io, h5py\n"
        "class Refusing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('joblib', 'dill', 'cloudpickle', 'marshal', 'shelve'):\n"
        "            raise AssertionError(name)\n"
        "sys.meta_path.insert(0, Refusing())\n"
        "import pickle\n"
        "def refuse(*arguments, **options): raise AssertionError('unpickled')\n"
        "fuzz.read_one('posterior.nc', sys.argv[1] + '/posterior.nc', None)\n"
        "pickle.loads = pickle.load = pickle.Unpickler = refuse\n"
        "for name in ('posterior.nc', 'fit.nc'):\n"
        "    fuzz.read_one(name, sys.argv[1] + '/' + name, None)\n"
    )
    done = fuzz.elsewhere(["-c", code, str(good_files)])
    assert done.returncode == 0, done.stderr


def test_every_kind_of_alteration_is_made(good_files, tmp_path):
    rng = random.Random(1)
    for name, least in (("posterior.nc", 10), ("run.ckpt", 10)):
        source = (good_files / name).read_bytes()
        made = set()
        for _ in range(30):
            path = tmp_path / name
            path.write_bytes(source)
            fuzz.alter(rng, path)
            made.add(path.read_bytes())
        assert len(made - {source}) > least


def test_good_files_are_read(good_files):
    model = fuzz.subject()
    for kind in fuzz.KINDS:
        fuzz.read_one(kind, good_files / kind, model)

"""Our maximum-likelihood fits agree with those of lme4, glmmTMB and exact pseudo-likelihood."""

import pytest
from ml_cases import CASES
from ml_references import FILES, MISSING, compare, records

pytestmark = pytest.mark.reference

# Thousands of levels: seconds each. `diagnostics.ml_references` fits them.
LARGE = ("insteval", "verbagg", "abortion__ri__lme4_AGQ")
RECORDS = [record for record in records() if not record.name.startswith(LARGE)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_fit_agrees(record):
    compared = compare(record)
    assert compared.verdict != "MISS", (compared.broken, compared.found)
    if not compared.reason:
        assert compared.found.keys() >= record.limits.keys() - {"se", "cor", "mode", "loglik"}


def test_every_record_has_a_model():
    assert {record.case for record in records()} - set(MISSING) == set(CASES)
    assert len(list(FILES.glob("*.json"))) > 90

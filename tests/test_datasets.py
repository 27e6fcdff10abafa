"""Data sets: their sizes and totals as published, sources, and the models they name."""

import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm import datasets
from bayesglmm.design import build
from bayesglmm.errors import DataError

# Rows, groups of the known model, and total of the response: the published sizes (Koch's table
# has 1020 outcomes of 340 patients), totals counted in the copies that the sources name.
SIZES = {
    "epilepsy": (236, {"id": 59}, "seizures"),
    "epil": (236, {"subject": 59}, "y"),
    "sleepstudy": (180, {"Subject": 18}, "Reaction"),
    "cbpp": (56, {"herd": 15}, "incidence"),
    "rikz": (45, {"Beach": 9}, "Richness"),
    "depression": (1020, {"case": 340}, "outcome"),
    "penicillin": (144, {"plate": 24, "sample": 6}, "diameter"),
    "salamander": (360, {"Female": 60, "Male": 60}, "Mate"),
    "tvsfp": (1600, {"school": 28, "school:class": 135}, "thksbin"),
}


def test_every_data_set_is_listed():
    table = datasets.list_datasets()
    assert tuple(table.index) == datasets.names() == tuple(SIZES)
    assert [name for name, _ in datasets.describe()] == list(SIZES)
    assert (table[["title", "columns", "source", "carrier", "formula"]] != "").all(axis=None)


@pytest.mark.parametrize("name", SIZES)
def test_known_model_reads_without_warning(name):
    rows, groups, response = SIZES[name]
    about = datasets.DATASETS[name]
    frame = bg.load_dataset(name)
    design = build(about.formula, frame, about.family)
    plain = build(about.formula, datasets.load_columns(name), about.family)
    assert (design.X == plain.X).all() and design.factors[0].levels == plain.factors[0].levels
    assert len(frame) == rows == len(design.rows)
    assert {f.name: len(f.levels) for f in design.factors} == groups
    assert design.response.name == response
    assert design.warnings == ()
    assert all(column.strip() in about.columns for column in frame.columns)


@pytest.mark.parametrize("name", SIZES)
def test_references_come_first(name):
    frame = bg.load_dataset(name)
    for column, levels in datasets.DATASETS[name].levels.items():
        assert tuple(frame[column].cat.categories) == levels
        assert set(frame[column]) == set(levels)
    others = set(frame.columns) - set(datasets.DATASETS[name].levels)
    assert all(pd.api.types.is_numeric_dtype(frame[column]) for column in others)


def test_the_two_copies_of_the_seizures_differ_in_one_count():
    ours, other = bg.load_dataset("epilepsy"), bg.load_dataset("epil")
    differs = (ours.seizures != other.y).to_numpy()
    assert ours[differs][["id", "visit", "seizures"]].to_numpy().tolist() == [[8, 3, 23]]
    assert other.y[differs].tolist() == [21]
    assert (ours.base == other.base).all()


def test_depression_is_the_published_table():
    first = bg.load_dataset("depression").query("time == 0")
    counts = first.groupby(["diagnose", "treat"], observed=True).size()
    assert counts.to_dict() == {
        ("mild", "standard"): 80,
        ("mild", "new"): 70,
        ("severe", "standard"): 100,
        ("severe", "new"): 90,
    }


def test_unknown_names_are_refused():
    with pytest.raises(DataError, match="no data set 'iris'; there are epilepsy"):
        bg.load_dataset("iris")

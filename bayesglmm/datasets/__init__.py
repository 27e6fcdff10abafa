"""Data sets that come with the package: published, small, each with its source and a model."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from ..columns import Column


@dataclass(frozen=True)
class Dataset:
    """What a data set is and where it comes from.

    Attributes
    ----------
    name, title : str
        What it is called, and what it holds.
    columns : str
        Meaning and units of its columns.
    source : str
        Where the numbers were published.
    carrier : str
        Whence this copy was taken, and the licence of that package; the numbers are facts.
    formula, family : str
        A model that the data are known for.
    levels : dict
        Levels of the categorical columns, the reference first.
    """

    name: str
    title: str
    columns: str
    source: str
    carrier: str
    formula: str
    family: str
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)


_ALL = (
    Dataset(
        "epilepsy",
        "Seizures of 59 patients in 4 two-week visits, HSAUR3's copy (236 rows)",
        "id patient; visit 1-4; seizures count in two weeks; treat placebo/Progabide; base "
        "seizures in the 8 weeks before; age years. Differs from epil in one count: id 8, visit 3.",
        "Thall and Vail (1990), Biometrics 46, 657-671",
        "R package HSAUR3 1.0-13 (GPL-2)",
        "seizures ~ log(base) * treat + log(age) + visit + (visit | id)",
        "poisson",
        {"treat": ("placebo", "Progabide")},
    ),
    Dataset(
        "epil",
        "The same seizures, MASS's copy with its derived columns (236 rows)",
        "y count in two weeks; trt placebo/progabide; base seizures in the 8 weeks before; age "
        "years; V4 1 in period 4; subject; period 1-4; lbase, lage centred logs of base and age.",
        "Thall and Vail (1990), Biometrics 46, 657-671",
        "R package MASS 7.3-58.2 (GPL-2 or GPL-3)",
        "y ~ lbase * trt + lage + V4 + (1 | subject)",
        "poisson",
        {"trt": ("placebo", "progabide")},
    ),
    Dataset(
        "sleepstudy",
        "Reaction times of 18 subjects over 10 days of sleep deprivation (180 rows)",
        "Reaction ms, mean of a day; Days 0-9; Subject.",
        "Belenky et al. (2003), Journal of Sleep Research 12, 1-12",
        "R package lme4 1.1-31 (GPL >= 2)",
        "Reaction ~ Days + (Days | Subject)",
        "gaussian",
    ),
    Dataset(
        "cbpp",
        "Cases of contagious bovine pleuropneumonia in 15 herds over 4 periods (56 rows)",
        "herd; incidence new cases; size of the herd; period 1-4, categorical.",
        "Lesnoff et al. (2004), Veterinary Research 35, 101-118",
        "R package lme4 1.1-31 (GPL >= 2)",
        "incidence | trials(size) ~ period + (1 | herd)",
        "binomial",
        {"period": ("1", "2", "3", "4")},
    ),
    Dataset(
        "rikz",
        "Species found at 5 places on each of 9 Dutch beaches (45 rows)",
        "Sample 1-45; Richness number of species; Exposure index of the beach 8, 10 or 11; NAP "
        "height in m relative to mean tidal level; Beach.",
        "Zuur, Ieno and Smith (2007), Analysing Ecological Data; RIKZ (2002)",
        "R package AED 1.5 (GPL)",
        "Richness ~ NAP + (1 | Beach)",
        "poisson",
    ),
    Dataset(
        "depression",
        "Normal mood of 340 patients under two treatments at weeks 1, 2 and 4 (1020 rows)",
        "case patient; diagnose mild/severe; treat standard/new; time log2 of the week, 0-2; "
        "outcome 1 normal, 0 abnormal.",
        "Koch et al. (1977), Biometrics 33, 133-158; Agresti, Categorical Data Analysis",
        "rebuilt from the published table of counts",
        "outcome ~ diagnose + treat * time + (1 | case)",
        "bernoulli",
        {"diagnose": ("mild", "severe"), "treat": ("standard", "new")},
    ),
    Dataset(
        "penicillin",
        "Growth inhibited by 6 samples of penicillin on each of 24 plates (144 rows)",
        "diameter mm of the zone without growth; plate; sample.",
        "Davies and Goldsmith (1972), Statistical Methods in Research and Production",
        "R package lme4 1.1-31 (GPL >= 2)",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        "gaussian",
        {"plate": tuple("abcdefghijklmnopqrstuvwx"), "sample": tuple("ABCDEF")},
    ),
    Dataset(
        "salamander",
        "Matings of 60 female and 60 male salamanders of two kinds (360 rows)",
        "Mate 1 mated, 0 not; Cross kinds of female/male, R rough butt, W whiteside; Female; Male.",
        "McCullagh and Nelder (1989), Generalized Linear Models, section 14.5",
        "R package glmm (GPL-2)",
        "Mate ~ 0 + Cross + (1 | Female) + (1 | Male)",
        "bernoulli",
        {"Cross": ("R/R", "R/W", "W/R", "W/W")},
    ),
    Dataset(
        "tvsfp",
        "Smoking prevention among pupils of 135 classes in 28 schools (1600 rows)",
        "school; class, its id unique; thksord score of knowledge afterwards in quarters 1-4; "
        "thksbin 1 in the upper half; thkspre score before; cc social-resistance lessons 0/1; tv "
        "television 0/1.",
        "Flay et al. (1988), Preventive Medicine 17, 585; Hedeker and Gibbons (1996)",
        "R package mixor (GPL >= 2)",
        "thksbin ~ thkspre + cc * tv + (1 | school / class)",
        "bernoulli",
    ),
)
DATASETS = {dataset.name: dataset for dataset in _ALL}


def names() -> tuple[str, ...]:
    """Names of the data sets."""
    return tuple(DATASETS)


def describe() -> list[tuple[str, str]]:
    """Name and title of each data set."""
    return [(dataset.name, dataset.title) for dataset in _ALL]


def list_datasets() -> "pd.DataFrame":
    """Table of the data sets: titles, columns, sources and known models, by name."""
    import pandas as pd

    return pd.DataFrame([asdict(dataset) for dataset in _ALL]).set_index("name")


def path(name: str) -> Path:
    """File of a data set, a CSV without its categories.

    Raises
    ------
    DataError
        If there is none of that name.
    """
    if name not in DATASETS:
        raise DataError(f"there is no data set {name!r}; there are {', '.join(DATASETS)}")
    return Path(__file__).with_name(f"{name}.csv")


def load_dataset(name: str) -> "pd.DataFrame":
    """Load a data set that comes with the package.

    Parameters
    ----------
    name : str
        One of those that ``bayesglmm datasets`` and `datasets.list_datasets` list.

    Returns
    -------
    pandas.DataFrame
        Numbers, and categorical columns with the reference level first.

    Raises
    ------
    DataError
        If there is none of that name.
    """
    from .. import series

    return series.frame(load_columns(name))


def load_columns(name: str) -> dict[str, "Column"]:
    """Load the same data set as columns by name, which a model takes too, without pandas."""
    from ..frames import read_columns

    levels = DATASETS[name].levels if name in DATASETS else {}
    columns = read_columns(path(name), factors=list(levels))
    ordered = {column: columns[column].with_categories(order) for column, order in levels.items()}
    return columns | ordered

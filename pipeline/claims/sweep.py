"""Where Co-Tuning wins over vanilla: one setting at a time, the others as in the table."""

import pandas as pd

from pipeline.claims.table import paired
from pipeline.params.claims_sections import SWEPT

IMAGES = "images_per_class"
MEASURES = ("knowledge_nats", "leep", "g_accuracy")
LEARNED = ("auto", "direct", "reverse", "reverse by likelihood")


def sweep_gains(cells: pd.DataFrame) -> pd.DataFrame:
    """Paired gain over vanilla by value of each setting that was swept, and by images a class.

    Args:
        cells: columns images_per_class, steps, learning_rate, source_weight, input_size,
            taught_by, seed, accuracy, and swept: the setting in which the cell differs from the
            table, empty where it is one of the table's.

    Returns:
        Columns setting, value, taught_by, and gain, gain_low, gain_high: mean accuracy to
        vanilla of the same seed, steps, learning rate and input size, with its 95% interval
        (Student's t).
    """
    keys = [IMAGES, "steps", "learning_rate", "input_size", "seed"]
    baseline = cells[cells["taught_by"] == "vanilla"].drop_duplicates(keys)
    taught = cells[cells["taught_by"] != "vanilla"].join(
        baseline.set_index(keys)["accuracy"], on=keys, rsuffix="_vanilla"
    )
    taught = taught.assign(difference=taught["accuracy"] - taught["accuracy_vanilla"])
    in_table = taught["swept"].isna()
    fewest = taught[IMAGES] == taught.loc[in_table, IMAGES].iloc[0]
    rows = []
    for setting in (IMAGES, *SWEPT):
        shown = (
            in_table if setting == IMAGES else (in_table & fewest) | (taught["swept"] == setting)
        )
        if taught.loc[shown, setting].nunique() < 2:
            continue
        for (value, label), group in taught[shown].groupby([setting, "taught_by"], sort=False):
            identity = {"setting": setting, "value": value, "taught_by": label}
            rows.append(identity | dict(paired(group["difference"], "gain")))
    return pd.DataFrame(rows)


def by_input_size(cells: pd.DataFrame) -> pd.DataFrame:
    """What the relationship of `auto` is worth and knows on larger and larger images.

    Args:
        cells: as of sweep_gains, of rows taught by auto and by its shuffled rows.

    Returns:
        Columns input_size (pixels); gain, gain_low, gain_high: mean accuracy over the shuffled R
        of the same seed, with its 95% interval (Student's t); and of MEASURES the mean over seeds
        and, as <measure>_sd, the standard deviation.
    """
    shown = cells[cells["swept"].isna() | (cells["swept"] == "input_size")]
    shown = shown[shown[IMAGES] == shown[IMAGES].iloc[0]]
    rows = []
    for size, group in shown.groupby("input_size"):
        learned, shuffled = (
            group[group["taught_by"] == label].set_index("seed") for label in ("auto", "shuffled")
        )
        row = {"input_size": size} | dict(
            paired(learned["accuracy"] - shuffled["accuracy"], "gain")
        )
        for measure in MEASURES:
            row |= {measure: learned[measure].mean(), f"{measure}_sd": learned[measure].std()}
        rows.append(row)
    return pd.DataFrame(rows)


def recovery(cells: pd.DataFrame) -> pd.DataFrame:
    """How well each way of learning recovers the true relationship, by images a class.

    Returns:
        Columns images_per_class, taught_by, and mean and standard deviation over seeds of
        recovered_mass in [0, 1] and divergence_from_truth in nats.
    """
    measures = ["recovered_mass", "divergence_from_truth"]
    known = cells[cells["taught_by"].isin(LEARNED) & cells["swept"].isna()]
    groups = known.groupby([IMAGES, "taught_by"], sort=False)[measures]
    return groups.mean().join(groups.std(), rsuffix="_sd").reset_index()

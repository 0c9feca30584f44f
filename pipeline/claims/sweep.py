"""Where Co-Tuning wins over vanilla: one setting at a time, the others as in the table."""

import pandas as pd

from pipeline.claims.table import paired
from pipeline.params.claims_sections import SWEPT

IMAGES = "images_per_class"
LEARNED = ("auto", "direct", "reverse", "reverse by likelihood")


def sweep_gains(cells: pd.DataFrame) -> pd.DataFrame:
    """Paired gain over vanilla by value of each setting that was swept, and by images a class.

    Args:
        cells: columns images_per_class, steps, learning_rate, source_weight, taught_by, seed,
            accuracy, and swept: the setting in which the cell differs from the table, empty where
            it is one of the table's.

    Returns:
        Columns setting, value, taught_by, and gain, gain_low, gain_high: mean accuracy to
        vanilla of the same seed, steps and learning rate, with its 95% interval (Student's t).
    """
    keys = [IMAGES, "steps", "learning_rate", "seed"]
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

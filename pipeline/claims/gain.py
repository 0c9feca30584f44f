"""Does what a relationship knows, seen before any training, predict what training gains from it?"""

from collections.abc import Mapping

import pandas as pd
from scipy.stats import spearmanr

from pipeline.params.methods import BASELINE

KNOWLEDGE = ("knowledge_nats", "knowledge_accuracy", "knowledge_log_likelihood")
GAINS = ("accuracy_gain", "nll_gain")
NOT_LEARNED = ("uniform", "marginal", "shuffled", "truth")


def gains(studies: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a study, rate, row of the table and seed that was taught by a relationship.

    What was swept around the table is left out: the relationship is the same there.

    Args:
        studies: cells by name of the study, as fine-tune-cells writes them.

    Returns:
        Columns study, images_per_class, row, seed, control (whether R is not learned), of
        KNOWLEDGE, and of GAINS, each against vanilla on the same sample: accuracy_gain in
        percentage points, nll_gain in nats, both positive where the row is better.
    """
    tables = []
    for study, cells in studies.items():
        keys = ["images_per_class", "steps", "learning_rate", "seed"]
        baseline = cells[cells["taught_by"] == BASELINE].set_index(keys)[["accuracy", "nll"]]
        in_table = cells[cells["swept"].isna()]
        taught = in_table[in_table["relationship"].notna() & in_table["knowledge_nats"].notna()]
        paired = taught.join(baseline, on=keys, rsuffix="_vanilla")
        tables.append(
            paired.assign(
                study=study,
                control=paired["relationship"].isin(NOT_LEARNED),
                accuracy_gain=100 * (paired["accuracy"] - paired["accuracy_vanilla"]),
                nll_gain=paired["nll_vanilla"] - paired["nll"],
            )
        )
    columns = ["study", "images_per_class", "row", "seed", "control", *KNOWLEDGE, *GAINS]
    return pd.concat(tables, ignore_index=True)[columns]


def over_seeds(points: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, with the standard errors of the gains; a row a study, rate and row."""
    groups = points.groupby(["study", "images_per_class", "row", "control"], sort=False)
    errors = groups[list(GAINS)].sem().add_suffix("_error")
    return groups[[*KNOWLEDGE, *GAINS]].mean().join(errors).reset_index()


def rank_correlations(means: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlation of each measure of knowledge with each gain.

    Args:
        means: of over_seeds.

    Returns:
        Columns knowledge, gain, points (`all`, `learned` without controls, or `within a study`:
        the learned ones, ranked in each study alone and pooled), count, correlation; NaN where
        a rank is that of all.
    """
    learned = means[~means["control"]]
    measures = [*KNOWLEDGE, *GAINS]
    within = learned.groupby("study")[measures].rank(pct=True)
    rows = [
        {
            "knowledge": knowledge,
            "gain": gain,
            "points": name,
            "count": len(table),
            "correlation": float(spearmanr(table[knowledge], table[gain]).statistic),
        }
        for knowledge in KNOWLEDGE
        for gain in GAINS
        for name, table in (("all", means), ("learned", learned), ("within a study", within))
    ]
    return pd.DataFrame(rows)

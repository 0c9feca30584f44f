"""What a report tells, made up."""

import pandas as pd

from pipeline.artifacts import Best, Calibration
from pipeline.datasets.sizes import Sizes
from pipeline.params import Params
from pipeline.report.metrics import METRICS
from pipeline.report.paired import PairedDifference
from pipeline.report.results import Results
from pipeline.search.choice import Gain, Recommendation
from pipeline.search.difference import Difference

BETTER = PairedDifference(0.022, 0.009, 0.035, 0.0012, 100, 144, 2000, (0.022,))
WORSE = PairedDifference(-0.031, -0.045, -0.017, 1e-7, 144, 82, 2000, (-0.031,))
NEITHER = PairedDifference(0.003, -0.008, 0.014, 0.58, 70, 76, 2000, (0.003,))
PICTURES = {"comparison.png", "trials.png", "reliability.png", "relationship.png", "training.png"}


def gain(mean: float, error: float) -> Gain:
    return Gain(
        Difference(mean, error, mean - 2 * error, mean + 2 * error),
        Difference(0.033, 0.02, -0.007, 0.073),
    )


def recommending(method: str, runner_up: str, mean: float, error: float) -> Best:
    found = Recommendation(method, runner_up, gain(mean, error).log_likelihood)
    gains = {"co-tuning": gain(0.2, 0.05), "linear-probe": gain(-0.1, 0.05)}
    return Best(1.2, 1.0, 3, gains, found)


def results() -> Results:
    labels = [0] * 8 + [1] * 9 + [0, 1] * 3
    splits = ["train"] * 17 + ["validation"] * 2 + ["test"] * 4
    values = dict.fromkeys(METRICS, 0.5) | {
        "own_temperature": 1.25,
        "own_temperature_at_bound": 0.0,
        "intervals": {key: [0.4, 0.6] for key in METRICS},
    }
    epochs = {"epoch": [1, 2, 3], "validation_nll": [0.9, 0.6, 0.7], "kept": [False, True, False]}
    history = pd.DataFrame(epochs | {"validation_accuracy": [0.6, 0.72, 0.75]})
    trials = {
        **{"number": [0, 1, 2], "state": ["COMPLETE", "COMPLETE", "PRUNED"]},
        **{"source_weight": [0.0, 2.3, 4.0], "temperature": [1.9, 1.9, 1.0]},
        **{"held_out_nll": [0.9, 0.7, None], "held_out_accuracy": [0.5, 0.6, None]},
        **{"gain": [None, 0.2, None], "gain_low": [None, 0.1, None]},
        **{"gain_high": [None, 0.3, None]},
    }
    return Results(
        params=Params(seed=7),
        sizes=Sizes(112, 128, 224),
        classes=["cat", "a|b"],
        manifest=pd.DataFrame({"split": splits, "label": labels}),
        metrics={"vanilla": values, "co-tuning": values},
        differences={"co-tuning": BETTER},
        losses={"co-tuning": {"nll": (-0.07, -0.11, -0.03), "calibrated_nll": (0.01, -0.02, 0.04)}},
        histories={"vanilla": history, "co-tuning": history},
        calibration=Calibration(1.73, "target-likelihood", False, 1.25, 1.125, 0.25, 0.125),
        best=recommending("co-tuning", "vanilla", 0.2, 0.05),
        trials=pd.DataFrame(trials),
        diagnostics={
            "direction": "direct",
            "pseudo_samples": 3.0,
            "knowledge": {
                "nats": 0.51,
                "standard_error": 0.05,
                "accuracy": 0.75,
                "log_likelihood": -0.9,
            },
            "leep": -0.4,
            "nce": -0.5,
            "row_entropy": {"cat": 0.5, "a|b": 1.5},
            "most_similar_rows": {"first": "cat", "second": "a|b", "cosine": 0.97},
            "classifier": {"validation_accuracy": 0.6, "majority_accuracy": 0.55},
            "warnings": ["cat and a|b have nearly the same row"],
        },
        top_categories=pd.DataFrame(
            {
                "class": ["cat", "cat", "a|b"],
                "rank": [1, 2, 1],
                "category": ["tabby, tabby cat", "lynx", "dingo"],
                "probability": [0.6, 0.25, 0.4],
            }
        ),
        gains=pd.DataFrame(),
        source_heads={},
        pictures=PICTURES,
    )

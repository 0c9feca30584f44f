"""How MLflow's page begins by a link: evaluations by method, with the means over samples.

The page has no columns of metrics or params until somebody chooses them; a view that is shared lies
in a tag of the experiment, as its own button for sharing leaves it.
"""

import json

from mlflow import MlflowClient
from mlflow.entities import Experiment

NAME = "evaluations"  # in the link: /#/experiments/<id>/runs?viewStateShareKey=evaluations
TAG = f"mlflow.sharedViewState.{NAME}"
COLUMNS = (
    *("params.`method`", "params.`seed`"),
    *("metrics.`accuracy`", "metrics.`nll`", "metrics.`calibrated_nll`"),
)
STATE = json.dumps(
    {
        "searchFilter": "tags.stage = 'evaluate'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": COLUMNS,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsHiddenMode": "FIRST_20_RUNS",
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": "method"}],
        },
        "compareRunCharts": [],
        "compareRunSections": [],
    }
)


def share_view(client: MlflowClient, experiment: Experiment) -> None:
    """Leave the view with an experiment that has it not, or an older one."""
    if experiment.tags.get(TAG) != STATE:
        client.set_experiment_tag(experiment.experiment_id, TAG, STATE)

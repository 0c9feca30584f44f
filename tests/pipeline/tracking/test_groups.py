"""The tree of grouped runs, in a real database, made by one or by several at once."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sharing import Started, let_go
from work import GROUPS, record_runs

from pipeline.tracking.groups import PARENT, group_run, grouped_run
from pipeline.tracking.store import experiment_name


@pytest.fixture
def claims(project: Path) -> Path:
    """A pipeline's folder inside the project."""
    (project / ".dvc").mkdir()
    (project / "params.yaml").touch()
    folder = project / "experiments" / "claims"
    folder.mkdir(parents=True)
    return folder


def client(project: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def runs(project: Path) -> list[Run]:
    names = client(project).search_experiments()
    found = client(project).search_runs([one.experiment_id for one in names])
    return sorted(found, key=lambda run: run.info.start_time)


def lines(project: Path) -> list[tuple[str, ...]]:
    """The name of each run after those of the runs above it, sorted."""
    by_id = {run.info.run_id: run for run in runs(project)}

    def path(run: Run) -> tuple[str, ...]:
        parent = run.data.tags.get(PARENT)
        above = path(by_id[parent]) if parent else ()
        return (*above, run.info.run_name)

    return sorted(path(run) for run in by_id.values())


def record(root: Path, row: str, seed: int, grid: str = "a1", accuracy: float = 0.5) -> Run:
    groups = (*GROUPS[:2], row)
    params: Mapping[str, object] = {"learning_rate": 0.1, "peers": {"bss": {"strength": 2}}}
    with grouped_run(root, grid, groups, f"seed {seed}", params) as run:
        run.log_metrics({"accuracy": accuracy})
    return run.client.get_run(run.run_id)


def test_runs_hang_below_their_groups_which_are_made_once(project: Path) -> None:
    for row in ("vanilla", "co-tuning"):
        for seed in (0, 1):
            record(project, row, seed)
    stage, rate = GROUPS[:2]
    assert lines(project) == [
        (stage,),
        (stage, rate),
        *((stage, rate, "co-tuning", *seed) for seed in ((), ("seed 0",), ("seed 1",))),
        *((stage, rate, "vanilla", *seed) for seed in ((), ("seed 0",), ("seed 1",))),
    ]


def test_a_run_holds_its_params_its_numbers_and_how_it_ended(project: Path) -> None:
    run = record(project, "co-tuning", 3, accuracy=0.75)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"learning_rate": "0.1", "peers.bss.strength": "2"}
    assert run.data.metrics == {"accuracy": 0.75}
    groups = {f"group {depth}": name for depth, name in enumerate(GROUPS, 1)}
    assert (groups | {"grid": "a1"}).items() <= run.data.tags.items()


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_run_that_fails_says_so_and_its_groups_do_not(
    project: Path, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), grouped_run(project, "a1", GROUPS, "seed 0", {}):
        raise error
    assert {run.info.run_name: run.info.status for run in runs(project)} == {
        **dict.fromkeys(GROUPS, "FINISHED"),
        "seed 0": status,
    }


def test_a_group_that_exists_is_found_again_and_takes_numbers(project: Path) -> None:
    first = group_run(project, "a1", GROUPS)
    record(project, "co-tuning", 0)
    group = group_run(project, "a1", GROUPS)
    assert group.run_id == first.run_id
    group.log_metrics({"accuracy_mean": 0.5})
    group.log_metrics({"accuracy_mean": 0.6})
    assert client(project).get_run(group.run_id).data.metrics == {"accuracy_mean": 0.6}
    assert group_run(project, "a1", GROUPS[:1]).run_id != group.run_id
    assert len(runs(project)) == len(GROUPS) + 1


def test_groups_of_the_same_name_in_other_places_are_other_groups(project: Path) -> None:
    other = (GROUPS[0], "100 images a class", GROUPS[2])
    assert group_run(project, "a1", GROUPS).run_id != group_run(project, "a1", other).run_id
    assert [line for line in lines(project) if line[-1] == GROUPS[2]] == [other, GROUPS]


def test_another_grid_has_groups_of_its_own(project: Path) -> None:
    ids = [group_run(project, grid, GROUPS).run_id for grid in ("a1", "b2", "a1")]
    assert ids[0] == ids[2] != ids[1]
    assert lines(project) == sorted(2 * [GROUPS[:1], GROUPS[:2], GROUPS])


def test_threads_that_make_a_group_at_once_share_it(project: Path) -> None:
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: group_run(project, "a1", GROUPS).run_id, range(12)))
    assert len(set(found)) == 1
    assert lines(project) == [GROUPS[:1], GROUPS[:2], GROUPS]


@pytest.mark.processes
def test_processes_that_make_a_group_at_once_share_it(project: Path) -> None:
    processes = [Started(record_runs, project, 3) for _ in range(3)]
    let_go(*processes)
    assert [process.end() for process in processes] == [0, 0, 0]
    seeds = [(*GROUPS, f"seed {seed}") for seed in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
    assert lines(project) == [GROUPS[:1], GROUPS[:2], GROUPS, *seeds]
    assert {run.info.status for run in runs(project)} == {"FINISHED"}


def test_a_pipeline_below_a_repository_has_its_own_experiment_in_the_same_database(
    project: Path, claims: Path
) -> None:
    run = record(claims, "co-tuning", 0)
    experiment = client(project).get_experiment(run.info.experiment_id)
    assert experiment.name == experiment_name(claims) == "claims"
    assert experiment.artifact_location == (project / "mlruns").as_uri()
    assert not [path for path in claims.rglob("*") if path.name != "claims"]
    assert experiment_name(project) == "co-tuning"
    main = record(project, "co-tuning", 0)
    assert main.info.experiment_id != run.info.experiment_id
    assert main.data.tags[PARENT] != run.data.tags[PARENT]

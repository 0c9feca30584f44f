import pytest
from mlflow import MlflowClient
from sharing import NO_PID, Started, let_go
from work import run_stage


@pytest.mark.processes
def test_a_killed_run_is_ended_by_the_next_one_and_a_living_one_left_alone(stage, project):
    runs = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    killed, living = (Started(run_stage, project, name) for name in ("tune", "evaluate"))
    let_go(killed, living)
    killed_id, living_id = killed.says(), living.says()
    killed.kill()
    assert runs.get_run(killed_id).info.status == "RUNNING"
    stage("calibrate")
    assert runs.get_run(killed_id).info.status == "KILLED"
    assert runs.get_run(living_id).info.status == "RUNNING"
    living.go_on()
    assert living.end() == 0
    assert runs.get_run(living_id).info.status == "FINISHED"


def test_what_a_killed_process_had_in_the_making_is_no_output_of_the_next(stage, project):
    folder = project / "data/evaluate"
    folder.mkdir(parents=True)
    (folder / f".{NO_PID}-a1b2c3d4.png").touch()
    run = stage("evaluate")
    assert sorted(path.name for path in folder.iterdir()) == ["out.txt", "run.json"]
    outputs = [name for name in run.data.tags if name.startswith("output.")]
    assert outputs == ["output.data/evaluate/out.txt"]

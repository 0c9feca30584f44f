"""A journal on a disk that fills up, and one whose last line was cut short."""

import sys
from pathlib import Path

import pytest
from optuna.trial import create_trial

from pipeline.common.errors import UserError
from pipeline.search.storage import losses_explained, open_study


def values(place: Path) -> list[float | None]:
    return [trial.value for trial in open_study(str(place), "x").trials]


@pytest.mark.parametrize("rest", [b'{"op_code": 4, "wor', b"x" * 200_000, b"\xff"])
def test_a_line_cut_short_is_dropped_by_the_next_to_write(tmp_path: Path, rest: bytes) -> None:
    place = tmp_path / "trials.log"
    open_study(str(place), "x").add_trial(create_trial(value=1.0))
    whole = place.read_bytes()
    with place.open("ab") as file:
        file.write(rest)
    study = open_study(str(place), "x")
    study.add_trial(create_trial(value=2.0))
    assert place.read_bytes().startswith(whole + b"{")
    assert values(place) == [1.0, 2.0]


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of the size of files")
def test_a_disk_that_fills_up_is_one_line_and_costs_no_trial_before(tmp_path: Path) -> None:
    import resource

    place = tmp_path / "trials.log"
    study = open_study(str(place), "x")
    study.add_trial(create_trial(value=1.0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (place.stat().st_size + 20, before[1]))
    try:
        with pytest.raises(UserError) as caught, losses_explained("cot stage tune"):
            study.add_trial(create_trial(value=2.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == (
        "the storage can no longer be used (the journal cannot be written: File too large); when "
        "it is back, `cot stage tune` goes on with what is finished"
    )
    assert not place.read_bytes().endswith(b"\n")
    open_study(str(place), "x").add_trial(create_trial(value=3.0))
    assert values(place) == [1.0, 3.0]


@pytest.mark.parametrize("trouble", ["gone", "folder", "text"])
def test_a_journal_that_goes_away_is_one_line(tmp_path: Path, trouble: str) -> None:
    place = tmp_path / "trials.log"
    study = open_study(str(place), "x")
    place.unlink()
    if trouble == "folder":
        place.mkdir()
    if trouble == "text":
        place.write_text("a cat\n" * 100)
    with (
        pytest.raises(UserError, match="the journal cannot be") as caught,
        losses_explained("cot stage tune"),
    ):
        study.add_trials([create_trial(value=2.0), create_trial(value=3.0)])
    assert len(str(caught.value).splitlines()) == 1

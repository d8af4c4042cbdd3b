"""When the stages of runs acted that were written before runs said so themselves."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from report_folders import inter_scale_rows, phase_rows, training_row, write_rows

from hpcm_spectral.runs.metrics import read_metrics
from hpcm_spectral.runs.phases import PhaseRecord, phases_of, write_phases

PHASE1 = {"_target_": "hpcm_spectral.stages.SpectralTruncation", "mask": "hard", "schedule": {"num_epochs": 4}}


def phases(folder: Path, rows: list[dict], config: Mapping = {}) -> dict[str, PhaseRecord]:
    write_rows(folder, rows)
    return {record.key: record for record in phases_of(folder, config, read_metrics(folder / "metrics.csv"))}


def window(record: PhaseRecord) -> tuple[float | None, float | None]:
    return record.began, record.ended


def named(*epochs_and_names: tuple[float, str]) -> list[dict]:
    return [training_row(i, e, **{"spectral/phase": name}) for i, (e, name) in enumerate(epochs_and_names)]


def test_from_the_first_row_that_names_a_phase_to_the_first_that_does_not_again(tmp_path: Path) -> None:
    both = "phase1_intra+phase2_inter"
    found = phases(tmp_path, named((0.7, "phase1_intra"), (3.7, both), (5.2, "phase2_inter"), (6.7, "baseline")))
    assert window(found["phase1"]) == (0.7, 5.2)
    assert window(found["phase2"]) == (3.7, 6.7)


def test_a_phase_that_still_acts_has_not_ended_and_its_plan_is_the_config_s(tmp_path: Path) -> None:
    rows = [row for row in phase_rows(end=4) if row["epoch"] <= 2]
    (record,) = phases(tmp_path, rows, {"phase1": PHASE1}).values()
    assert (*window(record), record.end) == (0.0, None, 4)


def test_without_names_of_phases_tau_tells(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "spectral/phase"} for row in phase_rows(end=3)]
    assert window(phases(tmp_path, rows)["phase1"]) == (0.0, 3.0)


@pytest.mark.parametrize("phase1_end", [0, 1, 2, 3, 6])
def test_phase_2_has_a_window_of_its_own_whatever_phase_1_does(tmp_path: Path, phase1_end: int) -> None:
    found = phases(tmp_path, inter_scale_rows(window=(2, 4), phase1_end=phase1_end))
    assert window(found["phase2"]) == (2.0, 4.0)
    ends = {0: {}, 6: {"phase1": (0.0, None)}}.get(phase1_end, {"phase1": (0.0, float(phase1_end))})
    assert {key: window(record) for key, record in found.items() if key == "phase1"} == ends


@pytest.mark.parametrize("name", [None, "my_stage", ""])
def test_without_its_name_phase_2_is_where_it_logs(tmp_path: Path, name: str | None) -> None:
    rows = inter_scale_rows(window=(2, 4), phase1_end=0)
    for row in rows:
        if row.get("spectral/phase") == "phase2_inter":
            row["spectral/phase"] = name
        if name is None:
            row.pop("spectral/phase", None)
    found = phases(tmp_path, rows)
    assert {key: window(record) for key, record in found.items()} == {"phase2": (2.0, 4.0)}


def test_a_stage_of_a_user_s_own_goes_by_its_name(tmp_path: Path) -> None:
    found = phases(tmp_path, named((0.5, "mine"), (1.5, "phase1_intra+mine"), (2.5, "baseline")))
    assert {key: window(record) for key, record in found.items()} == {"phase1": (1.5, 2.5), "mine": (0.5, 2.5)}


def test_no_phase(tmp_path: Path) -> None:
    assert phases(tmp_path, named((0.0, "baseline"), (0.5, "baseline")), {"phase1": PHASE1}) == {}
    assert phases(tmp_path, [training_row(0, 0.0)]) == {}
    assert phases_of(tmp_path, {}, read_metrics(tmp_path / "none.csv")) == []


def test_cutoffs_are_those_that_were_logged_each_at_its_first_epoch(tmp_path: Path) -> None:
    said = phases(tmp_path, phase_rows(end=4), {"phase1": PHASE1})["phase1"].description
    assert said["moments"] == [[float(epoch), pytest.approx(0.1 + 0.9 * epoch / 4)] for epoch in range(4)]
    assert (said["kind"], said["mask"], said["target"]) == ("dct_truncation", "hard", "truncated")
    rows = named(*((epoch, "phase1_intra") for epoch in (0.0, 1.0, 2.0)))
    for row in rows:
        row["spectral/tau"] = 0.3
    assert phases(tmp_path, rows, {"phase1": PHASE1})["phase1"].description["moments"] == [[0.0, 0.3]]
    assert phases(tmp_path, rows, {"phase1": {"_target_": "mine.Stage"}})["phase1"].description == {}


def test_what_the_run_wrote_itself_comes_first(tmp_path: Path) -> None:
    written = [PhaseRecord("stages.mine", "mine", 1, 2.5, 1.0, 2.5, {"strength": 3})]
    write_phases(tmp_path, written)
    assert phases_of(tmp_path, {"phase1": PHASE1}, read_metrics(tmp_path / "metrics.csv")) == written
    assert list(phases(tmp_path, phase_rows())) == ["stages.mine"]

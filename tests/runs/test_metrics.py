import numpy as np
import pytest
from report_folders import inter_scale_rows, phase_rows, training_row, write_rows

from hpcm_spectral.errors import UserError
from hpcm_spectral.runs.metrics import POWER, read_metrics


def read(folder, rows):
    write_rows(folder, rows)
    return read_metrics(folder / "metrics.csv")


def test_training_and_validation_rows_are_kept_apart(tmp_path):
    table = read(tmp_path, phase_rows())
    assert len(table.series("train/loss").values) == 60
    val = table.series("val/psnr")
    assert val.epochs.tolist() == [1, 2, 3, 4, 5, 6]
    assert set(val.values) == {22.0}
    assert table.series("val/ms_ssim_db").values.size == 0


def test_steps_are_counted_from_0(tmp_path):
    assert read(tmp_path, [training_row(0, 0.0), training_row(1, 0.5)]).steps == 2


def test_values_that_are_not_finite_are_left_out_and_counted(tmp_path):
    losses = [1.0, float("nan"), float("inf"), 4.0]
    rows = [training_row(step, step / 4, **{"train/loss": loss}) for step, loss in enumerate(losses)]
    series = read(tmp_path, [*rows, {"step": 3, "epoch": 1.0, "val/loss": 7.0}]).series("train/loss")
    assert series.values.tolist() == [1.0, 4.0]
    assert series.epochs.tolist() == [0.0, 0.75]
    assert series.left_out == 2  # the empty cell of the validation row does not count


def test_phase_ends_where_the_config_says_between_sparse_rows(tmp_path):
    phases = [
        (0.7, "phase1_intra"),
        (3.7, "phase1_intra+phase2_inter"),
        (5.2, "phase2_inter"),
        (6.7, "baseline"),
    ]
    table = read(tmp_path, [training_row(i, epoch, **{"spectral/phase": p}) for i, (epoch, p) in enumerate(phases)])
    window = table.phase_one(planned_end=4.0)
    assert (window.start, window.end, window.ended) == (0.7, 4.0, True)
    # A plan that the rows contradict, or none: the first row without phase 1.
    assert table.phase_one(planned_end=3.0).end == table.phase_one().end == 5.2


def test_a_run_inside_phase_1_has_not_ended_it(tmp_path):
    table = read(tmp_path, [row for row in phase_rows(end=4) if row["epoch"] <= 2])
    window = table.phase_one(planned_end=4.0)
    assert (window.end, window.ended) == (2.0, False)


def test_a_run_that_stops_with_phase_1_has_ended_it(tmp_path):
    window = read(tmp_path, phase_rows(end=4, epochs=4)).phase_one(planned_end=4.0)
    assert (window.end, window.ended) == (4.0, True)


def test_without_names_of_phases_tau_tells(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "spectral/phase"} for row in phase_rows(end=3)]
    window = read(tmp_path, rows).phase_one()
    assert (window.start, window.end, window.ended) == (0.0, 3.0, True)


def test_no_phase_1(tmp_path):
    table = read(tmp_path, [training_row(0, 0.0, **{"spectral/phase": "baseline"}), training_row(1, 0.5)])
    assert table.phase_one() is None
    assert table.tau().values.size == 0


def test_tau_only_while_phase_1_acts(tmp_path):
    rows = phase_rows(end=4)
    for row in rows:
        row.setdefault("spectral/tau", 1.0)  # logged on after the end
    tau = read(tmp_path, [row for row in rows if "train/loss" in row]).tau()
    assert tau.epochs.max() == pytest.approx(3.9)
    assert np.unique(tau.values).tolist() == pytest.approx([0.1, 0.325, 0.55, 0.775])


@pytest.mark.parametrize("phase1_end", [0, 1, 2, 3, 6])
def test_phase_2_has_a_window_of_its_own_whatever_phase_1_does(tmp_path, phase1_end):
    table = read(tmp_path, inter_scale_rows(window=(2, 4), phase1_end=phase1_end))
    window = table.phase_two()
    assert (window.start, window.end, window.ended) == (2.0, 4.0, True)
    first = table.phase_one()
    assert (first.end if first else 0) == pytest.approx(phase1_end)


def test_phase_2_that_still_acts_has_not_ended(tmp_path):
    window = read(tmp_path, [row for row in inter_scale_rows() if row["epoch"] <= 3]).phase_two(2.0, 4.0)
    assert (window.end, window.ended) == (3.0, False)


def test_phase_2_begins_and_ends_where_the_config_says_between_sparse_rows(tmp_path):
    phases = [(0.7, "baseline"), (2.2, "phase2_inter"), (3.7, "phase2_inter"), (5.2, "baseline")]
    table = read(tmp_path, [training_row(i, epoch, **{"spectral/phase": p}) for i, (epoch, p) in enumerate(phases)])
    window = table.phase_two(2.0, 4.5)
    assert (window.start, window.end) == (2.0, 4.5)
    # Plans that the rows contradict, or none.
    for plan in ((0.5, 3.0), (2.5, 6.0), (None, None)):
        window = table.phase_two(*plan)
        assert (window.start, window.end, window.ended) == (2.2, 5.2, True)


@pytest.mark.parametrize("name", [None, "my_stage", ""])
def test_without_its_name_phase_2_is_where_it_logs(tmp_path, name):
    rows = inter_scale_rows(window=(2, 4), phase1_end=0)
    for row in rows:
        if row.get("spectral/phase") == "phase2_inter":
            row["spectral/phase"] = name
        if name is None:
            row.pop("spectral/phase", None)
    window = read(tmp_path, rows).phase_two()
    assert (window.start, window.end, window.ended) == (2.0, 4.0, True)


def test_no_phase_2(tmp_path):
    table = read(tmp_path, phase_rows())
    assert table.phase_two(1.0, 2.0) is None
    assert not table.has_inter_scale


def test_columns_that_a_resumed_run_emptied_are_no_phase_2(tmp_path):
    rows = [training_row(0, 0.0, **{"spectral/delta": "", "spectral/explained_1_2": ""}), training_row(1, 0.5)]
    assert not read(tmp_path, rows).has_inter_scale
    rows[1]["spectral/explained_1_2"] = float("nan")
    table = read(tmp_path, rows)
    assert table.has_inter_scale
    assert table.left_out(["train/loss"]) == 1


def test_numbered_metrics_come_in_the_order_of_their_numbers(tmp_path):
    row = {"spectral/power_10": 1.0, "spectral/power_9": 2.0, "spectral/power_mean": 3.0, "spectral/power_2": ""}
    assert list(read(tmp_path, [training_row(0, 0.0, **row)]).numbered(POWER)) == [(9,), (10,)]


def test_rows_out_of_order_are_sorted(tmp_path):
    table = read(tmp_path, [training_row(1, 0.5, **{"train/loss": 5.0}), training_row(0, 0.0)])
    assert table.series("train/loss").values.tolist() == [2.0, 5.0]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path):
    write_rows(tmp_path, [training_row(0, 0.0), training_row(1, 0.5)])
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("2,0.6,1.")
    assert len(read_metrics(tmp_path / "metrics.csv")) == 2


def test_columns_named_twice_are_read(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,epoch,epoch,step,train/loss\n0,0.0,0.0,0,1.5\n")
    assert read_metrics(tmp_path / "metrics.csv").series("train/loss").values.tolist() == [1.5]


@pytest.mark.parametrize("text", [None, "", "step,epoch,train/loss\n"])
def test_no_rows(tmp_path, text):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    assert read_metrics(tmp_path / "metrics.csv") is None


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n",
        b"step,epoch,x\n1,2\n1,2,3\n",
        b"step,epoch\n0,soon\n",
        b"\xff\xfe\x00step",
        b"step,epoch\n\x00\x00,1\n",
    ],
)
def test_a_damaged_file_is_named_in_one_sentence(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=str(path)) as caught:
        read_metrics(path)
    assert "\n" not in str(caught.value)

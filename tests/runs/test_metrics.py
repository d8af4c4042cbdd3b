import pytest
from report_folders import phase_rows, training_row, write_rows

from hpcm_spectral.errors import UserError
from hpcm_spectral.runs.metrics import INTER_SCALE, POWER, read_metrics


def read(folder, rows):
    write_rows(folder, rows)
    return read_metrics(folder / "metrics.csv")


def test_training_and_validation_rows_are_kept_apart(tmp_path):
    table = read(tmp_path, phase_rows())
    assert len(table.series("train/loss")) == 60
    val = table.series("val/psnr")
    assert val.index.tolist() == [1, 2, 3, 4, 5, 6]
    assert set(val) == {22.0}
    assert table.series("val/ms_ssim_db").empty


def test_steps_are_counted_from_0(tmp_path):
    assert read(tmp_path, [training_row(0, 0.0), training_row(1, 0.5)]).steps == 2


def test_values_that_are_not_finite_are_left_out_and_counted(tmp_path):
    losses = [1.0, float("nan"), float("inf"), 4.0]
    rows = [training_row(step, step / 4, **{"train/loss": loss}) for step, loss in enumerate(losses)]
    table = read(tmp_path, [*rows, {"step": 3, "epoch": 1.0, "val/loss": 7.0}])
    series = table.series("train/loss")
    assert series.tolist() == [1.0, 4.0]
    assert series.index.tolist() == [0.0, 0.75]
    assert table.left_out("train/loss") == 2  # the empty cell of the validation row does not count


def test_columns_that_a_resumed_run_emptied_are_no_phase_2(tmp_path):
    rows = [training_row(0, 0.0, **{"spectral/delta": "", "spectral/explained_1_2": ""}), training_row(1, 0.5)]
    assert not read(tmp_path, rows).rows_with(INTER_SCALE).any()
    rows[1]["spectral/explained_1_2"] = float("nan")
    table = read(tmp_path, rows)
    assert table.rows_with(INTER_SCALE).any()
    assert table.left_out("train/loss|spectral/.*") == 1


def test_numbered_metrics_come_in_the_order_of_their_numbers(tmp_path):
    row = {"spectral/power_10": 1.0, "spectral/power_9": 2.0, "spectral/power_mean": 3.0, "spectral/power_2": ""}
    assert list(read(tmp_path, [training_row(0, 0.0, **row)]).numbered(POWER)) == [(9,), (10,)]


def test_rows_out_of_order_are_sorted(tmp_path):
    table = read(tmp_path, [training_row(1, 0.5, **{"train/loss": 5.0}), training_row(0, 0.0)])
    assert table.series("train/loss").tolist() == [2.0, 5.0]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path):
    write_rows(tmp_path, [training_row(0, 0.0), training_row(1, 0.5)])
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("2,0.6,1.")
    assert len(read_metrics(tmp_path / "metrics.csv")) == 2


def test_columns_named_twice_are_read(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,epoch,epoch,step,train/loss\n0,0.0,0.0,0,1.5\n")
    assert read_metrics(tmp_path / "metrics.csv").series("train/loss").tolist() == [1.5]


@pytest.mark.parametrize("text", [None, "", "step,epoch,train/loss\n"])
def test_no_rows(tmp_path, text):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    assert len(read_metrics(tmp_path / "metrics.csv")) == 0


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

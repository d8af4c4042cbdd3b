import math

import numpy as np
import pytest
import torch
from report_folders import PHASE1, phase_rows, truncation_record, write_config, write_rows

from hpcm_spectral.errors import UserError
from hpcm_spectral.reports.phase_marks import Span
from hpcm_spectral.reports.picture_inputs import read_run_folder
from hpcm_spectral.reports.spectrum import kept_share, mask_profile
from hpcm_spectral.runs.phases import PhaseRecord, write_phases
from hpcm_spectral.stages import truncate


def truncation_of(folder, **settings):
    write_config(folder)
    write_phases(folder, [truncation_record(**settings)])
    return read_run_folder(folder).truncation


def test_title(run_dir):
    assert [part.strip() for part in read_run_folder(run_dir).title.split("·")] == [
        "HPCM_Tiny",
        "λ = 0.0483",
        "seed 7",
        "60 steps",
    ]


def test_a_config_of_others_still_has_a_title(tmp_path):
    (tmp_path / "config.yaml").write_text("model: {_target_: my.Codec}\nloss: {beta: 1}\nphase1: null\n")
    assert read_run_folder(tmp_path).title == "Codec"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("{_target_: my.package.Codec, width: 3}", "Codec"),
        ("{_target_: hpcm_spectral.models.Zoo, architecture: bmshj2018-hyperprior}", "bmshj2018-hyperprior"),
        ("{_target_: my.Codec, architecture: null}", "Codec"),
        ("m", "m"),
        ("{width: 3}", "model"),
    ],
)
def test_a_codec_goes_by_its_architecture_or_its_class(tmp_path, model, name):
    (tmp_path / "config.yaml").write_text(f"model: {model}\n")
    assert read_run_folder(tmp_path).codec == name


def test_phase_1_is_what_the_run_says_of_it(tmp_path):
    truncation = truncation_of(tmp_path, mask="hard", end=20)
    assert (truncation.mask, truncation.target, truncation.tau_final) == ("hard", "truncated", 1.0)
    assert [epoch for epoch, _ in truncation.moments] == [0, 6, 12, 19]
    assert [tau for _, tau in truncation.moments] == pytest.approx([0.1, 0.37, 0.64, 0.955])


def test_phase_1_of_an_older_run_is_known_from_its_log(tmp_path):
    write_rows(tmp_path, phase_rows(end=4))
    own = PHASE1.format(mask="soft", num_epochs=4).replace("hpcm_spectral.schedules.LinearSchedule", "mine.Schedule")
    write_config(tmp_path, own)
    run = read_run_folder(tmp_path)
    assert [tau for _, tau in run.truncation.moments] == pytest.approx([0.1, 0.325, 0.55, 0.775])
    assert run.truncation.tau_final == 1.0
    assert run.phases.spans == (Span("phase1", 0.0, 4.0, True),)


def test_a_run_that_stops_with_phase_1_has_ended_it(tmp_path):
    write_config(tmp_path, PHASE1.format(mask="soft", num_epochs=4))
    write_rows(tmp_path, phase_rows(end=4, epochs=4))
    assert read_run_folder(tmp_path).phases.spans == (Span("phase1", 0.0, 4.0, True),)
    write_phases(tmp_path, [truncation_record(end=5)])
    assert read_run_folder(tmp_path).phases.spans == (Span("phase1", 0.0, 4.0, False),)


def test_tau_only_while_phase_1_acts(tmp_path):
    rows = phase_rows(end=4)
    for row in rows:
        row.setdefault("spectral/tau", 1.0)  # logged on after the end
    write_rows(tmp_path, [row for row in rows if "train/loss" in row])
    write_config(tmp_path)
    run = read_run_folder(tmp_path)
    tau = run.phases.of("phase1").of(run.metrics.series("spectral/tau"))
    assert tau.index.max() == pytest.approx(3.9)
    assert np.unique(tau).tolist() == pytest.approx([0.1, 0.325, 0.55, 0.775])


@pytest.mark.parametrize(
    "phase1", ["phase1: null", "phase1: {}", "phase1: {_target_: mine.Stage, strength: 3}", "a: 1"]
)
def test_off_or_a_user_s_own_class(tmp_path, phase1):
    write_config(tmp_path, phase1)
    write_rows(tmp_path, phase_rows(end=4))
    assert read_run_folder(tmp_path).truncation is None
    write_phases(tmp_path, [PhaseRecord("phase1", "mine", 0, None, 0.0, None, {"strength": 3})])
    assert read_run_folder(tmp_path).truncation is None


@pytest.mark.parametrize(
    "text",
    [
        "model: [",
        "- 1\n- 2\n",
        "just words",
        "model: m\nphase1: ${nothing}",
        PHASE1.format(mask="odd", num_epochs=4),
        PHASE1.format(mask="soft", num_epochs=4).replace("target: truncated", "target: both"),
        None,
    ],
)
def test_a_damaged_config_is_named_in_one_sentence(tmp_path, text):
    write_rows(tmp_path, phase_rows())
    if text is not None:
        (tmp_path / "config.yaml").write_text(text.replace("\nphase1:", "model: m\nphase1:"))
    with pytest.raises(UserError, match=str(tmp_path / "config.yaml")) as caught:
        read_run_folder(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[", '{"phases": [{"key": 1}]}', '{"phases": 3}', "{}"])
def test_damaged_phases_are_named_in_one_sentence(run_dir, text):
    (run_dir / "phases.json").write_text(text)
    with pytest.raises(UserError, match=str(run_dir / "phases.json")) as caught:
        read_run_folder(run_dir)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[", '[{"name": "a"}]', "[1]", '[{"name": "a", "bpp": "much"}]', "3"])
def test_a_damaged_list_of_samples_is_named(run_dir, text):
    path = run_dir / "samples" / "samples.json"
    path.write_text(text)
    with pytest.raises(UserError, match=str(path)):
        read_run_folder(run_dir)


@pytest.mark.parametrize(
    ("mask", "tau", "radii", "expected"),
    [
        ("soft", 0.55, [0, 250, 600, 1000], [1.0, 1 - 0.25 / 0.55, 0.0, 0.0]),
        ("hard", 0.55, [0, 549, 551, 1000], [1.0, 1.0, 0.0, 0.0]),
        ("soft_identity", 0.5, [0, 250, 500, 1000], [1.0, 0.75, 0.5, 0.0]),  # cutoff 0.5 / (1 - 0.5) = 1
        ("soft_identity", 1.0, [0, 250, 500, 1414], [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_mask_profile(tmp_path, mask, tau, radii, expected):
    truncation = truncation_of(tmp_path, mask=mask)
    all_radii, values = mask_profile(truncation, tau)
    assert all_radii[-1] == pytest.approx(math.sqrt(2), abs=1e-3)
    assert values[radii].tolist() == pytest.approx(expected)


def test_truncation_is_the_stage_s(tmp_path):
    image = torch.rand(3, 24, 32, dtype=torch.float64)
    truncation = truncation_of(tmp_path, mask="soft_identity")
    assert torch.equal(truncation.apply(image, 0.3), truncate(image, 0.3, mask="soft_identity", tau_final=1.0))


def test_kept_share_of_half_the_amplitude_is_a_quarter():
    image = torch.rand(3, 64, 64, dtype=torch.float64)
    share = kept_share(image, image / 2)
    assert share[np.isfinite(share)] == pytest.approx(0.25)
    # A small image leaves bands without a frequency, which have no share.
    assert np.isnan(kept_share(image[:, :4, :4], image[:, :4, :4])).any()

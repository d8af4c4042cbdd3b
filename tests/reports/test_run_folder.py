import math

import numpy as np
import pytest
import torch
from report_folders import PHASE1, phase_rows, write_config, write_rows

from hpcm_spectral.errors import UserError
from hpcm_spectral.reports.run_folder import read_run_folder
from hpcm_spectral.reports.spectrum import kept_share, mask_profile
from hpcm_spectral.stages import truncate


def truncation_of(folder, phase1):
    write_config(folder, phase1)
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


def test_moments_run_from_the_first_to_the_last_epoch_of_the_phase(tmp_path):
    truncation = truncation_of(tmp_path, PHASE1.format(mask="hard", num_epochs=20))
    assert truncation.mask == "hard"
    assert [moment.epoch for moment in truncation.moments] == [0, 6, 12, 19]
    assert [moment.tau for moment in truncation.moments] == pytest.approx([0.1, 0.37, 0.64, 0.955])


def test_equal_cutoffs_are_shown_once(tmp_path):
    constant = PHASE1.format(mask="soft", num_epochs=9).replace("LinearSchedule", "ConstantSchedule")
    moments = truncation_of(tmp_path, constant).moments
    assert [(moment.epoch, moment.tau) for moment in moments] == [(0, 0.1)]


def test_the_stage_s_own_linear_schedule(tmp_path):
    phase1 = "phase1: {_target_: hpcm_spectral.stages.SpectralTruncation, tau_init: 0.4, num_epochs: 3}"
    assert [moment.tau for moment in truncation_of(tmp_path, phase1).moments] == pytest.approx([0.4, 0.6, 0.8])


def test_a_user_s_own_schedule_is_known_from_the_log(tmp_path):
    write_rows(tmp_path, phase_rows(end=4))
    own = PHASE1.format(mask="soft", num_epochs=4).replace("hpcm_spectral.schedules.LinearSchedule", "mine.Schedule")
    truncation = truncation_of(tmp_path, own)
    assert [moment.tau for moment in truncation.moments] == pytest.approx([0.1, 0.325, 0.55, 0.775])
    assert truncation.tau_final == 1.0


@pytest.mark.parametrize(
    "phase1", ["phase1: null", "phase1: {}", "phase1: {_target_: mine.Stage, strength: 3}", "a: 1"]
)
def test_off_or_a_user_s_own_class(tmp_path, phase1):
    assert truncation_of(tmp_path, phase1) is None


@pytest.mark.parametrize(
    ("phase2", "plan"),
    [
        ("phase2: {_target_: m.S, start_epoch: 2, end_epoch: 4.5}", (2.0, 4.5)),
        ("phase2: {_target_: m.S, start_epoch: 2, end_epoch: null}", (2.0, None)),
        ("phase2: {_target_: m.S, end_epoch: soon}", (None, None)),
        ("phase2: null", (None, None)),
        ("phase2: {}", (None, None)),
        ("a: 1", (None, None)),
    ],
)
def test_phase_2_plan(tmp_path, phase2, plan):
    write_config(tmp_path, phase2)
    assert read_run_folder(tmp_path).phase2_plan == plan


@pytest.mark.parametrize(
    "text",
    [
        "model: [",
        "- 1\n- 2\n",
        "just words",
        "model: m\nphase1: ${nothing}",
        PHASE1.format(mask="odd", num_epochs=4),
        PHASE1.format(mask="soft", num_epochs=0),
        PHASE1.format(mask="soft", num_epochs=4).replace("target: truncated", "target: both"),
        PHASE1.format(mask="soft", num_epochs=4).replace("granularity", "grain"),
        None,
    ],
)
def test_a_damaged_config_is_named_in_one_sentence(tmp_path, text):
    if text is not None:
        (tmp_path / "config.yaml").write_text(text.replace("\nphase1:", "model: m\nphase1:"))
    with pytest.raises(UserError, match=str(tmp_path / "config.yaml")) as caught:
        read_run_folder(tmp_path)
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
    truncation = truncation_of(tmp_path, PHASE1.format(mask=mask, num_epochs=4))
    all_radii, values = mask_profile(truncation, tau)
    assert all_radii[-1] == pytest.approx(math.sqrt(2), abs=1e-3)
    assert values[radii].tolist() == pytest.approx(expected)


def test_truncation_is_the_stage_s(tmp_path):
    image = torch.rand(3, 24, 32, dtype=torch.float64)
    truncation = truncation_of(tmp_path, PHASE1.format(mask="soft_identity", num_epochs=4))
    assert torch.equal(truncation.apply(image, 0.3), truncate(image, 0.3, mask="soft_identity", tau_final=1.0))


def test_kept_share_of_half_the_amplitude_is_a_quarter():
    image = torch.rand(3, 64, 64, dtype=torch.float64)
    share = kept_share(image, image / 2)
    assert share[np.isfinite(share)] == pytest.approx(0.25)
    # A small image leaves bands without a frequency, which have no share.
    assert np.isnan(kept_share(image[:, :4, :4], image[:, :4, :4])).any()

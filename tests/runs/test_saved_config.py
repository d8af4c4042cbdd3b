"""What a run folder keeps of its config, and what a session that continues the run may change."""

from pathlib import Path

import pytest

from hpcm_spectral.errors import CheckpointError, ConfigError, UserError
from hpcm_spectral.runs.phases import write_phases
from hpcm_spectral.runs.saved_config import check_same_run, read_config, with_saved_overrides, write_config

CONFIG = {
    "seed": 1,
    "model": {"_target_": "m.Codec", "width": 3, "head": {"_target_": "m.Head", "depth": 2}},
    "phase1": {},
    "phase2": {"_target_": "m.Penalty", "delta": 0.1, "end_epoch": None},
    "loss": {"_target_": "m.Loss", "lmbda": 0.01},
    "trainer": {"max_epochs": 3},
}
SAVED = ["model=hpcm_tiny", "optimizer.milestones=[0.5]", "optimizer.lr=1e-3", "logger=wandb", "logger.project=mine"]


def changed(**groups: object) -> dict:
    return {**CONFIG, **groups}


def without(group: str, key: str) -> dict:
    return {**CONFIG, group: {name: value for name, value in CONFIG[group].items() if name != key}}


def test_a_config_comes_back(tmp_path: Path) -> None:
    write_config(tmp_path, CONFIG, ["seed=1", "resume=auto", "loss.lmbda=0.01"])
    assert read_config(tmp_path) == CONFIG
    assert (tmp_path / "overrides.txt").read_text() == "seed=1\nloss.lmbda=0.01\n"


@pytest.mark.parametrize("text", [None, "model: [", "- 1\n", "seed: 1\n", "\x00"])
def test_a_config_that_is_none_is_named_in_one_sentence(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=str(tmp_path / "config.yaml")) as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        changed(trainer={"max_epochs": 9}),
        # A class has got a setting, or lost one.
        changed(model={**CONFIG["model"], "order": "published"}),
        without("model", "width"),
        changed(model={**CONFIG["model"], "head": {"_target_": "m.Head"}}),
        without("phase2", "end_epoch"),
        # A group that an older version does not know, and that is off.
        changed(stages={}),
        {key: value for key, value in CONFIG.items() if key != "phase1"},
    ],
)
def test_what_is_no_other_run(tmp_path: Path, config: dict) -> None:
    write_config(tmp_path, CONFIG, [])
    check_same_run(config, tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(seed=2), "seed must stay 1 .* got 2"),
        (changed(model={**CONFIG["model"], "width": 4}), "model.width must stay 3 .* got 4"),
        (
            changed(model={"_target_": "m.Other", "width": 3, "head": CONFIG["model"]["head"]}),
            "model._target_ must stay",
        ),
        (changed(model={**CONFIG["model"], "head": {"_target_": "m.Tail", "depth": 2}}), "model.head._target_ must"),
        (changed(model={**CONFIG["model"], "head": {"depth": 2}}), "model.head._target_ must stay .* got absent"),
        (changed(phase2={}), "phase2 must stay on .* got off"),
        (changed(phase1={"_target_": "m.Input"}), "phase1 must stay off .* got on"),
        (changed(stages={"mine": {"_target_": "m.Mine"}}), "stages.mine._target_ must stay absent"),
        ({key: value for key, value in CONFIG.items() if key != "phase2"}, "phase2._target_ must stay"),
        (changed(init_from="there"), "init_from must stay absent"),
        (changed(data={"train_dir": "there"}), "data.train_dir must stay absent"),
    ],
)
def test_what_is_another_run(tmp_path: Path, config: dict, message: str) -> None:
    write_config(tmp_path, CONFIG, [])
    with pytest.raises(ConfigError, match=message):
        check_same_run(config, tmp_path)


def test_a_damaged_config_cannot_be_continued(tmp_path: Path) -> None:
    check_same_run(CONFIG, tmp_path)
    (tmp_path / "config.yaml").write_text("model: [")
    with pytest.raises(CheckpointError, match="must be a run's config"):
        check_same_run(CONFIG, tmp_path)


def test_overrides_of_an_older_run_are_replayed_by_their_new_names(tmp_path: Path) -> None:
    write_config(tmp_path, CONFIG, [*SAVED, "+optimizer.factors=[0.1]", "+logger.tags=[a]", "optimizer.milestones_x=1"])
    assert with_saved_overrides([f"resume={tmp_path}", "seed=4"], str(tmp_path)) == [
        "model=hpcm_tiny",
        "lr_scheduler.milestones=[0.5]",
        "optimizer.lr=1e-3",
        "logger=wandb",
        "logger.wandb.project=mine",
        "+lr_scheduler.factors=[0.1]",
        "+logger.wandb.tags=[a]",
        "optimizer.milestones_x=1",
        "hydra.mode=RUN",
        f"resume={tmp_path}",
        "seed=4",
    ]
    anew = [f"resume={tmp_path}", "lr_scheduler.milestones=[0.9]", "logger.wandb.project=other"]
    again = with_saved_overrides(anew, str(tmp_path))
    assert [line for line in again if "milestones=" in line or "project" in line] == [
        "lr_scheduler.milestones=[0.9]",
        "logger.wandb.project=other",
    ]


def test_overrides_of_a_run_of_today_stay(tmp_path: Path) -> None:
    write_config(tmp_path, CONFIG, ["logger.wandb=null", "logger.own.key=1"])
    write_phases(tmp_path, [])
    assert with_saved_overrides([f"resume={tmp_path}"], str(tmp_path))[:2] == ["logger.wandb=null", "logger.own.key=1"]


def test_what_was_added_with_a_plus_is_given_anew_or_taken_away_without_one(tmp_path: Path) -> None:
    write_config(tmp_path, CONFIG, ["+model.N=8", "+trainer.max_steps=9"])
    write_phases(tmp_path, [])
    again = with_saved_overrides([f"resume={tmp_path}", "model.N=16", "~trainer.max_steps"], str(tmp_path))
    assert again == ["hydra.mode=RUN", f"resume={tmp_path}", "+model.N=16"]

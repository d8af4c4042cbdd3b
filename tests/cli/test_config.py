"""The config composes, is found, and agrees with the classes that it names."""

import inspect
from pathlib import Path

import pytest
from compressai.registry import MODELS
from hydra import compose, initialize_config_dir

from hpcm_spectral.build import build_stages
from hpcm_spectral.cli.entry import config_folder
from hpcm_spectral.config import check_config, plain
from hpcm_spectral.models import HPCM
from hpcm_spectral.stages import InterScaleRegularizer, SpectralTruncation

CONF = config_folder()
FOLDER = ["data.train_dir=a", "data.val_dir=b"]


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(compose("train", overrides=list(overrides)))


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes_and_is_valid(experiment: str) -> None:
    check_config(composed(f"experiment={experiment}"))


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (g, o)
        for g in (
            "model",
            "schedule",
            "phase1",
            "phase2",
            "stages",
            "data",
            "loss",
            "optimizer",
            "lr_scheduler",
            "trainer",
            "callbacks",
            "logger",
            "debug",
            "diagnostics",
        )
        for o in options(g)
    ],
)
def test_every_option_of_every_group_composes_and_is_valid(group: str, option: str) -> None:
    own_codec = ["model._target_=compressai.models.FactorizedPrior", "+model.N=8", "+model.M=12"]
    needed = {
        ("data", "folder"): FOLDER,
        ("model", "custom"): own_codec,
        ("optimizer", "custom"): ["optimizer._target_=torch.optim.SGD", "+optimizer.lr=0.1"],
        ("lr_scheduler", "custom"): [
            "lr_scheduler._target_=torch.optim.lr_scheduler.StepLR",
            "+lr_scheduler.step_size=3",
        ],
    }
    check_config(composed(f"{group}={option}", *needed.get((group, option), [])))


def test_an_example_of_many_overrides_composes_with_its_values() -> None:
    config = composed(
        "model=hpcm_large",
        "schedule=exponential",
        "schedule.tau_init=0.1",
        "loss.lmbda=0.0483",
        "data.batch_size=4",
        "data.crop_size=256",
        "data.samples_per_epoch=64",
        "trainer.max_epochs=5",
        "seed=1",
    )
    check_config(config)
    (stage,) = build_stages(check_config(config)).values()
    assert isinstance(stage, SpectralTruncation)
    assert type(stage.schedule).__name__ == "ExponentialSchedule"
    assert stage.get_tau(0) == 0.1
    assert config["data"]["seed"] == 1


def test_the_default_is_the_published_recipe() -> None:
    config = composed()
    assert (config["optimizer"]["lr"], config["trainer"]["gradient_clip_val"]) == (1e-4, 1.0)
    shares = config["lr_scheduler"]["milestones"]
    assert [round(3000 * share) for share in shares] == [2750, 2850, 2950]
    assert [1e-4 * factor for factor in config["lr_scheduler"]["factors"]] == pytest.approx([3e-5, 1e-5, 1e-6])
    assert config["logger"]["wandb"]["offline"] is True


@pytest.mark.parametrize(
    ("option", "name"),
    [("hpcm_base", "hpcm-base"), ("hpcm_large", "hpcm-large"), ("hpcm_tiny", "hpcm-tiny")],
)
def test_the_sizes_in_the_config_are_those_of_the_class(option: str, name: str) -> None:
    node = composed(f"model={option}")["model"]
    cls = MODELS[name]
    assert node["_target_"].endswith(cls.__name__)
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    assert set(arguments) == set(inspect.signature(HPCM).parameters)
    assert arguments.pop("gradient_checkpointing") is False  # no part of what the codec is
    assert cls().arguments == arguments


def test_both_phases_can_be_off_and_full_has_one_after_the_other() -> None:
    assert build_stages(check_config(composed("phase1=off"))) == {}
    first, second = build_stages(check_config(composed("experiment=full", "schedule.num_epochs=7"))).values()
    assert (first.phase, first.end_epoch) == ("phase1_intra", 7)
    assert (second.phase, second.start_epoch, second.end_epoch) == ("phase2_inter", 7, None)


def test_the_defaults_of_phase_2_are_the_papers_or_the_safe_ones() -> None:
    """In the config and in Python alike."""
    node = composed("phase2=inter_scale")["phase2"]
    expected = {
        name: parameter.default for name, parameter in inspect.signature(InterScaleRegularizer).parameters.items()
    }
    assert {**expected, "start_epoch": 100, "_target_": "hpcm_spectral.stages.InterScaleRegularizer"} == node
    assert (node["delta"], node["distance"], node["downsample"]) == (0.1, "l2", "dwt")


@pytest.mark.parametrize("name", ["delta", "distance", "downsample"])
def test_an_ablation_sweeps_one_setting_of_phase_2_over_valid_values(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"experiment=ablation_{name}"], return_hydra_config=True)
    ((key, values),) = config.hydra.sweeper.params.items()
    assert (key, config.hydra.mode.name) == (f"phase2.{name}", "MULTIRUN")
    values = str(values).split(",")
    assert len(set(values)) == len(values) >= 3
    for value in values:
        (stage,) = build_stages(check_config(composed(f"experiment=ablation_{name}", f"{key}={value}"))).values()
        assert str(getattr(stage, name)).removesuffix(".0") == value


def test_a_users_own_stage_plugs_in_by_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_stages.py").write_text(
        "from hpcm_spectral.stages import PenaltyStage\n"
        "class Power(PenaltyStage):\n"
        "    phase = 'power'\n"
        "    def __init__(self, weight: float = 1.0):\n"
        "        super().__init__(start_epoch=2)\n"
        "        self.weight = weight\n"
        "    def forward(self, latents, progress):\n"
        "        return self.weight * latents[-1].y_hat.square().mean(), {}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = composed("+phase2._target_=own_stages.Power", "+phase2.weight=0.5")
    stages = build_stages(check_config(config))
    assert stages["phase2"].weight == 0.5
    several = ["phase2=inter_scale", "+stages.a._target_=own_stages.Power", "+stages.b._target_=own_stages.Power"]
    stages = build_stages(check_config(composed(*several, "+stages.b.weight=2")))
    assert [*stages] == ["phase1", "phase2", "stages.a", "stages.b"]
    assert stages["stages.b"].weight == 2
    with pytest.raises(Exception, match="phase2.wait is not a setting; did you mean phase2.weight"):
        check_config(composed("+phase2._target_=own_stages.Power", "+phase2.wait=0.5"))
    with pytest.raises(Exception, match="phase2.weight must be a number, got 'heavy'"):
        check_config(composed("+phase2._target_=own_stages.Power", "+phase2.weight=heavy"))

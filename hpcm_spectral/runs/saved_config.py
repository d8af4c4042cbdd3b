"""The config of a run and the overrides that made it, kept in its folder for those who continue or compare it."""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hpcm_spectral.errors import CheckpointError, ConfigError, UserError
from hpcm_spectral.files import write_text
from hpcm_spectral.flatten import flatten
from hpcm_spectral.runs.folder import AUTO, CONFIG, OVERRIDES, PHASES, run_folder_for
from hpcm_spectral.runs.plain_files import reading
from hpcm_spectral.runs.provenance import noted_data

log = logging.getLogger("hpcm_spectral")
# What a resumed run must share with the run that it continues.
FIXED = ("model", "phase1", "phase2", "stages", "schedule", "loss", "data", "seed", "init_from")
FREE = (
    "model.gradient_checkpointing",
    "phase2.divergence_limit",
    "data.num_workers",
    "data.cache_gib",
    "data.cache_dir",
    "data.pin_memory",
    "data.on_error",
)
# Settings that had another name before runs kept a phases.json.
RENAMED = ((r"optimizer\.(milestones|factors)", r"\1lr_scheduler.\2"), (r"logger\.(\w+)", r"\1logger.wandb.\2"))


def write_config(folder: Path, config: Mapping[str, Any], overrides: list[str]) -> None:
    """Keep the resolved config and the overrides that made it."""
    write_text(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(config))))
    kept = [override for override in overrides if _key(override) != "resume"]
    # Paths of any bytes must come back.
    write_text(folder / OVERRIDES, "".join(f"{override}\n" for override in kept), errors="surrogateescape")


def read_config(
    folder: Path, resolve: Sequence[str] | None = None, error: type[UserError] = UserError
) -> dict[str, Any]:
    """A run's config as plain values: all as they stand, or the keys ``resolve`` resolved.

    The others may refer to what exists during a run only.

    Raises:
        UserError: It is missing, damaged, or names no model; another class if ``error`` is one.
    """
    path = folder / CONFIG
    with reading(path, "be a run's config", error):
        config = OmegaConf.load(path)
        if not isinstance(config, DictConfig) or "model" not in config:
            raise ValueError("it names no model")
        if resolve is None:
            return OmegaConf.to_container(config)  # type: ignore[return-value]
        nodes = {key: config.get(key) for key in resolve}
        return {
            key: OmegaConf.to_container(n, resolve=True) if OmegaConf.is_config(n) else n for key, n in nodes.items()
        }


def with_saved_overrides(
    arguments: list[str], resume: str, fits: Callable[[list[str]], bool] = lambda words: True
) -> list[str]:
    """Command-line arguments, before them the overrides of the run that they continue.

    What is given anew replaces what was saved; another option of a group replaces the group's settings, too. Settings
    that do not fit what was given anew are left out, and named. A setting that was added with a + needs none now.

    Args:
        arguments: Overrides as Hydra reads them.
        resume: What they set ``resume`` to.
        fits: Whether the config takes all of these overrides.
    """
    given = {_key(argument) for argument in arguments}
    folder = Path(run_folder_for(resume, ""))
    if resume in (AUTO, "") or not (folder / OVERRIDES).is_file():
        return arguments
    lines = (folder / OVERRIDES).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    if not (folder / PHASES).exists():
        lines = [_renamed(line) for line in lines]
    # Another option of a group brings settings of its own.
    anew = {_key(argument) for argument in arguments if argument not in lines}
    # A trial that goes on alone is none of its search any more.
    own = [line for line in lines if line and _key(line) not in given | {"sweep.trial"}]
    kept = [line for line in own if re.split("[.@]", _key(line))[0] not in anew]
    # An experiment that sweeps would start a sweep again; this is one of its jobs.
    mode = [] if "hydra.mode" in given else ["hydra.mode=RUN"]
    fitting, chosen = [[word for word in words if "." not in _key(word)] for words in (kept, arguments)]
    if not fits([*kept, *chosen]) and fits([*fitting, *chosen]):
        for line in kept:
            if line not in fitting and fits([*fitting, line, *chosen]):
                fitting.append(line)
        log.info("left out, as it no longer fits: %s", " ".join(line for line in kept if line not in fitting))
        kept = [line for line in kept if line in fitting]
    # What was added with a + is given anew, or taken away, without a thought of that.
    added = {_key(line) for line in lines if line.startswith("+")}
    words = [f"+{word}" if _key(word) in added and word[0] not in "+~" else word for word in arguments]
    return kept + mode + [word for word in words if not (word.startswith("~") and _key(word) in added)]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _renamed(override: str) -> str:
    for old, new in RENAMED:
        override = re.sub(rf"^([+~]*){old}(?==|$)", new, override)
    return override


def has_moved(config: Mapping[str, Any], folder: Path, places: Sequence[str]) -> bool:
    """Whether the images of the run in a folder lay elsewhere; ``places`` are the keys that say where they lie."""
    old, new = flatten(read_config(folder, error=CheckpointError)), flatten(dict(config))
    return any(old.get(key) != new.get(key) for key in places)


def check_same_run(
    config: Mapping[str, Any], folder: Path, free: Sequence[str] | None = None, places: Sequence[str] = ()
) -> None:
    """Refuse to continue a run under another model, loss, stage or seed.

    Images may lie elsewhere if the run has noted what they are, for :func:`check_same_data` to compare; so may the
    weights that it began with, which are in its checkpoint.

    A setting that only one of the two versions of a class knows is no difference.

    Args:
        config: That of the session that would continue it.
        folder: The run folder.
        free: Settings and groups that may differ, all others may not; None takes what does not make it another run.
        places: Keys of settings that say where images lie, not which they are.

    Raises:
        ConfigError: They differ; the message names the first such key.
        CheckpointError: The folder's config is damaged.
    """
    if not (folder / CONFIG).exists():
        return
    old, new = flatten(_as_today(read_config(folder, error=CheckpointError))), flatten(dict(config))
    anywhere = [*places] if noted_data(folder) is not None else []
    if old.get("init_from") is not None and new.get("init_from") is not None:
        anywhere.append("init_from")
    for key in sorted((old.keys() | new.keys()) - set(anywhere)):
        group = key.split(".")[0]
        fixed = group in FIXED if free is None else not {key, group} & set(free)
        if fixed and key not in FREE and old.get(key) != new.get(key) and not _known_to_one_only(key, old, new):
            raise ConfigError(
                f"{key} must stay {_shown(old, key)} to continue the run in {folder}, got {_shown(new, key)}; start a "
                "new run to change it."
            )


def _as_today(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config in which what was one recipe before runs kept a phases.json is an optimizer and a schedule."""
    recipe = config.get("optimizer")
    if not isinstance(recipe, Mapping) or recipe.get("_target_") != "hpcm_spectral.training.AdamRecipe":
        return dict(config)
    drops = {key: recipe.get(key) for key in ("milestones", "factors")}
    drops |= {"max_epochs": config["trainer"]["max_epochs"], "interval": "epoch", "monitor": None}
    optimizer = {"_target_": "torch.optim.Adam", "lr": recipe.get("lr"), "betas": recipe.get("betas")}
    schedule = {"_target_": "hpcm_spectral.training.published_drops", **drops}
    return {**config, "optimizer": optimizer, "lr_scheduler": schedule}


def _known_to_one_only(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether one side lacks a key of a group that both have of one class, or a whole group that is off."""
    if key in old and key in new:
        return False
    group, dot, _ = key.rpartition(".")
    if not dot:
        own, other = (old, new) if key in old else (new, old)
        return own[key] == {} and not any(name.startswith(f"{key}.") for name in other)
    target = old.get(f"{group}._target_")
    return target is not None and target == new.get(f"{group}._target_")


def _shown(settings: Mapping[str, Any], key: str) -> str:
    """A value as YAML writes it; a group without settings is off."""
    value = settings.get(key, ...)
    if value is ... or value == {}:
        return "off" if value == {} else "on" if any(other.startswith(f"{key}.") for other in settings) else "absent"
    return json.dumps(value, ensure_ascii=False)

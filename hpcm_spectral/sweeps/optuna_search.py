"""Search by Optuna, with any launcher: the study lies in the sweep's folder and outlives a kill."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.runs.plain_files import write_json
from hpcm_spectral.runs.summary import read_summary

log = logging.getLogger("hpcm_spectral")
JOURNAL, BEST = "optuna.journal", "best_trial.json"
STUDY = "sweep"


@dataclass
class OptunaSearch:
    """Asks a study for values, has them trained, and tells it the least ``val/loss``.

    Hydra's own Optuna sweeper needs Optuna 2 and cannot prune.

    Args:
        n_trials: Trials to finish or prune in all sessions together.
        n_jobs: Trials to launch at a time.
        seed: Of the sampler; None: a new one each time.
        pruner: ``median`` stops a trial whose ``val/loss`` is above the median of earlier ones at that epoch.
        n_startup_trials: Trials at random, and unpruned, before the sampler and the pruner judge.
        n_warmup_epochs: Epochs in which no trial is pruned.
        params: What to search, in Hydra's syntax: ``interval(a, b)``, ``range(a, b)``, ``choice(a, b)``,
            ``tag(log, interval(a, b))``. The command line adds to it and replaces it.
    """

    n_trials: int = 20
    n_jobs: int = 1
    seed: int | None = 0
    pruner: Literal["median", "none"] = "median"
    n_startup_trials: int = 5
    n_warmup_epochs: int = 0
    params: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, value in (("n_trials", self.n_trials), ("n_jobs", self.n_jobs)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"hydra.sweeper.{name} must be a whole number from 1 on, got {value!r}.")
        if self.pruner not in ("median", "none"):
            raise ConfigError(f"hydra.sweeper.pruner must be median or none, got {self.pruner!r}.")

    def study_pruner(self) -> optuna.pruners.BasePruner:
        """What ends trials early."""
        if self.pruner == "none":
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner(self.n_startup_trials, self.n_warmup_epochs)

    def run(self, sweeper: Any, arguments: Sequence[str]) -> None:
        """Have the launcher of Hydra's plugin run trials until enough have been finished or pruned.

        Raises:
            ConfigError: There is nothing to search, or a value cannot be searched.
        """
        folder = Path(str(sweeper.config.hydra.sweep.dir))
        folder.mkdir(parents=True, exist_ok=True)
        fixed, space = self._parse(sweeper.hydra_context.config_loader, arguments)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=storage_in(folder),
            study_name=STUDY,
            load_if_exists=True,
            direction="minimize",
            sampler=optuna.samplers.TPESampler(
                seed=self.seed, n_startup_trials=self.n_startup_trials, constant_liar=True
            ),
            pruner=self.study_pruner(),
        )
        _check_space(study, space, folder)
        OmegaConf.save(sweeper.config, folder / "multirun.yaml")
        _ask_again(study, space)
        done = len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))
        if done:
            log.info("%d of %d trials are done already", done, self.n_trials)
        left = self.n_trials - done
        for number in range(0, left, self.n_jobs):
            trials = [study.ask(space) for _ in range(min(self.n_jobs, left - number))]
            batch = [
                [*fixed, *(f"{key}={value}" for key, value in trial.params.items()), f"sweep.trial={trial.number}"]
                for trial in trials
            ]
            sweeper.validate_batch_is_legal(batch)
            returns = sweeper.launcher.launch(batch, initial_job_idx=number)
            for trial, job in zip(trials, returns, strict=True):
                _tell(study, trial, job)
            _conclude(study, folder)

    def _parse(
        self, config_loader: ConfigLoader, arguments: Sequence[str]
    ) -> tuple[list[str], dict[str, BaseDistribution]]:
        """The overrides that every trial shares, and what to search."""
        parser = OverridesParser.create(config_loader=config_loader)
        texts = [f"{key}={value}" for key, value in (self.params or {}).items()]
        found = {o.get_key_element(): o for o in parser.parse_overrides([*texts, *arguments])}
        fixed = [f"{key}={o.get_value_element_as_str()}" for key, o in found.items() if not o.is_sweep_override()]
        space = {key: _distribution(key, o) for key, o in found.items() if o.is_sweep_override()}
        if not space:
            raise ConfigError(
                "hydra.sweeper.params must name what to search, got nothing; experiment=tau_search is an example."
            )
        return fixed, space


def _distribution(key: str, override: Override) -> BaseDistribution:
    value = override.value()
    if isinstance(value, IntervalSweep):
        start, end, logarithmic = value.start, value.end, "log" in value.tags
        assert start is not None
        assert end is not None
        if not start < end or (logarithmic and start <= 0):
            raise ConfigError(f"{key} must be searched in an interval that rises from its start, got {start} to {end}.")
        if isinstance(start, int) and isinstance(end, int):
            return IntDistribution(start, end, log=logarithmic)
        return FloatDistribution(float(start), float(end), log=logarithmic)
    if isinstance(value, RangeSweep) and isinstance(value.start, int) and isinstance(value.step, int):
        values = list(value.range())
        return IntDistribution(int(values[0]), int(values[-1]), step=int(value.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def storage_in(folder: Path) -> JournalStorage:
    """The study's storage: one file in the sweep's folder, which jobs on other nodes may write, too."""
    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def _check_space(study: optuna.Study, space: Mapping[str, BaseDistribution], folder: Path) -> None:
    """Refuse what Optuna cannot search on in one study: other choices, or numbers where choices were.

    Raises:
        ConfigError: A setting was searched in another way before.
    """
    for trial in study.get_trials(deepcopy=False):
        for key in trial.distributions.keys() & space.keys():
            before, now = trial.distributions[key], space[key]
            try:
                check_distribution_compatibility(before, now)
            except ValueError:
                raise ConfigError(
                    f"{key} must be searched as it was in {folder}, {_shown(before)}, got {_shown(now)}; set another "
                    "hydra.sweep.dir or sweep.name to search it anew."
                ) from None


def _shown(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"choice({', '.join(map(str, distribution.choices))})"
    return "whole numbers" if isinstance(distribution, IntDistribution) else "numbers"


def _ask_again(study: optuna.Study, space: Mapping[str, BaseDistribution]) -> None:
    """Have trials tried again that a kill or an error ended, with the same values and so in the same folder."""
    trials = study.get_trials(deepcopy=False)
    settled = [t.params for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING)]
    for trial in (t for t in trials if t.state in (TrialState.RUNNING, TrialState.FAIL)):
        if trial.state is TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        # Not one with values that are searched no more.
        fits = trial.params.keys() == space.keys() and all(
            space[key]._contains(space[key].to_internal_repr(value)) for key, value in trial.params.items()
        )
        if fits and trial.params and trial.params not in settled:
            settled.append(trial.params)
            study.enqueue_trial(trial.params)


def _tell(study: optuna.Study, trial: optuna.Trial, job: JobReturn) -> None:
    loss = float(job.return_value)
    if math.isnan(loss):  # failed, or never validated
        study.tell(trial, state=TrialState.FAIL)
        return
    assert job.hydra_cfg is not None
    pruned = read_summary(Path(str(job.hydra_cfg.hydra.runtime.output_dir))).get("state") == "pruned"
    study.tell(trial, None if pruned else loss, state=TrialState.PRUNED if pruned else TrialState.COMPLETE)


def _conclude(study: optuna.Study, folder: Path) -> None:
    """Keep and say what is best so far."""
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        return
    best = study.best_trial
    content = {"trial": best.number, "val_loss": best.value, "params": best.params}
    write_json(folder / BEST, content)
    log.info("best so far: %s at val/loss %.4f", " ".join(f"{k}={v}" for k, v in best.params.items()), best.value)


def load_trial(folder: Path, number: int) -> optuna.Trial:
    """The running trial of a number, of the study in a sweep's folder, with the pruner that its sweeper set."""
    sweeper = OmegaConf.load(folder / "multirun.yaml").hydra.sweeper
    search = OptunaSearch(**{k: v for k, v in sweeper.items() if k not in ("_target_", "params")})
    study = optuna.load_study(study_name=STUDY, storage=storage_in(folder), pruner=search.study_pruner())
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)

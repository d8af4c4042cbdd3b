"""Entry points: Hydra composes the config, errors that a user can mend end with one sentence and status 2.

The programs' own modules are imported once their config is composed, so that Hydra's flags (--help, --cfg) need not
wait for torch.
"""

import io
import logging
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hpcm_spectral.cli.command_line import CommandLine, as_list_override, as_overrides, config_folder, value_of
from hpcm_spectral.cli.hydra_errors import describe
from hpcm_spectral.cli.memory import keep_freed_memory
from hpcm_spectral.errors import ConfigError, UserError, first_line, sentence
from hpcm_spectral.names import PlainFormatter
from hpcm_spectral.runs.folder import run_folder_for
from hpcm_spectral.runs.saved_config import with_saved_overrides
from hpcm_spectral.sweeps.launchers import RANKS, refuse_missing
from hpcm_spectral.sweeps.names import job_folder, sweep_names
from hpcm_spectral.sweeps.session import SweepSession

__all__ = ["benchmark", "compress", "config_folder", "convert_checkpoint", "decompress", "evaluate", "report", "train"]

log = logging.getLogger("hpcm_spectral")
# Here, as the processes of a launcher import this module, too, before they compose a config.
OmegaConf.register_new_resolver("hpcm_run_folder", run_folder_for, replace=True)
OmegaConf.register_new_resolver("hpcm_job_folder", job_folder, replace=True)
# The launchers' options here go by their plugins' own names, which Hydra has announced to refuse since its version 1.1.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
# Hydra copies the one store of its plugins' configs a hundred times for --help, half a second; reading it copies, too.
ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
FULL_ERROR, TRACEBACK = "HYDRA_FULL_ERROR", "HPCM_SPECTRAL_TRACEBACK"


def train() -> None:
    """``scripts/train.py``: train a codec, or many in a sweep, which ends with a table of its jobs."""
    try:
        _run("train", "train:train_codec", _prepare_training)
    finally:
        done = SweepSession.conclude()
    if not done:
        sys.exit(1)


def benchmark() -> None:
    """``scripts/benchmark.py``: measure configs side by side."""

    def prepare(line: CommandLine) -> None:
        line.add_conf_beside()
        line.quote_items("compare")

    _run("benchmark", "benchmark:run_benchmark", prepare)


def compress() -> None:
    """``scripts/compress.py``: code images into files."""
    _run("compress", "compress:run_compression")


def decompress() -> None:
    """``scripts/decompress.py``: decode files into images."""
    _run("decompress", "decompress:run_decompression")


def evaluate() -> None:
    """``scripts/evaluate.py``: measure codecs on files of a folder of images."""
    _run("evaluate", "evaluate:run_evaluation")


def convert_checkpoint() -> None:
    """``scripts/convert_checkpoint.py``: turn a checkpoint into an exported codec."""

    def prepare(line: CommandLine) -> None:
        line.words = as_overrides(line.words, ("checkpoint", "output"), _settings("convert_checkpoint"))

    _run("convert_checkpoint", "convert_checkpoint:convert", prepare)


def report() -> None:
    """``scripts/report.py``: compare runs."""

    def prepare(line: CommandLine) -> None:
        line.words = as_list_override(line.words, "runs", _settings("report"))

    _run("report", "report:run_report", prepare)


def _settings(config_name: str) -> list[str]:
    return [str(name) for name in OmegaConf.load(config_folder() / f"{config_name}.yaml")]


def _prepare_training(line: CommandLine) -> None:
    """Add what a run that goes on was started with, and what names a sweep and its jobs."""
    for name in RANKS:
        if not os.environ.get(name, "0").isdecimal():
            raise ConfigError(f"{name} in the environment must number this process, got {os.environ[name]}; unset it.")
    refuse_missing(line.words)
    line.add_conf_beside()
    line.quote_values()
    config_name = line.flags.config_name or "train"
    if not line.flags.multirun:
        line.words = with_saved_overrides(line.words, line.resumed(), partial(line.fits, config_name))
    overrides = line.overrides()
    mode, name, experiment = (value_of(overrides, key) for key in ("hydra.mode", "sweep.name", "experiment"))
    if experiment is not None:
        try:
            config = line.compose(config_name, [f"experiment={experiment}"])
        except (HydraException, OmegaConfBaseException):
            return  # Hydra itself will say what is wrong
        except (ValueError, TypeError, YAMLError) as error:
            raise ConfigError(
                f"experiment={experiment} must be a config that Hydra reads, but: {first_line(error)}; quote words "
                'that YAML takes for others, such as "off".'
            ) from None
        mode = mode or (config.hydra.mode and config.hydra.mode.name)
        name = name or config.sweep.name
    if line.flags.multirun or mode == "MULTIRUN":
        if any(override.key_or_group == "hydra.run.dir" for override in overrides):
            raise ConfigError("hydra.run.dir must be left out of a sweep, got one; its folder is hydra.sweep.dir.")
        place = value_of(overrides, "hydra.sweep.dir")
        if any(f"${{{o.key_or_group}}}" in str(place) for o in overrides if o.is_sweep_override()):
            raise ConfigError(
                f"hydra.sweep.dir must be the same for all jobs, got {place}; set hydra.sweep.subdir by it."
            )
        line.words += sweep_names(overrides, named=name is not None)


def _run(config_name: str, program: str, prepare: Callable[[CommandLine], object] = lambda line: None) -> None:
    """Have Hydra compose a config for a program, MODULE:FUNCTION; ``prepare`` first adapts the command line."""
    _set_up_output()
    main_process = os.getpid()
    # Further processes of a training on several devices inherit the environment: what the user wanted must survive.
    wants_traceback = os.environ.setdefault(TRACEBACK, os.environ.get(FULL_ERROR, "0")) not in ("", "0")
    # Hydra then hands errors through instead of printing them in its own way.
    os.environ[FULL_ERROR] = "1"

    failed: list[UserError | OSError] = []  # jobs of a sweep

    def task(cfg: DictConfig) -> Any:
        if os.getpid() != main_process:
            # A launcher's process: several jobs may write to the same terminal.
            _set_up_output(f"[{HydraConfig.get().job.num}] ")
        try:
            function = resolve_name(f"hpcm_spectral.cli.{program}")
            _quieten_lightning()
            keep_freed_memory()
            return function(cfg)
        except (UserError, OSError, HydraException, OmegaConfBaseException) as error:
            # Leaving here keeps Hydra from printing its own report; in a sweep the other jobs must go on.
            sweeps = HydraConfig.get().mode is RunMode.MULTIRUN
            if wants_traceback or (sweeps and os.getpid() != main_process):
                raise
            if not sweeps:
                _stop(in_one_sentence(error))
            failed.append(in_one_sentence(error))
            return None

    def in_one_sentence(error: Exception) -> UserError | OSError:
        # Some of Hydra's are errors of the system's kind, too.
        hydras = isinstance(error, HydraException | OmegaConfBaseException)
        return ConfigError(describe(error, line, config_name)) if hydras else error  # type: ignore[return-value]

    try:
        line = CommandLine.parse(sys.argv[1:])
        config_name = line.flags.config_name or config_name
        if line.flags.hydra_help:
            line.words = []  # Hydra holds them against its own config alone
        elif not line.flags.shell_completion:
            prepare(line)
            line.quote_values()
            _refuse_empty_groups(line)
            if value_of(line.overrides(), "hydra.job.chdir"):
                raise ConfigError(
                    "hydra.job.chdir must stay false, as paths are those of the current folder; leave it out."
                )
        # Where Lightning starts further processes, it is with these.
        sys.argv[1:] = line.arguments()
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(task)()
        for error in failed[:-1]:
            print(f"error: {sentence(error)}", file=sys.stderr)
        if failed:
            _stop(failed[-1])
    except BrokenPipeError:  # the reader, such as head, has had enough
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        sys.exit(141)
    except (UserError, OSError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        _stop(in_one_sentence(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _refuse_empty_groups(line: CommandLine) -> None:
    """Hydra has no sentence for a group that is set to nothing, only a traceback."""
    for word in line.words:
        group, given, option = word.partition("=")
        if given and option.strip("'\"") in ("", "null") and line.is_group(group):
            raise ConfigError(f"{group} must name an option of its group, got {option or 'nothing'}; leave it out.")


def _stop(error: UserError | OSError) -> NoReturn:
    print(f"error: {sentence(error)}", file=sys.stderr)
    sys.exit(2)


def _set_up_output(prefix: str = "") -> None:
    # Names of files may hold what the terminal cannot show; it must not end a program that has done its work.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter(f"{prefix}%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    # It prints the reason of a failed import, which the error's sentence tells.
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)
    # W&B would announce itself in several lines; where its files are is said in one.
    os.environ.setdefault("WANDB_SILENT", "true")


def _quieten_lightning() -> None:
    """Leave out Lightning's advice: workers and logging intervals are chosen here, with reasons."""
    # Lightning sets its loggers up when it is imported, so this must come later.
    for noisy in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")

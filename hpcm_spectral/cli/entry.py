"""Entry points: Hydra composes the config, errors that a user can mend end with one sentence and status 2."""

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpcm_spectral.cli.hydra_errors import describe
from hpcm_spectral.cli.positionals import as_list_override, as_overrides
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.runs.folder import run_folder_for
from hpcm_spectral.runs.saved_config import with_saved_overrides
from hpcm_spectral.sweeps.launchers import refuse_missing
from hpcm_spectral.sweeps.names import job_folder, with_sweep_names

log = logging.getLogger("hpcm_spectral")
# Here, as the processes of a launcher import this module, too, before they compose a config.
OmegaConf.register_new_resolver("hpcm_run_folder", run_folder_for, replace=True)
OmegaConf.register_new_resolver("hpcm_job_folder", job_folder, replace=True)
# The launchers' options here go by their plugins' own names, which Hydra has announced to refuse since its version 1.1.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
FULL_ERROR, TRACEBACK = "HYDRA_FULL_ERROR", "HPCM_SPECTRAL_TRACEBACK"


def config_folder() -> Path:
    """Where the config lies: in the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


def train() -> None:
    """``scripts/train.py``: train a codec, or many in a sweep, which ends with a table of its jobs."""
    try:
        _run_program("train", "hpcm_spectral.cli.train", "train_codec", adapt=_name_sweep)
    finally:
        status = _conclude_sweep()
    if status:
        sys.exit(status)


def _name_sweep(arguments: list[str]) -> list[str]:
    refuse_missing(arguments)
    return with_sweep_names(with_saved_overrides(arguments), config_folder())


def _conclude_sweep() -> int:
    """Print the table of the sweep that has ended, if it was one; returns 1 if it is to be run again."""
    session = sys.modules.get("hpcm_spectral.sweeps.table")
    folder = session.SweepSession.close() if session else None
    if session is None or folder is None:
        return 0
    records = session.settle(folder)
    if not records:
        return 0
    left = session.undone(records)
    print(f"\n{session.sweep_table(folder, records)}\n")
    state = f"{len(left)} of them not done; the same command goes on with those" if left else "all done"
    print(f"{folder}: {len(records)} job{'s' if len(records) > 1 else ''}, {state}", flush=True)
    return 1 if left else 0


def benchmark() -> None:
    """``scripts/benchmark.py``: measure two things side by side."""
    _run_program("benchmark", "hpcm_spectral.cli.benchmark", "run_benchmark")


def compress() -> None:
    """``scripts/compress.py``: code images into files."""
    _run_program("compress", "hpcm_spectral.cli.coding", "compress")


def decompress() -> None:
    """``scripts/decompress.py``: decode files into images."""
    _run_program("decompress", "hpcm_spectral.cli.coding", "decompress")


def evaluate() -> None:
    """``scripts/evaluate.py``: measure codecs on files of a folder of images."""
    _run_program("evaluate", "hpcm_spectral.cli.evaluate", "run_evaluation")


def convert_checkpoint() -> None:
    """``scripts/convert_checkpoint.py``: turn a checkpoint into an exported codec."""
    _run_program("convert_checkpoint", "hpcm_spectral.cli.convert_checkpoint", "convert", ("checkpoint", "output"))


def report() -> None:
    """``scripts/report.py``: compare runs."""
    _run_program("report", "hpcm_spectral.cli.report", "report", "runs")


def _run_program(
    config_name: str,
    module: str,
    function: str,
    paths: str | Sequence[str] = (),
    adapt: Callable[[list[str]], list[str]] = list,
) -> None:
    """Run a program; paths on its command line stand for the settings ``paths``, or all for the one it names."""
    _set_up_output()
    main_process = os.getpid()
    # Further processes of a training on several devices inherit the environment: what the user wanted must survive.
    wants_traceback = os.environ.setdefault(TRACEBACK, os.environ.get(FULL_ERROR, "0")) not in ("", "0")
    # Hydra then hands errors through instead of printing them in its own way.
    os.environ[FULL_ERROR] = "1"

    def task(cfg: DictConfig) -> Any:
        if os.getpid() != main_process:
            # A launcher's process: several jobs may write to the same terminal.
            _set_up_output(f"[{HydraConfig.get().job.num}] ")
        # Imported here, so that Hydra's own flags (--help, --cfg) need not wait for torch.
        try:
            program = getattr(importlib.import_module(module), function)
            _quieten_lightning()
            return program(cfg)
        except (UserError, OSError) as error:
            # Leaving here keeps Hydra from printing its own report; in a sweep the other jobs must go on.
            if wants_traceback or HydraConfig.get().mode is RunMode.MULTIRUN:
                raise
            _stop(str(error) if isinstance(error, UserError) else _describe_os_error(error))

    program: Callable[[], Any] = hydra.main(
        version_base="1.3", config_path=str(config_folder()), config_name=config_name
    )(task)
    try:
        if paths:
            settings = OmegaConf.load(config_folder() / f"{config_name}.yaml").keys()
            convert = as_list_override if isinstance(paths, str) else as_overrides
            sys.argv[1:] = convert(sys.argv[1:], paths, [str(name) for name in settings])  # type: ignore[arg-type]
        sys.argv[1:] = adapt(sys.argv[1:])
        _refuse_empty_groups(sys.argv[1:])
        program()
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        _stop(str(error) if isinstance(error, UserError) else describe(error, config_folder(), config_name))
    except BrokenPipeError:  # the reader, such as head, has had enough
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        sys.exit(141)
    except OSError as error:
        if wants_traceback:
            raise
        _stop(_describe_os_error(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _refuse_empty_groups(arguments: list[str]) -> None:
    """Hydra has no sentence for a group that is set to nothing, only a traceback."""
    for argument in arguments:
        group, given, option = argument.partition("=")
        if given and option.strip("'\"") in ("", "null") and (config_folder() / group).is_dir():
            raise ConfigError(f"{group} must name an option of its group, got {option or 'nothing'}; leave it out.")


def _describe_os_error(error: OSError) -> str:
    return f"{error.filename or 'a file'} cannot be used: {error.strerror or error}; choose another place."


def _stop(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _set_up_output(prefix: str = "") -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{prefix}%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    # It prints the reason of a failed import, which the error's sentence tells.
    logging.getLogger("hydra").setLevel(logging.CRITICAL)
    # W&B would announce itself in several lines; where its files are is said in one.
    os.environ.setdefault("WANDB_SILENT", "true")


def _quieten_lightning() -> None:
    """Leave out Lightning's advice: workers and logging intervals are chosen here, with reasons."""
    # Lightning sets its loggers up when it is imported, so this must come later.
    for noisy in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")

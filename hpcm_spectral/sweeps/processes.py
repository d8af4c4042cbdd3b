"""Jobs that one process is not enough for: trainings on several devices, and schedulers that start several tasks.

Lightning starts the further processes of a training by running its command line again, which in a sweep would be the
whole sweep. A job on several devices is therefore a process of its own, with a command line of its own. Where SLURM
starts a task per device, the tasks are the training's processes, and the first one of them keeps the run folder.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString

from hpcm_spectral.data.loader import STOP_SIGNALS
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.runs.summary import read_summary, write_summary
from hpcm_spectral.sweeps.launchers import RANKS

log = logging.getLogger("hpcm_spectral")
# A module name, not an import: the command line lies above.
PROGRAM = ("-m", "hpcm_spectral.cli")
# What a training that is asked to stop may take before it is killed.
PATIENCE_S = 60.0
REFUSED, INTERRUPTED = 2, tuple(status for n in STOP_SIGNALS for status in (128 + n, -n))


class JobFailedError(Exception):
    """A job's process ended with an error that is not the user's to mend: its last line, and all that it said."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def task_rank() -> int:
    """The number of this process among the tasks that a scheduler started for one job; 0 if it started one."""
    return int(os.environ.get("SUBMITIT_LOCAL_GLOBALRANK", os.environ.get("SLURM_PROCID", "0")))


def check_rank(trainer: Mapping[str, Any]) -> None:
    """Refuse to be one of several processes in a training that takes one: it would train in silence and leave nothing.

    Raises:
        ConfigError: The environment says that this is not the first process, and ``trainer`` says that there is one.
    """
    name = next((name for name in RANKS if name in os.environ), None)
    if name is None or os.environ[name] == "0" or needs_processes(trainer):
        return
    raise ConfigError(
        f"trainer.devices and num_nodes must ask for several processes where {name}={os.environ[name]} in the "
        "environment says that this is one of several, but they ask for one; set them, or start the program once and "
        f"without {name}."
    )


def slurm_session() -> str | None:
    """Names the start of a SLURM job whose tasks train together; None where there are no such tasks."""
    if "SUBMITIT_LOCAL_GLOBALRANK" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) < 2:
        return None
    return f"{os.environ.get('SLURM_JOB_ID', '')}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"


def needs_processes(trainer: Mapping[str, Any]) -> bool:
    """Whether a training by these settings of Lightning's ``Trainer`` takes more than one process.

    Example:
        >>> [needs_processes({"accelerator": "cpu", "devices": d}) for d in (1, 2, "2", [0], "auto")]
        [False, True, True, False, False]
    """
    devices = trainer.get("devices", "auto")
    if devices in ("auto", -1, "-1"):
        count = 1 if trainer.get("accelerator") == "cpu" else torch.cuda.device_count()
    elif isinstance(devices, str) and "," in devices:
        count = len(devices.strip(",").split(","))
    elif isinstance(devices, list):
        count = len(devices)
    else:
        count = int(devices) if str(devices).isdigit() else 1
    return count > 1 or trainer.get("num_nodes", 1) > 1


def train_apart(sweep: Path, folder: Path, resume: str | None) -> None:
    """Train the job that Hydra has composed for this process in a process of its own, and wait for it.

    It takes the lock of the run folder itself. What it logs is logged here, too.

    Raises:
        UserError: The process ended with a sentence for the user.
        JobFailedError: It ended in another way.
        KeyboardInterrupt: It was interrupted, or this process was, which is passed on.
    """
    # On SLURM the name tells Lightning that its processes are its own to start, as there are no tasks for them.
    env = os.environ | ({"SLURM_JOB_NAME": "interactive"} if "SLURM_NTASKS" in os.environ else {})
    command = [sys.executable, *PROGRAM, *_arguments(sweep, folder, resume)]
    sentence, output = "", deque[str](maxlen=100)
    with (
        _noting_interruptions(folder),
        _terminating_by_exception(),
        subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, errors="replace") as process,
        _stopping(process),
    ):
        assert process.stderr is not None
        for line in process.stderr:
            text = line.rstrip()
            if text.startswith("error: "):
                sentence = text.removeprefix("error: ")
            else:
                log.info("%s", text)
                output.append(text)
        status = process.wait()
    if status == REFUSED and sentence:
        raise UserError(sentence)
    if status in INTERRUPTED:
        raise KeyboardInterrupt
    if status != 0:
        last = next((text for text in reversed(output) if text), f"its process ended with status {status}")
        raise JobFailedError(sentence or last, "\n".join(output))


def _arguments(sweep: Path, folder: Path, resume: str | None) -> list[str]:
    hydra = HydraConfig.get()
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    places = {"hydra.run.dir": folder, "hydra.sweep.dir": sweep}
    return [
        f"--config-name={hydra.job.config_name}",
        *(f"--config-dir={path}" for path in folders),
        *hydra.overrides.task,
        *(override for override in hydra.overrides.hydra if override.startswith("hydra.searchpath=")),
        *(f"{key}={QuotedString(str(path), Quote.single).with_quotes()}" for key, path in places.items()),
        "hydra.mode=RUN",
        *([] if resume is None else [f"resume={resume}"]),
    ]


@contextlib.contextmanager
def _noting_interruptions(folder: Path) -> Iterator[None]:
    """Say in a run's summary that it was interrupted, where its process had no time left to say so itself."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        summary = read_summary(folder)
        if summary.get("state") == "running":
            write_summary(folder, {**summary, "state": "interrupted"})
        raise


@contextlib.contextmanager
def _stopping(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Have a process wind down if the block ends before it, whatever ends the block."""
    try:
        yield
    except BaseException:
        # At a terminal Ctrl-C has reached it already; what runs in the background may ignore that.
        for seconds, number in ((1, signal.SIGINT), (5, signal.SIGTERM)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=seconds)
            process.send_signal(number)
        try:
            process.communicate(timeout=PATIENCE_S)
        finally:  # out of patience, or told to stop once more
            process.kill()
        raise


@contextlib.contextmanager
def _terminating_by_exception() -> Iterator[None]:
    """Turn a SIGTERM, which would end this process at once, into an exit that unwinds it."""
    theirs = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM)
    if theirs is not signal.SIG_DFL:  # a scheduler's own handling, which unwinds as well
        yield
        return

    def leave(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

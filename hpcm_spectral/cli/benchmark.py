"""Run a benchmark: configs measured side by side, their table, and a folder with figures and a picture."""

import logging
import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from hpcm_spectral.benchmarks.comparison import Comparison, Measured
from hpcm_spectral.benchmarks.dct import truncation_cost
from hpcm_spectral.benchmarks.loader import loader_cost
from hpcm_spectral.benchmarks.rates import matrix_operations, matrix_product
from hpcm_spectral.benchmarks.things import Thing
from hpcm_spectral.benchmarks.turns import rounds_in_turns
from hpcm_spectral.cli.benchmark_building import build_thing
from hpcm_spectral.cli.benchmark_settings import TITLES, BenchmarkSettings, DctSettings, FolderSettings, settings_of
from hpcm_spectral.cli.compared import Compared, compose_each, each_stage_alone
from hpcm_spectral.cli.memory import keep_freed_memory
from hpcm_spectral.cli.outputs import folder_to_fill, output_folder
from hpcm_spectral.config import check_settings, plain
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.ops.devices import check_device
from hpcm_spectral.reports.style import save_figure
from hpcm_spectral.runs.plain_files import write_json
from hpcm_spectral.runs.provenance import describe_run
from hpcm_spectral.training.resources import accelerator_facts, peak_memory_mib

log = logging.getLogger("hpcm_spectral")
FIGURES, PICTURE = "benchmark.json", "benchmark.png"


def run_benchmark(cfg: DictConfig) -> None:
    """Measure, print, and write what was measured.

    Raises:
        ConfigError: A value is outside its range, or a config that is compared cannot be built.
    """
    config: dict[str, Any] = plain(cfg)
    if config["kind"] not in ("dct", "folder", *TITLES):
        raise ConfigError(
            f"kind must be dct, folder, {', '.join(TITLES)}, got {config['kind']!r}; choose one as benchmark=step."
        )
    if config["kind"] == "folder":
        folder = check_settings(FolderSettings, config)
        if folder.images < folder.batch_size:
            raise ConfigError(f"images must be at least batch_size ({folder.batch_size}), got {folder.images}.")
        print(loader_cost(rounds=folder.repeats, **folder.model_dump(exclude={"kind", "repeats"})).table())
        return
    if config["kind"] == "dct":
        settings = check_settings(DctSettings, config)
        check_device(settings.device)
        print(truncation_cost(settings.batch, settings.size, repeats=settings.repeats, device=settings.device).table())
        return
    own = settings_of(config)
    device = check_device(own.device)
    output = None if own.output is None else output_folder(own.output, "a benchmark", [FIGURES, PICTURE])
    if own.compare is not None:
        compared = compose_each(own.compare)
    else:
        compared = each_stage_alone(config) if own.kind == "step" else [Compared("as given", (), config)]
    with nullcontext() if output is None else folder_to_fill(output), _threads_kept():
        comparison = _measure(own, compared, device)
        print(comparison.table())
        if output is not None:
            _write(comparison, output)
    for line in comparison.sentences():
        log.info("%s", line)
    if output is not None:
        log.info("in %s: %s, %s", output, FIGURES, PICTURE)


@contextmanager
def _threads_kept() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measure(own: BenchmarkSettings, compared: list[Compared], device: torch.device) -> Comparison:
    """Build all, so that none fails after others were measured; memory in fresh processes, then times in turns."""
    usual = torch.get_num_threads()
    calls: dict[str, Callable[[], object]] = {}
    built: dict[str, tuple[Thing, Measured]] = {}
    for each in compared:
        with _naming(each, len(compared)):
            threads = settings_of(each.config).threads or usual
            torch.set_num_threads(threads)
            log.info("%s: building", each.name)
            thing = build_thing(each.config)
        matrix = None
        if thing.operations is not None and thing.dtype is not None:
            precision = "float32 as TF32" if thing.tf32 and device.type == "cuda" else str(thing.dtype).split(".")[1]
            matrix = f"{precision}, {threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else precision
            product = matrix_product(thing.dtype, device, tf32=thing.tf32)
            calls.setdefault(f"matrix products, {matrix}", partial(_on_threads, threads, product))
        calls[f"config {each.name}"] = partial(_on_threads, threads, thing.call)
        built[each.name] = (
            thing,
            Measured(each.name, each.overrides, thing.subject, thing.images, threads, 0, (), matrix=matrix),
        )
    peaks = {each.name: _peak(each, usual) if own.memory else None for each in compared}
    log.info("%d round%s of each in turns", own.repeats, "s" * (own.repeats > 1))
    # Loading is the CPU's work.
    clock = torch.device("cpu") if own.kind == "loader" else device
    rounds = rounds_in_turns(calls, clock, own.repeats + 1, announce=True)
    measured = []
    for name, (thing, figures) in built.items():
        first, *seconds = rounds[f"config {name}"]
        operations = None if thing.operations is None else thing.operations()
        measured.append(
            replace(figures, first_seconds=first, seconds=seconds, peak_mib=peaks[name], operations=operations)
        )
    keys = dict.fromkeys(each.matrix for each in measured if each.matrix is not None)
    rates = {key: matrix_operations() / statistics.median(rounds[f"matrix products, {key}"][1:]) for key in keys}
    models = dict.fromkeys(str(each.config["model"]["_target_"]).split(".")[-1] for each in compared)
    subject = "" if own.kind == "loader" else f" of {' and '.join(models)}"
    place = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    return Comparison(f"{TITLES[own.kind]}{subject} on {place}", measured, rates)


def _on_threads(threads: int, call: Callable[[], object]) -> None:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    call()


@contextmanager
def _naming(each: Compared, count: int) -> Iterator[None]:
    """An error within says of which config it is, where there are several."""
    try:
        yield
    except UserError as error:
        if count == 1:
            raise
        raise ConfigError(f"{each.name} cannot be measured: {error}") from error


def _peak(each: Compared, threads: int) -> float:
    log.info("%s: peak memory of two calls in a fresh process", each.name)
    # Spawned: a forked process would start with this one's memory. It keeps what it frees, as every program does.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=keep_freed_memory) as pool:
        try:
            return pool.submit(_peak_memory_mib, each.config, threads).result()
        except BrokenProcessPool:
            raise ConfigError(
                f"{each.name} must fit into memory, but its process was ended; make data.batch_size or picture "
                "smaller, or set memory=false."
            ) from None


def _peak_memory_mib(config: dict[str, Any], threads: int) -> float:
    own = settings_of(config)
    torch.set_num_threads(own.threads or threads)
    thing = build_thing(config)
    for _ in range(2):
        thing.call()
    on_gpu = own.device == "cuda" and own.kind != "loader"
    return torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_memory_mib()


def _write(comparison: Comparison, output: Path) -> None:
    """The picture and the figures, both or none."""
    try:
        save_figure(comparison.picture(), output / PICTURE)
        figures = comparison.plain() | {"session": describe_run(None, accelerator_facts())}
        write_json(output / FIGURES, figures)
    except BaseException:
        (output / PICTURE).unlink(missing_ok=True)
        raise

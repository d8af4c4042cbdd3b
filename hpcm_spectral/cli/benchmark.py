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
from typing import Annotated, Any, Literal

import torch
from omegaconf import DictConfig
from pydantic import Field

from hpcm_spectral.benchmarks import things
from hpcm_spectral.benchmarks.comparison import Comparison, Measured
from hpcm_spectral.benchmarks.dct import truncation_cost
from hpcm_spectral.benchmarks.loader import FileKind, loader_cost
from hpcm_spectral.benchmarks.rates import matrix_operations, matrix_product
from hpcm_spectral.benchmarks.things import Thing
from hpcm_spectral.benchmarks.turns import rounds_in_turns
from hpcm_spectral.build import build_data_and_module, build_node, build_stages
from hpcm_spectral.cli.compared import Compared, compose_each
from hpcm_spectral.cli.entry import config_folder
from hpcm_spectral.cli.outputs import folder_to_fill, output_folder
from hpcm_spectral.config import RunSettings, StrictSettings, check_config, check_settings, plain
from hpcm_spectral.data import ImageDataModule
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.models.init_from import initialise
from hpcm_spectral.models.sources import read_source
from hpcm_spectral.ops.devices import check_device
from hpcm_spectral.reports.style import save_figure
from hpcm_spectral.runs.plain_files import write_json
from hpcm_spectral.runs.provenance import describe_run
from hpcm_spectral.training.module import BASELINE
from hpcm_spectral.training.resources import accelerator_facts, peak_memory_mib

log = logging.getLogger("hpcm_spectral")
PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16}
FIGURES, PICTURE = "benchmark.json", "benchmark.png"
Count = Annotated[int, Field(ge=1)]
TITLES = {
    "step": "Training steps",
    "encode": "Encoding",
    "decode": "Decoding",
    "evaluate": "Evaluation",
    "loader": "Loading of training data",
}


class DctSettings(StrictSettings):
    """The settings of ``conf/benchmark/dct.yaml``."""

    kind: Literal["dct"]
    batch: Count
    size: Count
    repeats: Count
    device: str


class FolderSettings(StrictSettings):
    """The settings of ``conf/benchmark/folder.yaml``."""

    kind: Literal["folder"]
    file_kind: FileKind
    images: Count
    crop_size: Count
    batch_size: Count
    workers: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=2)]
    repeats: Count


class BenchmarkSettings(StrictSettings):
    """The settings of ``conf/benchmark/step.yaml`` and its likes that are not those of a training."""

    kind: Literal["step", "encode", "decode", "evaluate", "loader"]
    compare: list[Any] | dict[str, Any] | None
    repeats: Count
    device: str
    threads: Count | None
    memory: bool
    epoch: float | None
    picture: tuple[Count, Count]
    output: str | None


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
    own = _settings(config)
    device = check_device(own.device)
    output = None if own.output is None else output_folder(own.output, "a benchmark", [FIGURES, PICTURE])
    compared = _compared(own, config)
    with nullcontext() if output is None else folder_to_fill(output), _threads_kept():
        comparison = _measure(own, compared, device)
        print(comparison.table())
        if output is not None:
            _write(comparison, output)
    for line in comparison.sentences():
        log.info("%s", line)
    if output is not None:
        log.info("in %s: %s, %s", output, FIGURES, PICTURE)


def _settings(config: dict[str, Any]) -> BenchmarkSettings:
    own = {key: value for key, value in config.items() if key not in RunSettings.model_fields}
    if isinstance(own.get("picture"), list):
        own["picture"] = tuple(own["picture"])  # YAML has lists only
    return check_settings(BenchmarkSettings, own)


def _compared(own: BenchmarkSettings, config: dict[str, Any]) -> list[Compared]:
    """What is compared: sets of overrides, or the stages of a training step, or nothing beside the config itself."""
    if own.compare is not None:
        return compose_each(own.compare)
    if own.kind != "step":
        return [Compared("as given", (), config)]
    without = _without_stages(config)
    stages = build_stages(check_config(_of_run(config)))
    if not stages:
        raise ConfigError(
            "phase1 or phase2 must be on to be measured, got off for both; turn one on, or name configs in compare."
        )
    compared = [Compared(BASELINE, (), without)]
    for key, stage in stages.items():
        group, _, name = key.partition(".")
        alone = {name: config[group][name]} if name else config[group]
        taken = stage.phase in (each.name for each in compared)
        compared.append(Compared(key if taken else stage.phase, (), without | {group: alone}))
    return compared


def _of_run(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in RunSettings.model_fields if key in config}


def _without_stages(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"phase1": {}, "phase2": {}, "stages": {}}


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
        threads = _settings(each.config).threads or usual
        torch.set_num_threads(threads)
        log.info("%s: building", each.name)
        thing = _named(each, len(compared), lambda each=each: _build(each.config))  # type: ignore[misc]
        matrix = None
        if thing.operations is not None:
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
    log.info("%d rounds of each in turns", own.repeats)
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


def _named(each: Compared, count: int, build: Callable[[], Any]) -> Any:
    """What ``build`` returns; an error says of which config it is, where there are several."""
    try:
        return build()
    except UserError as error:
        if count == 1:
            raise
        raise ConfigError(f"{each.name} cannot be measured: {error}") from error


def _build(config: dict[str, Any]) -> Thing:
    """What the config's kind of benchmark calls."""
    own = _settings(config)
    _check_trainer(own.kind, config["trainer"])
    if own.kind == "loader":
        return things.epoch_of_batches(build_node(check_config(_of_run(config)).data, "data", ImageDataModule))
    # A batch or a picture is needed, for which no process need start and no image stay.
    spared = {key: 0 for key in ("num_workers", "cache_gib") if key in config["data"]}
    config = (config if own.kind == "step" else _without_stages(config)) | {"data": config["data"] | spared}
    settings = check_config(_of_run(config))
    data, module = build_data_and_module(settings)
    codec = module.codec
    if settings.init_from is not None:
        source = read_source(settings.init_from, "init_from", [settings.model["_target_"]])
        initialise(codec, source, config_folder() / "model")
    if own.kind == "step":
        batch = next(iter(data.train_dataloader())).to(own.device)
        progress = things.progress_within(module) if own.epoch is None else own.epoch
        clip, autocast = config["trainer"]["gradient_clip_val"], PRECISIONS[config["trainer"]["precision"]]
        return things.training_step(things.Stepper(module.to(own.device).train(), progress, clip, autocast), batch)
    codec.eval().settle()
    codec.update(force=True)
    codec.to(own.device)
    picture = things.photograph(data.train_files()[0], *own.picture)
    if own.kind == "evaluate":
        return things.scoring(codec, picture)
    make = things.encoding if own.kind == "encode" else things.decoding
    return make(codec, picture, module.memory_format)


def _check_trainer(kind: str, trainer: dict[str, Any]) -> None:
    """Refuse what a benchmark without a trainer would silently leave out."""
    if kind == "loader":
        return
    if trainer["precision"] not in (PRECISIONS if kind == "step" else ["32-true"]):
        steps, files = f"one of {', '.join(PRECISIONS)} to be measured", "32-true, as files are coded in float32"
        must = steps if kind == "step" else files
        raise ConfigError(f"trainer.precision must be {must}, got {trainer['precision']!r}.")
    if kind == "step" and trainer["accumulate_grad_batches"] != 1:
        raise ConfigError(
            "trainer.accumulate_grad_batches must be 1, as single steps are measured, got "
            f"{trainer['accumulate_grad_batches']!r}; set data.batch_size."
        )


def _peak(each: Compared, threads: int) -> float:
    log.info("%s: peak memory of two calls in a fresh process", each.name)
    # Spawned: a forked process would start with this one's memory.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_peak_memory_mib, each.config, threads).result()
        except BrokenProcessPool:
            raise ConfigError(
                f"{each.name} must fit into memory, but its process was ended; make data.batch_size or picture "
                "smaller, or set memory=false."
            ) from None


def _peak_memory_mib(config: dict[str, Any], threads: int) -> float:
    own = _settings(config)
    torch.set_num_threads(own.threads or threads)
    thing = _build(config)
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

"""Checks of a composed config before anything is built, against the signatures of the classes that it names."""

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import hydra.utils
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from hpcm_spectral.errors import ConfigError, first_line

TARGET = "_target_"
Settings = TypeVar("Settings", bound=BaseModel)
# One name or a list of them.
Names = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
# Limit of an image's size, in millions of pixels.
Megapixels = Annotated[int, Field(ge=1)]
# What coding programs compute networks outside the entropy path in: names of torch's.
Transforms = Literal["float32", "bfloat16"]
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "sequence": "a list",
    "tuple": "a list",
    "dict": "a group of settings",
    "none": "null",
}


class StrictSettings(BaseModel):
    """Settings of the program itself: known keys only, no type turned into another."""

    model_config = ConfigDict(strict=True, extra="forbid")


class SweepSettings(StrictSettings):
    """How a sweep is named and what it does with runs that exist."""

    name: str | None = None
    on_existing: Literal["skip", "resume", "restart"] = "resume"
    trial: int | None = None


class RunSettings(StrictSettings):
    """The top level of a training config; each group is checked against its own class."""

    model: dict[str, Any]
    schedule: dict[str, Any]
    phase1: dict[str, Any]
    phase2: dict[str, Any]
    stages: dict[str, Any] = {}
    data: dict[str, Any]
    loss: dict[str, Any]
    optimizer: dict[str, Any]
    lr_scheduler: dict[str, Any]
    trainer: dict[str, Any]
    callbacks: dict[str, Any] = {}
    logger: dict[str, Any]
    diagnostics: dict[str, Any]
    seed: int
    init_from: str | None = None
    resume: str | None
    channels_last: bool
    compile: str | bool | None = None
    sweep: SweepSettings = SweepSettings()


# Groups that may be empty: "off".
OPTIONAL_GROUPS = ("phase1", "phase2", "lr_scheduler", "diagnostics")
GROUPS = ("model", "schedule", *OPTIONAL_GROUPS, "data", "loss", "optimizer", "trainer")
# Groups of any number of objects, each under a name of its own.
KEYED_GROUPS = ("stages", "callbacks", "logger")
# Arguments that the program supplies itself; the first of an optimizer and a schedule, too.
FIRST_SUPPLIED = ("optimizer", "lr_scheduler")
SUPPLIED: Mapping[str, tuple[str, ...]] = {
    "trainer": (
        "logger",
        "callbacks",
        "plugins",
        "enable_checkpointing",
        "default_root_dir",
        "num_sanity_val_steps",
        "enable_model_summary",
        "enable_progress_bar",
    ),
    "diagnostics": ("folder", "codec", "photographs", "draw"),
    "wandb": ("id", "resume", "version", "dir"),
}


class ScheduleSettings(StrictSettings):
    """What is the program's own among the settings of ``lr_scheduler``."""

    interval: Literal["epoch", "step"] = "epoch"
    monitor: str | None = None


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A config as plain, resolved values.

    Raises:
        ConfigError: A value is missing or refers to one that does not exist.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            raise ConfigError(f"{missing[0]} is required, got nothing; set {missing[0]}=VALUE.")
        values = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key} must refer to settings that exist: {first_line(error)}.") from None
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def check_settings(kind: type[Settings], cfg: Mapping[str, Any], prefix: str = "") -> Settings:
    """Check the keys and types of a plain config, whose keys stand behind ``prefix`` on the command line.

    Raises:
        ConfigError: A key is unknown or missing, or its value of another type; the message names the first such key.
    """
    for key in cfg:
        if key not in kind.model_fields:
            raise ConfigError(_unknown(f"{prefix}{key}", [f"{prefix}{name}" for name in kind.model_fields]))
    try:
        return kind.model_validate(dict(cfg))
    except ValidationError as error:
        raise ConfigError(_describe(error, prefix)) from None


def check_config(cfg: Mapping[str, Any]) -> RunSettings:
    """Check a plain training config: known keys, fitting types, importable classes.

    Ranges are the business of the classes themselves.

    Raises:
        ConfigError: Something does not fit; the message names the first such key.
    """
    if isinstance(cfg.get("sweep"), Mapping):
        check_settings(SweepSettings, cfg["sweep"], "sweep.")
    settings = check_settings(RunSettings, cfg)
    if not 0 <= settings.seed < 2**32:
        raise ConfigError(f"seed must lie between 0 and 2^32 - 1, got {settings.seed}.")
    for group in GROUPS:
        node = cfg[group]
        if not node and group in OPTIONAL_GROUPS:
            continue
        if group == "lr_scheduler":
            own, node = split_schedule(node)
            if own.interval == "step" and own.monitor is not None:
                raise ConfigError(
                    "lr_scheduler.interval must be epoch for a schedule that watches lr_scheduler.monitor, got step."
                )
        check_node(node, group, SUPPLIED.get(group, ()))
    for group in KEYED_GROUPS:
        for name, node in getattr(settings, group).items():
            if not isinstance(node, Mapping):
                raise ConfigError(
                    f"{group}.{name} must be a group of settings with a {TARGET}, got {_as_yaml(node)}; name it as in "
                    f"+{group}.mine.{TARGET}=package.module.Class."
                )
            of_wandb = group == "logger" and str(node.get(TARGET)).endswith("WandbLogger")
            # A logger that writes into a folder gets the run folder, unless the user names another.
            folder = ("save_dir",) if group == "logger" and "save_dir" not in node else ()
            check_node(node, f"{group}.{name}", (*folder, *(SUPPLIED["wandb"] if of_wandb else ())))
    return settings


def places_of(cfg: Mapping[str, Any]) -> list[str]:
    """Keys of settings that say where images lie, not which they are."""
    return [f"data.{name}" for name in getattr(hydra.utils.get_object(cfg["data"][TARGET]), "places", ())]


def split_schedule(node: Mapping[str, Any]) -> tuple[ScheduleSettings, dict[str, Any]]:
    """The settings of ``lr_scheduler`` that are the program's own, and those of its class."""
    own = {key: value for key, value in node.items() if key in ScheduleSettings.model_fields}
    rest = {key: value for key, value in node.items() if key not in own}
    return check_settings(ScheduleSettings, own, "lr_scheduler."), rest


def check_node(node: Mapping[str, Any], key: str, supplied: Sequence[str] = ()) -> None:
    """Check the settings of one class against its signature, and those of the classes within them.

    ``supplied`` are arguments that are not the user's to set; in FIRST_SUPPLIED the class's first one is another.

    Raises:
        ConfigError: The class cannot be imported, or a key or type does not fit it.
    """
    target = node.get(TARGET)
    if not isinstance(target, str):
        raise ConfigError(f"{key}.{TARGET} must name a class such as package.module.Class, got {target!r}.")
    try:
        cls = hydra.utils.get_object(target)
        parameters, open_ended = constructor_parameters(cls)
    except Exception as error:  # importing a user's module can fail in any way
        raise ConfigError(
            f"{key}.{TARGET} must name a class that can be imported, got {target}: {_import_reason(error)}; check it "
            "and PYTHONPATH."
        ) from None

    given = {name: value for name, value in node.items() if not name.startswith("_")}
    if key in FIRST_SUPPLIED:
        supplied = (*supplied, *list(parameters)[:1], *({"total_steps"} - given.keys()))
    fields: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in supplied:
            continue
        required = parameter.default is inspect.Parameter.empty
        fields[name] = (parameter.annotation, ... if required else parameter.default)
        if isinstance(given.get(name), list) and _takes_tuple(parameter.annotation):
            given[name] = tuple(given[name])  # YAML has lists only
    for name, value in given.items():
        if name not in fields and (not open_ended or name in supplied):
            raise ConfigError(_unknown(f"{key}.{name}", [f"{key}.{field}" for field in fields]))
        if isinstance(value, Mapping) and TARGET in value:
            check_node(value, f"{key}.{name}")
            fields[name] = (Any, ...)
    model = create_model(
        "Settings",
        __config__=ConfigDict(strict=True, arbitrary_types_allowed=True, protected_namespaces=()),
        **{f"field_{name}": field for name, field in fields.items() if name in given or field[1] is ...},
    )
    try:
        model.model_validate({f"field_{name}": value for name, value in given.items()})
    except ValidationError as error:
        raise ConfigError(_describe(error, f"{key}.")) from None


def constructor_parameters(cls: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    """Parameters that a class or function takes by name, and whether it takes any others besides.

    A class that passes ``**kwargs`` on to its base takes the base's parameters.
    """
    found: dict[str, inspect.Parameter] = {}
    is_class = inspect.isclass(cls)
    functions = [c.__init__ for c in cls.__mro__ if "__init__" in vars(c)] if is_class else [cls]
    open_ended = False
    for function in functions:
        if function is object.__init__:
            break
        try:
            hints = get_type_hints(function)
        except (NameError, TypeError):
            hints = {}
        parameters = list(inspect.signature(function).parameters.values())[int(is_class) :]
        for parameter in parameters:
            if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
                annotated = parameter.replace(annotation=hints.get(parameter.name, Any))
                if function is not functions[0] and parameter.default is inspect.Parameter.empty:
                    annotated = annotated.replace(default=None)  # the class itself may supply it
                found.setdefault(parameter.name, annotated)
        open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
        if not open_ended:
            break
    return found, open_ended


def _takes_tuple(annotation: Any) -> bool:
    """Whether an annotation, or one of those that it joins, is a tuple's and none a list's."""
    joined = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kinds = {get_origin(part) or part for part in joined}
    return tuple in kinds and not kinds & {list, Sequence}


def _unknown(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}."
    return f"{key} is not a setting; {hint}"


def _describe(error: ValidationError, prefix: str) -> str:
    """The first problem that pydantic found, as one sentence."""
    first, *others = error.errors()
    name = str(first["loc"][0])
    same = [first, *(problem for problem in others if str(problem["loc"][0]) == name)]
    place = next((f"[{part}]" for part in first["loc"][1:] if isinstance(part, int)), "")
    key = prefix + name.removeprefix("field_") + place
    if first["type"] == "missing":
        return f"{key} is required, got nothing; set {key}=VALUE."
    fits = list(dict.fromkeys(filter(None, (_expectation(dict(problem)) for problem in same))))
    return f"{key} must be {' or '.join(fits) or 'of another type'}, got {_as_yaml(first['input'])}."


def _as_yaml(value: Any) -> str:
    """A value as the user wrote it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _expectation(problem: Mapping[str, Any]) -> str:
    kind = problem["type"]
    if kind == "literal_error":
        return str(problem["ctx"]["expected"]).replace("'", "")
    if kind == "greater_than_equal":
        return f"at least {problem['ctx']['ge']}"
    if kind.startswith("is_instance"):
        return "a list" if problem["ctx"]["class"] == "Sequence" else ""
    return _EXPECTED.get(kind.split("_")[0], problem["msg"])


def _import_reason(error: BaseException) -> str:
    """Hydra gives the reason of a failed import within its type, in the middle of its message."""
    match = re.search(r"Error\((['\"])(.*?)\1\)", str(error))
    return match[2].rstrip(".") if match else first_line(error)

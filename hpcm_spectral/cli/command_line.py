"""A program's command line: Hydra's flags apart from all other words, which are overrides, and paths for some."""

import argparse
import contextlib
import difflib
import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpcm_spectral.errors import ConfigError

log = logging.getLogger("hpcm_spectral")
SEARCH_PATH = "hydra.searchpath"


def config_folder() -> Path:
    """Where the config lies: in the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


@dataclass
class CommandLine:
    """What came after a program's name: Hydra's flags by name, and the other words in their order."""

    flags: argparse.Namespace
    words: list[str]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "CommandLine":
        """Split arguments by Hydra's own parser; flags may stand between other words, which Hydra refuses.

        Raises:
            ConfigError: A flag is unknown, does not fit another, or does not work here.
        """
        parser = get_args_parser()
        parser.error = _refuse  # type: ignore[method-assign]
        # --info may stand without a value, and would take the override after it for one.
        followed = zip(arguments, [*arguments[1:], ""], strict=False)
        given = ["--info=all" if a in ("--info", "-i") and "=" in after else a for a, after in followed]
        flags = parser.parse_intermixed_args(given)
        _check_flags(flags)
        return cls(flags, list(flags.overrides))

    def arguments(self) -> list[str]:
        """The arguments as Hydra takes them, flags first."""
        flags = []
        for name, value in vars(self.flags).items():
            if name != "overrides" and value not in (None, False):
                flags += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return flags + self.words

    def overrides(self) -> list[Override]:
        """The words, parsed.

        Raises:
            OverrideParseException: One is no override.
        """
        return OverridesParser.create().parse_overrides(self.words)

    def quote_values(self) -> None:
        """Have values that Hydra cannot read taken as they stand, such as paths with an = or an accent."""
        self.words = [_with_readable_value(word) for word in self.words]

    def quote_items(self, key: str) -> None:
        """Have overrides that a list holds taken as text, as ``compare=[[a=1],[a=2,b=3]]``: Hydra reads no = there."""
        self.words = [_with_quoted_items(word) if _is_of(word, key) else word for word in self.words]

    def search_path(self) -> list[str]:
        """Where else configs are looked for than in the project's own: places as ``hydra.searchpath`` names them."""
        listed, folder = value_of(self.overrides(), SEARCH_PATH), self.flags.config_dir
        beside = [f"file://{Path(folder).resolve()}"] if folder else []
        return beside + [str(place) for place in (listed if isinstance(listed, list) else [])]

    def folders(self) -> list[Path]:
        """The folders that configs are looked for in, the project's own first."""
        return [config_folder(), *(Path(p.removeprefix("file://")) for p in self.search_path() if "pkg://" not in p)]

    def is_group(self, key: str) -> bool:
        """Whether one of the folders holds a config group of this name."""
        return any((folder / key).is_dir() for folder in self.folders())

    def add_conf_beside(self) -> Path | None:
        """Have configs looked for in ``conf/`` in the current folder, too, if it holds any groups; say and return it.

        None if it is the project's own or given already, or if a search path is.
        """
        conf, given = Path("conf").resolve(), self.flags.config_dir
        known = [config_folder().resolve(), *([Path(given).resolve()] if given else [])]
        groups = [path.name for path in config_folder().iterdir() if path.is_dir()]
        if conf in known or not any((conf / group).is_dir() for group in groups):
            return None
        if any(word.startswith(f"{SEARCH_PATH}=") for word in self.words):
            return None
        if given is None:
            self.flags.config_dir = str(conf)
        else:
            self.words.append(f"{SEARCH_PATH}=[{quoted(f'file://{conf}')}]")
        log.info("configs are looked for in %s, too", conf)
        return conf

    def compose(self, config_name: str, words: Sequence[str]) -> DictConfig:
        """A config with ``words`` alone as overrides, from where this command line has configs looked for.

        Raises:
            HydraException: They do not fit the config.
        """
        places = ",".join(map(quoted, self.search_path()))
        # Within a program Hydra is at work already, and there is only one.
        at_work, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
        try:
            with initialize_config_dir(str(config_folder()), version_base="1.3"):
                return compose(config_name, [*words, f"{SEARCH_PATH}=[{places}]"], return_hydra_config=True)
        finally:
            GlobalHydra.instance().hydra = at_work

    def resumed(self) -> str:
        """What ``resume`` is set to; empty if it is not."""
        value = value_of(self.overrides(), "resume")
        with contextlib.suppress(OmegaConfBaseException):  # an unknown variable of the environment, which Hydra names
            value = OmegaConf.create({"value": value}).value if isinstance(value, str) else value
        return "" if value is None else str(value)

    def fits(self, config_name: str, words: Sequence[str]) -> bool:
        """Whether a config can be composed with ``words`` alone as overrides."""
        try:
            self.compose(config_name, words)
        except (HydraException, OmegaConfBaseException, ValueError):
            return False
        return True


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"The flags must be Hydra's: {message}; --hydra-help lists them.")


def _check_flags(flags: argparse.Namespace) -> None:
    """Refuse what Hydra answers with a traceback, or does not answer at all."""
    if flags.experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun does not work here; resume=RUN goes on with a run, and provenance.json in its folder "
            "holds the command that starts it anew."
        )
    if flags.config_path is not None:
        raise ConfigError(
            "--config-path does not work here, as the programs need their own configs; --config-dir DIR adds yours, "
            "which come first."
        )
    if flags.config_dir is not None and not Path(flags.config_dir).is_dir():
        raise ConfigError(f"--config-dir must name a folder, but there is none at {flags.config_dir}; check the path.")
    if flags.help or flags.hydra_help:
        return
    kinds = ("run", "multirun", "cfg", "info", "shell_completion")
    given = [f"--{kind.replace('_', '-')}" for kind in kinds if getattr(flags, kind)]
    if len(given) > 1:
        raise ConfigError(
            f"Only one of --run, --multirun, --cfg, --info and --shell-completion can be asked for, got "
            f"{' and '.join(given)}; leave one out."
        )
    verbs = [word for word in flags.overrides if re.fullmatch("(install|uninstall|query)=(bash|fish|zsh)", word)]
    if flags.shell_completion and len(verbs) != 1:
        raise ConfigError("--shell-completion must be told what to do; write install=bash, or fish or zsh for bash.")
    for name in ("package", "resolve"):
        if getattr(flags, name) and flags.cfg is None:
            raise ConfigError(f"--{name} says what --cfg shows, but there is no --cfg; add --cfg job.")
    if flags.cfg == "hydra" and flags.resolve:
        raise ConfigError("--resolve needs the whole config, got --cfg hydra; write --cfg all --resolve.")


def value_of(overrides: Sequence[Override], key: str) -> Any:
    """What a setting or group is set to at last; None if it is not, or swept."""
    given = [override for override in overrides if override.key_or_group == key]
    return given[-1].value() if given and not given[-1].is_sweep_override() else None


def as_overrides(words: Sequence[str], names: Sequence[str], settings: Collection[str]) -> list[str]:
    """Words of a command line with paths turned into overrides of the settings ``names``.

    KEY=VALUE with a KEY that is none of the program's ``settings`` is a path, unless it looks like a slip.

    >>> as_overrides(["a b.pth.tar", "out=1/", "overwrite=true"], ["checkpoint", "output"], ["output", "overwrite"])
    ["checkpoint='a b.pth.tar'", "output='out=1/'", 'overwrite=true']

    Raises:
        ConfigError: There are more paths than names.
    """
    paths, rest = _paths_and_rest(words, settings)
    if len(paths) > len(names):
        raise ConfigError(
            f"{' and '.join(names)} must be {len(names)} paths, got {len(paths)}; quote one that has spaces."
        )
    # A setting that is given by name leaves the paths to the others.
    free = [name for name in names if not any(word.startswith(f"{name}=") for word in rest)]
    if len(paths) > len(free):
        raise ConfigError(f"{names[0]} and {names[-1]} must be given once each, got {paths[-1]} besides.")
    return [f"{name}={quoted(path)}" for name, path in zip(free, paths, strict=False)] + rest


def as_list_override(words: Sequence[str], name: str, settings: Collection[str]) -> list[str]:
    """Words of a command line with any number of paths turned into one override of ``name``.

    >>> as_list_override(["runs/a", "runs/b c", "smoothing=5"], "runs", ["runs", "smoothing"])
    ["runs=['runs/a','runs/b c']", 'smoothing=5']

    Raises:
        ConfigError: The setting is given by name besides.
    """
    paths, rest = _paths_and_rest(words, settings)
    if not paths:
        return rest
    if any(word.startswith(f"{name}=") for word in rest):
        raise ConfigError(f"{name} must be given once, got {paths[0]} besides; list all in {name}=[A,B].")
    return [f"{name}=[{','.join(map(quoted, paths))}]", *rest]


def quoted(text: str) -> str:
    r"""Text as a value of an override that Hydra reads back unchanged.

    >>> print(quoted("it's"))
    'it\'s'
    """
    # Hydra's quotes leave out interpolations; backslashes are literal unless they precede one or a quote.
    return QuotedString(re.sub(r"(\\*)(\$\{)", r"\1\1\\\2", text), Quote.single).with_quotes()


def _with_readable_value(word: str) -> str:
    """An override as it is, or with its value quoted where Hydra cannot read it, or would read a file's name as a list.

    >>> [_with_readable_value(word) for word in ("resume=runs/seed=1", "seed=1,2", "~phase1", "callbacks=[a")]
    ["resume='runs/seed=1'", 'seed=1,2', '~phase1', 'callbacks=[a']
    """
    key, _, value = word.partition("=")
    if not value or value[0] in "'\"[{" or "${" in value:
        return word
    try:
        fine = not (OverridesParser.create().parse_override(word).is_sweep_override() and Path(value).exists())
    except HydraException:
        fine = False
    return word if fine else f"{key}={quoted(value)}"


def _is_of(word: str, key: str) -> bool:
    return re.match(rf"\+*{key}(\.[^=]+)?=\[", word) is not None


def _with_quoted_items(word: str) -> str:
    """An override with a list as its value, in which every item with an = is quoted.

    >>> _with_quoted_items("compare=[[a.b=1, c=2],['d=[1,2]']]")
    "compare=[['a.b=1','c=2'],['d=[1,2]']]"
    """
    key, _, value = word.partition("=")
    # What is quoted already stays as it is.
    parts = re.findall(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[\[\],]|[^\[\],'\"]+|.", value)
    items = (part if "=" not in part or part[0] in "'\"" else quoted(part.strip()) for part in parts)
    return f"{key}={''.join(items)}"


def _paths_and_rest(words: Sequence[str], settings: Collection[str]) -> tuple[list[str], list[str]]:
    rest = [word for word in words if _is_override(word, settings)]
    return [word for word in words if word not in rest], rest


def _is_override(word: str, settings: Collection[str]) -> bool:
    key, equals, _ = word.partition("=")
    if word.startswith(("~", "+")) or (equals and (key in settings or re.match(r"hydra([./]|$)", key))):
        return True
    return bool(equals and not Path(word).exists() and difflib.get_close_matches(key, settings, n=1, cutoff=0.75))

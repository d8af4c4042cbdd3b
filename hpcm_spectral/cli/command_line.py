"""A program's command line: Hydra's flags apart from all other words, which are overrides, and paths for some."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from hpcm_spectral.cli.positionals import quoted

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
        """Split arguments by Hydra's own parser; flags may stand between other words, which Hydra refuses."""
        flags = get_args_parser().parse_intermixed_args(arguments)
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
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return compose(config_name, [*words, f"{SEARCH_PATH}=[{places}]"], return_hydra_config=True)


def value_of(overrides: Sequence[Override], key: str) -> Any:
    """What a setting or group is set to at last; None if it is not, or swept."""
    given = [override for override in overrides if override.key_or_group == key]
    return given[-1].value() if given and not given[-1].is_sweep_override() else None

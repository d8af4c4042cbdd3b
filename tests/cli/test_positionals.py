"""Paths on the command line reach the program as they were typed."""

import itertools
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hpcm_spectral.cli.command_line import as_overrides, quoted
from hpcm_spectral.errors import ConfigError

NAMES = ("checkpoint", "output")
SETTINGS = ("checkpoint", "output", "overwrite", "hydra")


def test_hydra_reads_every_path_back_unchanged() -> None:
    """Among them all short words of what quoting and interpolation are made of."""
    paths = [
        "a b",
        "lmbda=0.013.pth.tar",
        "a,b",
        "[1]",
        "{a: b}",
        "null",
        "1e3",
        "~x",
        "a#b",
        "(x)",
        "ü\té",
        " x ",
        "@",
    ]
    paths += ["".join(word) for word in itertools.product("\\'${", repeat=4)]
    parser = OverridesParser.create()
    for path in paths:
        value = parser.parse_override(f"checkpoint={quoted(path)}").value()
        assert OmegaConf.create({"checkpoint": value}).checkpoint == path


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        (["a.pth", "out/"], ["checkpoint='a.pth'", "output='out/'"]),
        (["overwrite=true", "a.pth", "out/"], ["checkpoint='a.pth'", "output='out/'", "overwrite=true"]),
        (["checkpoint=a.pth", "out"], ["output='out'", "checkpoint=a.pth"]),
        (["a.pth", "output=out"], ["checkpoint='a.pth'", "output=out"]),
        (["lmbda=0.013.pth", "a=1,b=2"], ["checkpoint='lmbda=0.013.pth'", "output='a=1,b=2'"]),
        (["a.pth", "hydra.run.dir=x"], ["checkpoint='a.pth'", "hydra.run.dir=x"]),
        (["chekpoint=a.pth", "outptu=b"], ["chekpoint=a.pth", "outptu=b"]),  # Hydra's error says what was meant
        (["+new=1"], ["+new=1"]),
        ([], []),
    ],
)
def test_words_are_told_apart(arguments: list[str], overrides: list[str]) -> None:
    assert as_overrides(arguments, NAMES, SETTINGS) == overrides


def test_a_file_that_looks_like_a_mistyped_setting_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checkpoints=2").touch()
    assert as_overrides(["checkpoints=2"], NAMES, SETTINGS) == ["checkpoint='checkpoints=2'"]


@pytest.mark.parametrize("arguments", [["a", "b", "c"], ["a", "b", "output=c"]])
def test_too_many_paths(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="^checkpoint and output must be "):
        as_overrides(arguments, NAMES, SETTINGS)

"""Where programs write: a folder that holds nothing of what they are about to make."""

from collections.abc import Iterable
from pathlib import Path

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.files import user_path


def output_folder(
    setting: str, without: str = "", files: Iterable[str | Path] = (), *, overwrite: bool | None = None
) -> Path:
    """The folder that a program's ``output`` names, checked before the work begins.

    Args:
        setting: The setting.
        without: What it must not hold, such as ``a codec``.
        files: The names by which that is known.
        overwrite: The setting of this name; None for a program that has none.

    Raises:
        ConfigError: It names nothing or a file, or holds one of ``files`` that is not to be replaced.
    """
    if not setting.strip():
        raise ConfigError("output must name a folder, got nothing; . is the current one.")
    folder = user_path(setting)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output must name a folder, but {folder} is a file; choose another.")
    found = [] if overwrite else [str(name) for name in files if (folder / name).exists()]
    if found:
        remedy = "choose another" if overwrite is None else "choose another or set overwrite=true"
        raise ConfigError(
            f"output must be a folder without {without}, but {folder} has {' and '.join(found[:2])}; {remedy}."
        )
    return folder

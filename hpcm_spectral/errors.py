"""Errors that a user can act on: one sentence each, shown without a traceback by the scripts."""

from hpcm_spectral.names import printable


class UserError(Exception):
    """Something outside the program is wrong: a setting, a file, a folder.

    The message is one sentence that says what must hold, what came instead and what to do. A data loader
    that fails in a worker process wraps the message in that worker's traceback; only the sentence is kept. What a
    terminal or a text file cannot show, such as the bytes of some names of files, is escaped.
    """

    def __init__(self, message: str) -> None:
        if message.startswith("Caught ") and "Original Traceback" in message:
            message = message.rstrip().rsplit("\n", 1)[-1].split(": ", 1)[-1]
        super().__init__(printable(message))


class ConfigError(UserError):
    """A setting is unknown, has the wrong type or an impossible value."""


class SettingError(ValueError):
    """An argument of a class is outside its range.

    Args:
        name: The argument.
        sentence: What must hold, what came and what to do, without the argument's name at its beginning.
    """

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(f"{name} {sentence}")
        self.name = name


class RefusedError(ConfigError):
    """A folder holds another's run, which stays as it is."""


class DataError(UserError):
    """An image or a folder of images cannot be used."""


class CheckpointError(UserError):
    """A checkpoint or an exported codec cannot be used."""


class CodingError(UserError):
    """An image cannot be coded, or a file is no intact image of this codec."""


def sentence(error: UserError | OSError) -> str:
    """An error's sentence; the system's own errors get one."""
    if isinstance(error, UserError):
        return str(error)
    name = "a file" if error.filename is None else printable(error.filename)
    return f"{name} cannot be used: {error.strerror or printable(error)}; choose another place."


def one_line(error: Exception) -> str:
    r"""An error's message without line breaks and its last full stop.

    Example:
        >>> one_line(ValueError("two\n  lines."))
        'two lines'
    """
    return " ".join(str(error).split()).rstrip(".")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without its last full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

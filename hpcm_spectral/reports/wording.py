"""Messages of other libraries inside one sentence."""


def one_line(error: Exception) -> str:
    r"""An error's message without line breaks and its last full stop.

    Example:
        >>> one_line(ValueError("two\n  lines."))
        'two lines'
    """
    return " ".join(str(error).split()).rstrip(".")

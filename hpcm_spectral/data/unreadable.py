"""Why an image file is refused."""


class UnreadableError(Exception):
    """A file whose pixels cannot be had, or cannot be trusted.

    Args:
        reason: Completes "the file must be readable, but".
        remedy: What to do.
    """

    def __init__(self, reason: str, remedy: str = "replace it or move it away") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy

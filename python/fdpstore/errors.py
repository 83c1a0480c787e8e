"""Exceptions of fdpstore."""


class Error(RuntimeError):
    """An operation failed; the message names what, why, and the remedy.

    ``code`` is stable and meant for programs: ``"no_space"``, ``"closed"``, ``"busy"``,
    ``"foreign"``, … for fdpstore's own errors (include/fdpstore/result.hpp), the errno's name
    (``"EIO"``) for the system's, ``"category:number"`` for anything else.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class OptionError(Error, ValueError):
    """An unknown, malformed or contradictory option (``code == "invalid_option"``)."""

"""Exit codes, and the errors that end in one of them."""

from enum import IntEnum

from agentstop.cli.errors import UserError


class Exit(IntEnum):
    """How a verb ends; documented, and stable."""

    OK = 0
    """Done as asked."""
    ERROR = 1
    """Something else went wrong."""
    USAGE = 2
    """The command line makes no sense."""
    TIMEOUT = 3
    """It did not come about in the time given."""
    HELD_UP = 4
    """The stop failed, is stalled, or could not be proven."""
    FORBIDDEN = 5
    """The API server does not let this user do it."""
    NOT_FOUND = 6
    """There is no such task or order."""
    NOT_RUN = 126
    """The command of `tether` cannot be run; as a shell says it, like the next one."""
    NO_COMMAND = 127
    """There is no such command."""
    INTERRUPTED = 130
    """Ctrl-C."""


class PluginError(UserError):
    """One line for people, and the exit code that goes with it."""

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code

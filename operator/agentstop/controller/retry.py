"""Why a pass is to be made again."""

from typing import Final

from agentstop.cluster.errors import NOT_LEADING, ApiError

BUSY: Final = "Busy"
"""Reason of a request that was not made, since it is not its turn yet."""


class RetryError(Exception):
    """The pass could not be finished, and is to be made again after a pause."""

    def __init__(self, cause: ApiError) -> None:
        super().__init__(str(cause))
        self.expected = cause.reason in {BUSY, NOT_LEADING}
        """Whether nothing is wrong: it was only not its turn yet, or another replica's."""

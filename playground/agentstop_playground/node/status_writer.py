"""Writing one pod's status: only what changed, one request at a time, the newest state wins."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from agentstop_playground.api_client import MERGE_PATCH, ApiClient, ApiError, backoff

log = logging.getLogger(__name__)

CLEARED_WHEN_ABSENT = ("reason", "message")


class StatusWriter:
    """Writes until what was last offered is what the API server has, or the pod is gone."""

    def __init__(
        self, client: ApiClient, path: str, uid: str, *, may_write: Callable[[], bool], on_settled: Callable[[], None]
    ) -> None:
        self._client = client
        self._path = path
        self._uid = uid
        self._may_write = may_write
        self._on_settled = on_settled
        self._wanted: dict[str, Any] | None = None
        self._written: dict[str, Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self.gone = False
        """The pod object does not exist any more."""

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to write."""
        return self.gone or self._wanted == self._written

    def offer(self, status: dict[str, Any], *, delay: float = 0.0) -> None:
        """Ask for this status, which must not be changed any more, to be written.

        With a delay (seconds), what comes meanwhile replaces it.
        """
        self._wanted = status
        if not delay:
            self._hurry.set()
        if not self.settled and self._may_write() and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(delay))

    def close(self) -> None:
        """Stop writing."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, delay: float) -> None:
        if delay:
            self._hurry.clear()
            try:
                await asyncio.wait_for(self._hurry.wait(), delay)
            except TimeoutError:
                log.debug("%s: nothing newer came", self._path)
        attempt = 0
        while not self.settled and self._may_write():
            status = self._wanted or {}
            body = {"metadata": {"uid": self._uid}, "status": {**dict.fromkeys(CLEARED_WHEN_ABSENT), **status}}
            try:
                await self._client.request("PATCH", self._path, body, content_type=MERGE_PATCH)
            except ApiError as error:
                if error.code == 404 or (error.code == 409 and "uid" in str(error).lower()):
                    # 409: another pod has the name now (the patch carries our UID).
                    self.gone = True
                    break
                attempt += 1
                if attempt == 3:
                    log.warning("%s (trying again)", error)
                await asyncio.sleep(backoff(attempt))
            else:
                attempt = 0
                self._written = status
        self._task = None
        if self.settled:
            self._on_settled()

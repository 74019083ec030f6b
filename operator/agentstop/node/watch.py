"""The PodControls of one node in one namespace or in all: listed, watched, and compared with a new list after a gap."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from agentstop.client.client import Api
from agentstop.client.errors import ApiError, ConfigError, UnreachableError
from agentstop.node.worker import CONTROLS, path_of

log = logging.getLogger(__name__)

Object = dict[str, Any]

WATCH_SECONDS: Final = 30
"""How long a watch lasts before it is renewed: one that died without a word is found out soon."""

SILENCE_SECONDS: Final = 5.0
"""So much later it is taken for dead."""

RETRY_SECONDS: Final = 0.5
"""Pause after an error."""

GONE: Final = 410


class Watch:
    """Follows objects in a thread of its own, and tells of them there."""

    def __init__(
        self,
        api: Api,
        node: str,
        namespace: str,
        listed: Callable[[list[Object]], None],
        changed: Callable[[str, Object], None],
    ) -> None:
        """`listed` is called with all that there is, and `changed` with each event after that."""
        self._api = api
        self._path = path_of(CONTROLS, namespace)
        self._query = {"fieldSelector": f"spec.nodeName={node}"}
        self._listed = listed
        self._changed = changed
        self._ended = False
        self._said = ""
        self.contact_at: float | None = None
        """When the API server last answered, in Unix seconds; None before it ever did."""
        self.problem = "the API server has not answered yet"
        """Why there is no contact, where there is none."""

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Tell of nothing any more."""
        self._ended = True

    def _run(self) -> None:
        while not self._ended:
            try:
                items, version = self._api.list(self._path, self._query)
                self._heard()
                self._listed(items)
                while not self._ended:
                    version = self._follow(version)
            except ApiError as error:
                if error.code != GONE:
                    self._wait(error.message)
            except (UnreachableError, ConfigError) as error:
                self._wait(str(error))
            except Exception as error:  # noqa: BLE001  (this must not end: whoever is between us and the API server may answer anything)
                self._wait(f"what came is no answer of the API: {error!r}")

    def _follow(self, version: str) -> str:
        """Watch once, and return the resource version to go on from."""
        events = self._api.watch(
            self._path, self._query, version, lambda: self._ended, seconds=WATCH_SECONDS, silence=SILENCE_SECONDS
        )
        for kind, found in events:
            self._heard()
            if kind == "ERROR":
                raise ApiError(int(found.get("code") or 0), found)
            version = str(found["metadata"]["resourceVersion"])
            if kind != "BOOKMARK" and not self._ended:
                self._changed(kind, found)
        self._heard()
        return version

    def _heard(self) -> None:
        self.contact_at = time.time()
        self._said = ""

    def _wait(self, problem: str) -> None:
        self.problem = problem
        if problem != self._said and not self._ended:
            self._said = problem
            log.warning("PodControls cannot be watched, which is tried again: %s", problem)
        time.sleep(RETRY_SECONDS)

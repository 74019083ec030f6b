"""How the user is known on requests that somebody else than the plugin's own client makes, such as those of a page."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agentstop.client.errors import ConfigError

if TYPE_CHECKING:
    from agentstop.client.client import Api

PAUSE_SECONDS: Final = 5.0
"""So long is waited after credentials could not be had, or were refused, before they are asked for again.

A plug-in may open a browser or ask a server, and there are many requests.
"""


class Authorization:
    """The header's value, kept current. For any number of threads; each call may wait for a credential plug-in."""

    def __init__(self, api: "Api", say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`say` is told, once, why there is no new one; the last one counts on. Raises ConfigError."""
        self._api = api
        self._say = say
        self._clock = clock
        self._lock = threading.Lock()
        self._shown = api.credentials.authorization
        self._said = ""
        self._next_try = clock()
        self._next_renewal = clock()

    def current(self) -> str | None:
        """Return what is to be shown now; None where a certificate alone says who the user is."""
        with self._lock:
            if self._clock() >= self._next_try:
                self._ask()
            return self._shown

    def renew(self, refused: str | None) -> bool:
        """Take in that the API server did not take a value; return whether there is another one now."""
        with self._lock:
            if refused == self._shown and self._clock() >= self._next_renewal and self._api.forget(refused):
                self._ask()
                self._next_renewal = self._clock() + PAUSE_SECONDS
            return self._shown != refused

    def _ask(self) -> None:
        try:
            self._shown = self._api.credentials.authorization
        except ConfigError as error:
            # Whoever asks goes on, and hears from the API server what it thinks of the last one.
            self._next_try = self._clock() + PAUSE_SECONDS
            if str(error) != self._said:
                self._said = str(error)
                self._say(self._said)
        else:
            self._said = ""

"""How new it is what watches have told."""

import time
from collections.abc import Callable, Iterable
from typing import Final

from agentstop.api.task import KIND

BLIND_SECONDS: Final = 45.0
"""After so long without a sign of life from a watch what it tells counts as old: each is renewed every 30 seconds."""

_NAMES: Final = {KIND: "tasks"}

Watched = tuple[str, str]
"""Kind and namespace; an empty one is all namespaces."""


class Sight:
    """When each of some watches was last heard of, and why it is not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._heard: dict[Watched, float] = {}
        self._problems: dict[Watched, str] = {}

    def expect(self, watches: Iterable[Watched]) -> None:
        """Count from now on, for these watches: nothing is known of them before they have listed what there is."""
        for watched in watches:
            self._heard[watched] = self._clock()
            self._problems[watched] = f"the {_plural(watched)} have not been listed yet"

    @property
    def age(self) -> float:
        """For how many seconds the watch has been silent that was heard last of all."""
        return self._clock() - min(self._heard.values(), default=self._clock())

    @property
    def problem(self) -> str | None:
        """Why what is known may be old, if so."""
        for watched, problem in self._problems.items():
            where = f" of namespace {watched[1]}" if watched[1] else ""
            return f"{_plural(watched)}{where} cannot be watched: {problem}"
        return f"the API server has been silent for {self.age:.0f} seconds" if self.age > BLIND_SECONDS else None

    def heard(self, kind: str, namespace: str) -> None:
        """Take in that a watch is alive."""
        self._heard[kind, namespace] = self._clock()
        self._problems.pop((kind, namespace), None)

    def failed(self, kind: str, namespace: str, problem: str) -> None:
        """Take in why a watch is not."""
        self._problems[kind, namespace] = problem


def _plural(watched: Watched) -> str:
    return _NAMES.get(watched[0], f"{watched[0]}s")

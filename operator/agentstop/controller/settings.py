"""How kopf is set up: as a source of watch events, and nothing else."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import kopf

from agentstop.timings import TIMINGS, Timings


class _Backoffs(Iterable[float]):
    """Pauses between tries of kopf's own requests, in seconds; the last one without end."""

    def __init__(self, pauses: Sequence[float]) -> None:
        self._pauses = pauses

    def __iter__(self) -> Iterator[float]:
        return itertools.chain(self._pauses, itertools.repeat(self._pauses[-1]))


class _NoDiffBase(kopf.DiffBaseStorage):
    """Stores nothing: our handlers do not work on differences."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return nothing to compare, so that no object is copied for it."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Return nothing."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Stores nothing: our handlers have no progress to keep on the objects."""

    def fetch(self, **_: Any) -> None:
        """Return nothing."""

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Touch nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return what was given, uncopied."""
        return essence


def operator_settings(timings: Timings = TIMINGS) -> kopf.OperatorSettings:
    """Return the settings of kopf."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    # Short watches: a connection that died without a word is found out within seconds, not after minutes.
    settings.watching.server_timeout = timings.reflected_seconds
    settings.watching.inactivity_timeout = timings.reflected_silence_seconds
    settings.watching.reconnect_backoff = 0.02
    settings.watching.chunk_size = 20  # a page holds up everything else while it is read, and may be 30 MB
    settings.networking.connect_timeout = 5.0
    settings.networking.request_timeout = 60.0
    settings.networking.error_backoffs = _Backoffs(timings.reflect_retries_seconds)
    settings.queueing.idle_timeout = 0.1
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None
    return settings


def arguments(namespaces: Collection[str]) -> dict[str, Any]:
    """Return kopf's arguments for these namespaces; none are all."""
    # Its own way to an identity asks for the user's name, which not every user in a pod has.
    where = {"namespaces": list(namespaces)} if namespaces else {"clusterwide": True}
    return {"identity": "agentstop", **where}

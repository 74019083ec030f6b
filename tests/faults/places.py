"""Where a fault strikes: a write or an event, told by what it is and not by how many came before it.

Two runs of a scenario differ in how often something is written meanwhile, and in which order. What a write or an event
is about and what it says they have in common.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.faults.masks import without_generated, without_moments
from tests.faults.views import Collection
from tests.support.kube import Object, decode

_PASSING: Final = frozenset(
    {
        *("resourceVersion", "uid", "observedGeneration", "containerID", "hostIP", "hostIPs", "podIP", "podIPs"),
        *("durationSeconds", "pausedSeconds", "signalSeconds", "haltSeconds"),
    }
)
"""Fields whose values are other ones each time."""

_COUNTED: Final = frozenset(
    {
        *("pods", "podCount", "children", "ready", "active", "terminating", "uncountedTerminatedPods"),
        *("availableReplicas", "readyReplicas", "terminatingReplicas", "unavailableReplicas", "updatedReplicas"),
    }
)
"""Fields that say how many have come how far by now: that depends on who is faster."""

_WORDS: Final = frozenset({"message", "note"})
"""Fields that say the same as others, and such counts besides."""

_LASTING: Final = frozenset({"deletionTimestamp", "deletionGracePeriodSeconds", "finalizers"})
"""What matters of an object's metadata."""

_TRACKED: Final = "batch.kubernetes.io/job-tracking"
"""A finalizer that the Job controller takes off whenever it has counted a pod."""


@dataclass(frozen=True)
class Place:
    """A write or an event, as it is found again in another run."""

    what: str
    """What is done to what, such as PATCH /api/v1/namespaces/NAMESPACE/pods/a, or what a watch brings of it."""
    digest: str
    """The beginning of the SHA-256 of what matters in it."""
    occurrence: int
    """The how manieth of those it is, from 1 on."""

    def __str__(self) -> str:
        return f"{self.what} ({self.digest}{f', the {self.occurrence}. time' if self.occurrence > 1 else ''})"


class Places:
    """Finds the places of one namespace's traffic."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._found: Counter[tuple[str, str]] = Counter()

    def of_write(self, verb: str, path: str, body: bytes) -> Place:
        """Return where a write is."""
        return self._place(f"{verb} {path}", decode(body) if body else None)

    def of_event(self, watch: Collection, kind: str, item: Object) -> Place:
        """Return where an event of a watch is."""
        selected = "".join(f" of {each}" for each in watch.selectors if each)
        return self._place(f"{kind} {item['metadata']['name']} in {watch.path}{selected}", item)

    def _place(self, what: str, content: Any) -> Place:
        what = self._masked(what)
        told = self._masked("\n".join(sorted(gist(content))))
        digest = hashlib.sha256(told.encode()).hexdigest()[:8]
        self._found[what, digest] += 1
        return Place(what, digest, self._found[what, digest])

    def _masked(self, text: str) -> str:
        return without_generated(without_moments(text.replace(self._namespace, "NAMESPACE")))


def gist(value: Any, where: str = "") -> Iterator[str]:
    """Yield what matters in a body or an object: what is wanted of it, and how far it has come."""
    match value:
        case dict():
            for name, each in value.items():
                if name in _LASTING if where == ".metadata" else name not in _PASSING | _COUNTED | _WORDS:
                    yield from gist(each, f"{where}.{name}")
        case list():
            for each in value:
                yield from gist(each, where)
        case _ if value != _TRACKED:
            yield f"{where}={json.dumps(value)}"

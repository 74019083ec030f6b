"""Kubernetes Events: off the path of the stop, repeated ones joined into a series, never in anybody's way."""

import asyncio
import logging
import socket
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from agentstop.api.meta import API_VERSION, format_time
from agentstop.api.task import KIND
from agentstop.cluster.gateway import Gateway
from agentstop.lifecycle.events import Note
from agentstop.lifecycle.observation import Task
from agentstop.timings import TIMINGS, Timings
from agentstop.workloads.pods.record import PodRecord

log = logging.getLogger(__name__)

CONTROLLER: Final = "agentstop.dev/operator"
WAITING: Final = 10_000
"""So many events may wait to be posted; what comes on top is dropped, as an Event is advice and no record."""

SERIES_ENDS_AFTER: Final = timedelta(minutes=6)
"""A repetition after this time begins a new Event, as in Kubernetes' own recorder.

Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-instrumentation/383-new-event-api-ga-graduation
"""

STEP_SECONDS: Final = 0.05
"""How often an Event that lets stops go first looks whether they have."""

REMEMBERED: Final = 4096
MAX_NOTE: Final = 1024
"""In bytes."""
POSTERS: Final = 2


_Waiting = tuple[Task | PodRecord, Note, datetime]


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    last: datetime


class EventRecorder:
    """Posts notes about tasks and pods as Events of events.k8s.io/v1, whenever nothing that matters more is `busy`."""

    def __init__(
        self,
        gateway: Gateway,
        clock: Callable[[], datetime],
        busy: Callable[[], bool],
        timings: Timings = TIMINGS,
    ) -> None:
        self._patience_seconds = timings.event_patience_seconds
        self._gateway = gateway
        self._clock = clock
        self._busy = busy
        self._queues = [asyncio.Queue[_Waiting](WAITING // POSTERS) for _ in range(POSTERS)]
        self._series: OrderedDict[tuple[str, Note], _Series] = OrderedDict()
        self._instance = socket.gethostname()[:128]

    def post(self, about: Task | PodRecord, note: Note) -> None:
        """Post a note about a task or a pod, some time soon."""
        # All of one object's go one after the other: a repetition must find the Event that it repeats.
        queue = self._queues[hash(about.uid) % POSTERS]
        try:
            queue.put_nowait((about, note, self._clock()))
        except asyncio.QueueFull:
            log.debug("too many events are waiting; dropped %s of %s/%s", note.reason, about.namespace, about.name)

    async def run(self) -> None:
        """Post what there is to post, until cancelled."""
        await asyncio.gather(*map(self._post_all, self._queues))

    async def _post_all(self, queue: asyncio.Queue[_Waiting]) -> None:
        while True:
            about, note, at = await queue.get()
            for _ in range(int(self._patience_seconds / STEP_SECONDS)):
                if not self._busy():
                    break
                await asyncio.sleep(STEP_SECONDS)
            try:
                await self._post(about, note, at)
            except Exception as error:  # noqa: BLE001  (an Event that cannot be posted must not end the posting)
                log.debug("event %s of %s/%s was not posted: %s", note.reason, about.namespace, about.name, error)

    async def _post(self, about: Task | PodRecord, note: Note, at: datetime) -> None:
        key = (about.uid, note)
        series = self._series.get(key)
        if series is not None and at - series.last < SERIES_ENDS_AFTER:
            series.count += 1
            series.last = at
            body = {"series": {"count": series.count, "lastObservedTime": format_time(at)}}
            await self._gateway.patch_event(about.namespace, series.name, body)
            return
        name = f"{about.name[:200]}.{uuid.uuid4().hex[:16]}"
        await self._gateway.post_event(about.namespace, self._body(name, about, note, at))
        self._series[key] = _Series(name, 1, at)
        self._series.move_to_end(key)
        while len(self._series) > REMEMBERED:
            self._series.popitem(last=False)

    def _body(self, name: str, about: Task | PodRecord, note: Note, at: datetime) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about.namespace},
            "eventTime": format_time(at),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "type": str(note.severity),
            "reason": note.reason,
            "action": str(note.action),
            "note": note.message.encode()[:MAX_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": API_VERSION if isinstance(about, Task) else "v1",
                "kind": KIND if isinstance(about, Task) else "Pod",
                "namespace": about.namespace,
                "name": about.name,
                "uid": about.uid,
            },
        }

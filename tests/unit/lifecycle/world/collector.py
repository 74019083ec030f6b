"""Who takes pods away from nodes that do not answer, or are gone: the pod garbage collector and the taint manager.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection
"""

from datetime import datetime, timedelta
from typing import Final

from agentstop.api.meta import parse_time
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.objects import ObjectRef

from .clock import Clock
from .node import NODE, Node
from .server import NAMESPACE, Raw, Server

EVICTION = timedelta(seconds=300)
"""After that long without an answer the taint manager deletes the pods (tolerationSeconds of every pod)."""

BY_COLLECTOR: Final = "DeletionByPodGC"
"""Why the garbage collector throws a pod out, as it notes on it."""


class PodCollector:
    """Looks at all pods once a second."""

    def __init__(self, server: Server, node: Node, clock: Clock) -> None:
        self._server = server
        self._node = node
        self._clock = clock
        self.quarantine = 0
        """Seconds after which a node is taken for gone that has no object."""

    def second(self) -> None:
        now = self._clock.now
        node = self._server.objects.get(NODE)
        gone_at = self._node.gone_at
        waits = gone_at is not None and now < gone_at + timedelta(seconds=self.quarantine)
        for raw in list(self._server.pods()):
            if raw["spec"].get("nodeName") != NODE.name or IS_HEAVY in raw:
                continue
            going = "deletionTimestamp" in raw["metadata"]
            if node is None:
                if not waits:
                    self._collect(raw)
            elif node["spec"].get("taints") and going:
                self._collect(raw)
            elif not going:
                self._evict(raw, node, now)

    def _evict(self, raw: Raw, node: Raw, now: datetime) -> None:
        condition = node["status"]["conditions"][0]
        since = parse_time(condition["lastTransitionTime"])
        assert since is not None
        if condition["status"] != "True" and since + EVICTION <= now:
            self._server.delete(_ref(raw))

    def _collect(self, raw: Raw) -> None:
        ref, status = _ref(raw), raw["status"]
        if status["phase"] not in {"Succeeded", "Failed"}:
            self._node.disrupt(ref, BY_COLLECTOR)
            self._server.change(ref, lambda each: each["status"].update(phase="Failed"))
        self._server.delete(ref, raw["metadata"]["uid"], 0)


def _ref(raw: Raw) -> ObjectRef:
    return ObjectRef("Pod", NAMESPACE, raw["metadata"]["name"])

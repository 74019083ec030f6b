"""A ReplicaSet of somebody: it takes over whatever its selector finds, and makes another one of what ends.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions
"""

from contextlib import suppress
from typing import Final

from agentstop.cluster.errors import ApiError
from agentstop.workloads.objects import ObjectRef

from .clock import Clock
from .server import NAMESPACE, Raw, Server

LABEL: Final = "app"
OWNER: Final = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web-uid", "controller": True}


class ReplicaSet:
    """One ReplicaSet of one replica, once it is there."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self.template: Raw | None = None
        """The spec of its pods; None where nobody has made it yet."""
        self.made: list[str] = []
        """UIDs of the pods that it made."""
        self.took_at: dict[str, float] = {}
        """By UID of a pod that was nobody's: when it took that over, in seconds of the world's clock."""

    def second(self) -> None:
        if self.template is None:
            return
        for raw in self._server.pods():
            metadata = raw["metadata"]
            nobodys = LABEL in (metadata.get("labels") or {}) and not metadata.get("ownerReferences")
            if nobodys and "deletionTimestamp" not in metadata and raw["status"]["phase"] in {"Pending", "Running"}:
                self._take(metadata["name"], metadata["uid"])
        own = [raw for raw in self._server.pods() if OWNER in (raw["metadata"].get("ownerReferences") or ())]
        active = [raw for raw in own if "deletionTimestamp" not in raw["metadata"] and not _ended(raw)]
        if not active:
            self._make(self.template)

    def _take(self, name: str, uid: str) -> None:
        ref = ObjectRef("Pod", NAMESPACE, name)
        with suppress(ApiError):
            self._server.change(ref, lambda each: each["metadata"].update(ownerReferences=[OWNER]))
            self.took_at[uid] = self._clock.now.timestamp()

    def _make(self, template: Raw) -> None:
        metadata = {"labels": {LABEL: "web"}, "ownerReferences": [OWNER]}
        ref = ObjectRef("Pod", NAMESPACE, f"web-{len(self.made)}")
        self.made.append(self._server.create(ref, {"metadata": metadata, "spec": template})["metadata"]["uid"])


def _ended(raw: Raw) -> bool:
    return raw["status"]["phase"] in {"Succeeded", "Failed"}

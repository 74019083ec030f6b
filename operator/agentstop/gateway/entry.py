"""One task as the gateway knows it."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from agentstop.api.meta import parse_time
from agentstop.api.task import TERMINAL_PHASES, Phase, Verdict
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.tasks import read_task
from agentstop.lifecycle.observation import Task
from agentstop.words.tasks import Freezer, freezer_of, is_frozen, is_thawing


def lightened(raw: JsonObject) -> JsonObject:
    """Return a task without what is most of it and no answer needs: its pod template, and who wrote which field."""
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    spec = raw.get("spec")
    if isinstance(spec, dict) and "podTemplate" in spec:
        spec = {**spec, "podTemplate": {}}
    return {**raw, "metadata": metadata, "spec": spec}


class Entry:
    """A task at one resource version. Nobody changes it.

    What lists are filtered by is read off the raw object; `task` reads all of it, at the first use.
    """

    def __init__(self, raw: JsonObject) -> None:
        self.raw = lightened(raw)
        """The object as the API server has it, lightened."""
        metadata = self.raw["metadata"]
        self.uid: str = metadata["uid"]
        self.key = NamespacedName(metadata["namespace"], metadata["name"])

    @property
    def namespace(self) -> str:
        """The task's namespace."""
        return self.key.namespace

    @property
    def name(self) -> str:
        """The task's name."""
        return self.key.name

    @property
    def version(self) -> int:
        """The resource version; 0 where it is no number.

        Two of one kind can be compared.
        Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/5504-comparable-resource-version
        """
        version = self.raw["metadata"].get("resourceVersion")
        return int(version) if isinstance(version, str) and version.isdecimal() and len(version) < 20 else 0

    @property
    def spec(self) -> Mapping[str, Any]:
        """The raw spec."""
        return _object(self.raw.get("spec"))

    @property
    def status(self) -> Mapping[str, Any]:
        """The raw status."""
        return _object(self.raw.get("status"))

    @property
    def stop_record(self) -> Mapping[str, Any]:
        """The raw record of the accepted stop."""
        return _object(self.status.get("stop"))

    @property
    def labels(self) -> Mapping[str, str]:
        """The task's labels."""
        return _object(self.raw["metadata"].get("labels"))

    @cached_property
    def agent(self) -> str | None:
        """Which agent this is a run of."""
        return _text(self.spec.get("agent"))

    @property
    def external_id(self) -> str | None:
        """What another platform calls it."""
        return _text(self.spec.get("externalID"))

    @property
    def parent(self) -> NamespacedName | None:
        """The task that started it."""
        name = _text(_object(self.spec.get("parentRef")).get("name"))
        return NamespacedName(self.namespace, name) if name is not None else None

    @cached_property
    def phase(self) -> Phase:
        """Where the task is in its life; Pending where no operator has said it yet."""
        try:
            return Phase(self.status.get("phase", Phase.PENDING))
        except ValueError:
            return Phase.PENDING

    @cached_property
    def position(self) -> tuple[str, str]:
        """By what lists are ordered: seconds are all that creation has, and the UID keeps those of one in order."""
        return self.raw["metadata"].get("creationTimestamp") or "", self.uid

    @property
    def ended(self) -> bool:
        """Whether it is at its end."""
        return self.phase in TERMINAL_PHASES

    @property
    def stop_requested(self) -> bool:
        """Whether the switch is set."""
        return self.spec.get("stopRequested") is True

    @property
    def stopping(self) -> bool:
        """Whether a stop is on its way: asked for or accepted, by whatever it came from, and not at its end."""
        return not self.ended and (self.stop_requested or self.phase is Phase.STOPPING)

    @property
    def proven(self) -> bool:
        """Whether it is proven that nothing of it runs any more: it has ended, and not by `onUnconfirmed` alone."""
        return self.ended and self.stop_record.get("verdict") != Verdict.UNVERIFIED

    @property
    def frozen(self) -> bool:
        """Whether it is paused with its processes frozen: it goes on where it was."""
        return is_frozen(self.raw)

    @property
    def kept_frozen_by(self) -> Freezer | None:
        """The order that keeps it frozen, or is about to freeze it; None where none does, or lets it go on now."""
        return None if is_thawing(self.raw) else freezer_of(self.raw)

    @cached_property
    def searchable(self) -> str:
        """What people look for it by, in small letters: names, ids and labels, who stopped or froze it and why."""
        stop, order = self.stop_record, freezer_of(self.raw)
        texts = (
            *(self.name, self.namespace, self.agent, self.external_id, self.uid, self.phase),
            *("frozen" if self.frozen else "", order.name if order is not None else ""),
            *(stop.get(name) for name in ("requestedBy", "source", "verdict", "reason", "message")),
            *(f"{key}={value}" for key, value in self.labels.items()),
        )
        return "\n".join(str(each) for each in texts if each).casefold()

    @property
    def created_at(self) -> datetime | None:
        """When the object was made, in whole seconds."""
        return parse_time(_text(self.raw["metadata"].get("creationTimestamp")))

    @property
    def ended_at(self) -> datetime | None:
        """When it was proven that nothing of it runs any more, or else when it came to its end; None before."""
        if not self.ended:
            return None
        moment = _text(self.stop_record.get("confirmedAt")) or _text(self.status.get("finishedAt"))
        return parse_time(moment)

    @property
    def changed_at(self) -> datetime | None:
        """The newest moment that is on record: of its creation, its stop, its pause, its start or its end."""
        status = (self.status.get(name) for name in ("startedAt", "pausedAt", "finishedAt"))
        stop = (self.stop_record.get(name) for name in ("acceptedAt", "signaledAt", "confirmedAt"))
        moments = (self.created_at, *(parse_time(_text(each)) for each in (*status, *stop)))
        return max((each for each in moments if each is not None), default=None)

    @cached_property
    def task(self) -> Task:
        """The whole task, read. Raises pydantic.ValidationError where it is not of this version."""
        return read_task(self.raw, trust_requested_by=True)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

"""What holds of families, against the truth of the API server."""

from collections.abc import Iterator, Mapping

from agentstop.api.task import KIND, Phase, StopSource
from agentstop.lifecycle.family import FamilyLister, inherited_stop
from agentstop.lifecycle.observation import Task
from agentstop.workloads.requests import Create, Meaning, Patch, Request

from .memory import Memory, Written, read
from .server import Raw, Server


class FamilyRules:
    """Checks what stops mean up and down a family."""

    def __init__(self, server: Server, memory: Memory) -> None:
        self._server = server
        self._memory = memory
        self._read = 0
        self._tasks: dict[str, Raw] = {}
        """The tasks by name, as far as the history was read."""
        self._too_late: dict[str, list[tuple[str, ...]]] = {}
        """By the UID of a task that was made under one that was stopping or had ended: the names up to each of those.

        Whoever makes one of these anew makes another family of it, and nothing tells of the former one.
        """
        self._reasons: dict[str, set[bool]] = {}
        """By the name of a task that gave those below it a reason to stop: whether that was a person's."""

    def check_request(self, request: Request, task: Task, family_lister: FamilyLister) -> None:
        self._take_stock()
        if not (isinstance(request, Create) or (isinstance(request, Patch) and request.meaning is Meaning.RESUME)):
            return
        assert inherited_stop(task, family_lister) is None, "something is started though an ancestor is to be stopped"
        for *_, name in self._too_late.get(task.uid, ()):
            still_there = name in self._tasks
            assert not still_there, f"{task.name} starts, and was made when {name} above it was stopped or had ended"

    def check_written(self, written: Written) -> None:
        self._take_stock()
        stop, spec = written.after.stop, written.task["spec"]
        if stop is not None and written.before.stop is None:
            assert (stop.origin is not None) is (stop.source is StopSource.PARENT)
            if stop.source is StopSource.USER:
                assert spec.get("stopRequested"), "stopped by nobody"
            elif stop.origin is not None:
                assert spec.get("parentRef"), "stopped with a parent that it does not have"
                reasons = self._reasons.get(stop.origin, set()) | (set() if stop.origin in self._tasks else {False})
                assert reasons, f"stopped because of {stop.origin}, which nobody stopped"
                assert written.after.manually_stopped in reasons, f"{stop.origin} was not stopped that way"
        if written.after.phase is Phase.STOPPED and written.before.phase is not Phase.STOPPED:
            self._check_all_ended(written)

    def _check_all_ended(self, written: Written) -> None:
        """A parent has ended only when nothing that descends from it is active; what never starts is no matter."""
        name = written.task["metadata"]["name"]
        above = {each["metadata"]["name"] for each in _above(written.task, self._tasks)}
        for raw in _below(name, self._tasks):
            below = raw["metadata"]["name"]
            ended = read(raw.get("status") or {}).phase.terminal
            made = self._memory.made.get(raw["metadata"]["uid"], ())
            assert ended or not made or below in above, f"{name} is Stopped while {below} below it is not"

    # What happened

    def _take_stock(self) -> None:
        for change in self._server.history[self._read :]:
            if change.ref.kind != KIND:
                continue
            raw = change.after
            if change.kind == "ADDED":
                for uid, chains in self._too_late.items():
                    self._too_late[uid] = [chain for chain in chains if change.ref.name not in chain]
                self._too_late[raw["metadata"]["uid"]] = list(_stopped_above(raw, self._tasks))
            if change.kind == "DELETED":
                self._tasks.pop(change.ref.name, None)
            else:
                self._tasks[change.ref.name] = raw
            self._reasons.setdefault(change.ref.name, set()).update(_reasons(raw, gone=change.kind == "DELETED"))
        self._read = len(self._server.history)


def _above(raw: Raw, tasks: Mapping[str, Raw]) -> Iterator[Raw]:
    """Yield the tasks above one."""
    seen = {raw["metadata"]["name"]}
    current: Raw | None = raw
    while current is not None and current["spec"].get("parentRef"):
        name = current["spec"]["parentRef"]["name"]
        current = None if name in seen else tasks.get(name)
        seen.add(name)
        if current is not None:
            yield current


def _stopped_above(raw: Raw, tasks: Mapping[str, Raw]) -> Iterator[tuple[str, ...]]:
    """Yield, for each task above that was stopped, and for a parent that has ended, the names on the way up to it."""
    names: tuple[str, ...] = ()
    for each in _above(raw, tasks):
        parent = not names
        names = (*names, each["metadata"]["name"])
        if _is_stopped(each) or (parent and _has_ended(each)):
            yield names


def _below(name: str, tasks: Mapping[str, Raw]) -> Iterator[Raw]:
    """Yield the tasks that descend from one."""
    seen = {name}
    front = {name}
    while front:
        following = {
            each: raw
            for each, raw in tasks.items()
            if each not in seen and (raw["spec"].get("parentRef") or {}).get("name") in front
        }
        yield from following.values()
        front = set(following)
        seen |= front


def _is_stopped(raw: Raw) -> bool:
    """Whether a task is or was stopped, and with it all that descends from it."""
    phase = read(raw.get("status") or {}).phase
    return phase in {Phase.STOPPING, Phase.STOPPED} or bool(raw["spec"].get("stopRequested"))


def _has_ended(raw: Raw) -> bool:
    """Whether a task has ended, in whatever way; its children live on."""
    return read(raw.get("status") or {}).phase.terminal


def _reasons(raw: Raw, *, gone: bool) -> Iterator[bool]:
    """Yield whether this state of a task gives those below a reason to stop, a person's or another."""
    status = read(raw.get("status") or {})
    if raw["spec"].get("stopRequested"):
        yield True
    if raw["spec"].get("activeDeadlineSeconds"):
        yield False  # the stop may have been accepted, and not be written yet
    if status.stop is not None:
        yield status.manually_stopped
    if gone or "deletionTimestamp" in raw["metadata"] or status.phase.terminal:
        yield False

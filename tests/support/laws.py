"""What holds for every history of a task, whatever the test: the rules that may not be broken."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from agentstop.api.crd import UNSEEN
from agentstop.cluster.gateway import MANAGER, PAUSE_MANAGER
from agentstop.workloads.pods.record import STOP_MANAGER
from tests.support.kube import Object

TERMINAL = frozenset({"Stopped", "Completed", "Failed"})
AFTER_ACCEPTANCE = frozenset({"Stopping", "Stopped"})
MAY_BE_PAUSED = frozenset({"Pausing", "Paused", "Stopping", "Stopped"})
"""Phases in which a task may say since when nothing of it runs."""

FIXED = ("source", "origin", "order", "requestedBy", "reason", "message", "acceptedAt", "usageAtAcceptance")
"""Fields of an accepted stop that never change."""

BY_PEOPLE = frozenset({"User", "StopOrder"})
"""Sources of stops that a person asked for; a stop from above is one if the first of its family was."""

SAYS_WHY = {"Budget": ("BudgetExceeded", "True"), "Idle": ("BudgetExceeded", "True"), "Tether": ("Tethered", "False")}
"""Which condition says the same as a stop's source, and its status then."""

FIELD_MANAGERS = frozenset({MANAGER, STOP_MANAGER, PAUSE_MANAGER})
"""By whom the API server notes changes of the operator."""

EVIDENT = frozenset({"Graceful", "Killed"})
"""Verdicts that are given on the containers' exit codes."""


def moment(text: str) -> datetime:
    """Read a time as Kubernetes writes it."""
    return datetime.fromisoformat(text)


def status(task: Object) -> Object:
    """Return a task's status, empty before the operator wrote one."""
    found = dict(task.get("status") or {})
    return {} if found == UNSEEN else found


def stop_of(task: Object) -> Object:
    """Return the record of a task's stop, empty without one."""
    return dict(status(task).get("stop") or {})


def pods_of(task: Object) -> list[Object]:
    """Return the evidence of a task's pods."""
    return list((status(task).get("workload") or {}).get("pods") or ())


def containers_of(task: Object) -> dict[str, Object]:
    """Return the evidence of the containers of a task's first pod, by name."""
    pods = pods_of(task) or [{}]
    return {each["name"]: each for each in pods[0].get("containers") or ()}


def exit_code(task: Object, container: str = "agent") -> int | None:
    """Return a container's exit code, as the task's status has it."""
    code = containers_of(task).get(container, {}).get("exitCode")
    return None if code is None else int(code)


def exit_codes(task: Object, container: str = "agent") -> list[int | None]:
    """Return the exit codes of a container in all pods of a task, in rising order; None where one has no exit code."""
    found = [each for pod in pods_of(task) for each in pod.get("containers") or () if each["name"] == container]
    return sorted((each.get("exitCode") for each in found), key=lambda code: -1 if code is None else code)


def children_of(task: Object) -> tuple[int, int]:
    """Return how many tasks descend from a task, and how many of them are active."""
    children = status(task).get("children") or {}
    return int(children.get("total", 0)), int(children.get("active", 0))


def conditions_of(task: Object) -> dict[str, Object]:
    """Return a task's conditions by type."""
    return {each["type"]: each for each in status(task).get("conditions") or ()}


def stalled(task: Object) -> str | None:
    """Return the reason why a task is stalled, if it is."""
    condition = conditions_of(task).get("Stalled") or {}
    return str(condition["reason"]) if condition.get("status") == "True" else None


def kstatus(item: Object) -> str:
    """Return what kstatus reads from an object: InProgress, Failed, Terminating or Current.

    These are its rules for kinds that it does not know by name. What has no condition that it knows is Current.
    Source: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/status/generic.go and status.go
    """
    if item["metadata"].get("deletionTimestamp"):
        return "Terminating"
    observed = (item.get("status") or {}).get("observedGeneration")
    if observed is not None and observed != item["metadata"]["generation"]:
        return "InProgress"
    holds = [(each["type"], each["status"]) for each in status(item).get("conditions") or ()]
    for condition in holds:
        # The first of these in the list decides.
        if condition == ("Reconciling", "True"):
            return "InProgress"
        if condition == ("Stalled", "True"):
            return "Failed"
    return "InProgress" if {("Ready", "False"), ("Ready", "Unknown")} & {*holds} else "Current"


def changed_by_us(item: Object) -> set[str]:
    """Return what the operator has changed of an object: fields of its spec, and the names of other parts."""
    fields: set[str] = set()
    for entry in item["metadata"].get("managedFields") or ():
        if entry["manager"] not in FIELD_MANAGERS:
            continue
        for part, changed in entry["fieldsV1"].items():
            fields |= {name.removeprefix("f:") for name in changed} if part == "f:spec" else {part}
    return fields


def check(states: Sequence[Object]) -> None:
    """Raise AssertionError unless the states of one task, in order, keep every rule."""
    for task in states:
        _one(task)
    for before, after in pairwise(states):
        if before["metadata"]["uid"] == after["metadata"]["uid"]:
            _step(before, after)


def _one(task: Object) -> None:
    stop, phase = stop_of(task), status(task).get("phase")
    times = [moment(stop[name]) for name in ("acceptedAt", "signaledAt", "confirmedAt") if name in stop]
    assert times == sorted(times), f"acceptedAt, signaledAt, confirmedAt are out of order: {stop}"
    assert (phase in AFTER_ACCEPTANCE) == bool(stop), f"a task in {phase} with the stop {stop}"
    assert (phase == "Stopped") == ("verdict" in stop) == ("confirmedAt" in stop), f"{phase} with {stop}"
    assert ("finishedAt" in status(task)) == (phase in TERMINAL), f"{phase} with finishedAt"
    assert phase == "Stopped" or "remains" not in stop, f"something is left behind by a stop that goes on: {stop}"
    if "killAt" in stop:
        assert moment(stop["killAt"]) >= moment(stop["signaledAt"]), f"killAt before signaledAt: {stop}"
    assert ("pausedAt" in status(task)) <= (phase in MAY_BE_PAUSED), f"{phase} with pausedAt"
    containers = [each for pod in pods_of(task) for each in pod.get("containers") or ()]
    if stop.get("verdict") in EVIDENT:
        ended = [each for each in containers if "startedAt" in each]
        assert ended, f"verdict {stop['verdict']} without evidence: {status(task)}"
        # What the kernel of a node calls empty needs no exit codes.
        empty = [each for pod in pods_of(task) if "emptyAt" in pod for each in pod.get("containers") or ()]
        unknown = [each for each in ended if "exitCode" not in each and each not in empty]
        assert not unknown, f"verdict {stop['verdict']} without all exit codes: {unknown}"
    if stop.get("verdict") == "NotStarted":
        assert not [each for each in containers if "startedAt" in each], "NotStarted, but something ran"
    if stop.get("source") in SAYS_WHY:
        kind, holds = SAYS_WHY[stop["source"]]
        found = conditions_of(task).get(kind, {}).get("status")
        assert found == holds, f"stopped by source {stop['source']}, and condition {kind} is {found}"
    total, active = children_of(task)
    assert active <= total, f"{active} active children of {total}"
    assert phase != "Stopped" or not active, f"Stopped with {active} active children"
    if stop.get("source") == "Parent":
        assert "origin" in stop, f"a stop from above without its origin: {stop}"
    elif stop:
        assert status(task)["manuallyStopped"] == (stop["source"] in BY_PEOPLE), f"manuallyStopped with {stop}"
        assert ("order" in stop) == (stop["source"] == "StopOrder"), f"which order it was: {stop}"


def _unless_late(task: Object) -> Object:
    """Return the status of a task that has ended without what may come later: what it has used, and what has gone."""
    late = {name: value for name, value in status(task).items() if name not in {"observedGeneration", "usage"}}
    stop = {name: value for name, value in stop_of(task).items() if name not in {"usageAfter", "remains"}}
    return {**late, "stop": stop}


def _step(before: Object, after: Object) -> None:
    was, now = status(before).get("phase", "Pending"), status(after).get("phase", "Pending")
    if was in TERMINAL:
        assert now == was, f"phase went from {was} to {now}"
        first, second = map(_unless_late, (before, after))
        assert first == second, f"the status of an ended task changed: {first} -> {second}"
    if was == "Stopping":
        assert now in AFTER_ACCEPTANCE, f"phase went from {was} to {now}"
    if was != "Pending":
        assert now != "Pending", f"phase went from {was} back to Pending"
    if status(before).get("manuallyStopped"):
        assert status(after).get("manuallyStopped"), "manuallyStopped went back to false"
    more = status(after).get("attempts", 0) - status(before).get("attempts", 0)
    assert more in {0, 1}, f"attempts went up by {more}"
    first, second = stop_of(before), stop_of(after)
    if first:
        changed = [name for name in FIXED if first.get(name) != second.get(name)]
        assert not changed, f"the record of the stop changed in {changed}: {first} -> {second}"
    if "signaledAt" in first:
        assert second.get("signaledAt") == first["signaledAt"], f"signaledAt changed: {first} -> {second}"
    for name in ("killAt", "gracePeriodSeconds"):
        if name in first:
            assert second.get(name) is not None, f"{name} went away: {first} -> {second}"
    if "gracePeriodSeconds" in first:
        # killAt is when the kubelet kills: that may come out later, when it is known what it heard of first.
        raised = second["gracePeriodSeconds"] > first["gracePeriodSeconds"]
        assert not raised, f"gracePeriodSeconds was raised: {first} -> {second}"
    made_anew = "podTemplate" in after["spec"] and was in {"Pausing", "Paused"}
    if "uid" in (status(before).get("workload") or {}) and not made_anew:
        assert status(after)["workload"]["uid"] == status(before)["workload"]["uid"], "the workload was exchanged"

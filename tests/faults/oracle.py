"""Whether a run in which something broke came to what the undisturbed one came to, and did no more than that."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.faults.outcome import Outcome
from tests.faults.points import BLINDING, Point
from tests.faults.scenarios import EVIDENCE_MAY_GO
from tests.faults.traffic import Traffic
from tests.support.kube import Object
from tests.support.laws import EVIDENT
from tests.support.namespaces import Namespace

REPEATS: Final = 1
"""So many times more may an effect be asked for on one object: it was carried out, and nobody heard of it."""

REQUESTS_TIMES: Final = 3
REQUESTS_MORE: Final = 60
STATUSES_MORE: Final = 6
"""What a restart and tries may take besides. A hot loop takes thousands."""

REFUSED: Final = frozenset({400, 403, 405, 422})
"""What the API server answers to what may never be asked for, by validation or by a policy."""

_HELP: Final = re.compile("(DELETE|PATCH) /api/v1/namespaces/NAMESPACE/pods/(?P<pod>.*)")
"""What is done to a pod that its controller leaves alone for two seconds: on a busy machine that comes about."""


def problems(
    scenario: str, point: Point | None, reference: Outcome | None, found: Outcome, traffic: Traffic
) -> Iterator[str]:
    """Yield what is wrong with a run, beside the rules that hold for every status."""
    yield from traffic.lies
    yield from (f"{each} is refused with {each.code}" for each in traffic.writes if each.code in REFUSED)
    if reference is None:
        return
    lenient = point is not None and point.fault in BLINDING and scenario in EVIDENCE_MAY_GO
    for what, before, after in (
        ("task", reference.tasks, found.tasks),
        ("object", reference.others, found.others),
    ):
        for name in sorted(before.keys() | after.keys()):
            first, second = before.get(name), after.get(name)
            if lenient and _went_unseen(second):
                first, second = _without_evidence(first), _without_evidence(second)
            if first != second:
                yield f"{what} {name}: {difference(first, second)}"
    yield from _too_much(reference, found)


def _too_much(reference: Outcome, found: Outcome) -> Iterator[str]:
    for effect, counts in found.effects.items():
        expected = reference.effects.get(effect, [])
        help_given = _HELP.fullmatch(effect)
        if help_given and help_given["pod"] not in reference.tasks:
            expected = expected or [1] * reference.others["pods ever"].get(help_given["pod"], 0)
        creates = effect.startswith("POST ")
        if creates and sum(counts) > sum(expected):
            yield f"{effect} was carried out {sum(counts)} times instead of {sum(expected)}"
        elif not creates and len(counts) > len(expected):
            yield f"{effect} was carried out on {len(counts)} objects instead of {len(expected)}"
        elif not creates and counts[0] > expected[0] + REPEATS:
            yield f"{effect} was carried out {counts[0]} times on one object instead of {expected[0]}"
    most = REQUESTS_TIMES * reference.requests + REQUESTS_MORE
    if found.requests > most:
        yield f"{found.requests} requests, where {reference.requests} do without a fault"
    if found.statuses > 2 * reference.statuses + STATUSES_MORE:
        yield f"{found.statuses} statuses were written, where {reference.statuses} do without a fault"


def _went_unseen(task: Any) -> bool:
    return isinstance(task, dict) and (task.get("stop") or {}).get("verdict") == "Gone"


def _without_evidence(task: Any) -> Any:
    """Return a task's status without what its pods' last states say."""
    if not isinstance(task, dict):
        return task
    bare = {name: value for name, value in task.items() if name not in {"message", "conditions"}}
    if bare.get("stop"):
        bare["stop"] = {name: value for name, value in bare["stop"].items() if name not in {"verdict", "killAt"}}
    if bare.get("workload"):
        bare["workload"] = {name: value for name, value in bare["workload"].items() if name != "pods"}
    return bare


def difference(before: Any, after: Any, where: str = "") -> str:
    """Return the first place where two values differ, and how."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                return difference(before.get(name), after.get(name), f"{where}.{name}")
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (first, second) in enumerate(zip(before, after, strict=True)):
            if first != second:
                return difference(first, second, f"{where}[{number}]")
    return f"{where or 'it'} is {json.dumps(after)} instead of {json.dumps(before)}"


def witness(ns: Namespace) -> Any:
    """Return a witness who looks at this machine's processes where a task's status says that nothing of it runs."""
    pauses: set[str] = set()

    def look(task: Object) -> str | None:
        status: Mapping[str, Any] = task.get("status") or {}
        said = (status.get("stop") or {}).get("verdict")
        if status.get("phase") == "Paused" and status.get("pausedAt") not in pauses:
            # It is said for as long as nothing has come back: what begins again is there before it is seen.
            pauses.add(status["pausedAt"])
            said = "Paused"
        if said not in EVIDENT | {"NotStarted", "Gone", "Paused"} or not status.get("workload"):
            return None
        left = ns.processes_of(status["workload"])
        return f"{task['metadata']['name']} is said to be {said}, and these processes run: {left}" if left else None

    return look

"""What can be known about an installation from outside: definitions, operator, rights."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from agentstop.cli.plugin.names import (
    API_VERSION,
    CLUSTER_ORDER,
    CONTROL,
    DEFINITION,
    EVENT,
    FIELD_MANAGER,
    GROUP,
    ORDER,
    TASK,
    Kind,
)
from agentstop.cli.plugin.problems import is_unknown_kind
from agentstop.client.client import Api
from agentstop.client.errors import ApiError
from agentstop.cluster import access_reviews
from agentstop.words.durations import ago, moment, now
from agentstop.words.tasks import Object, name_of, namespace_of, phase_of, taken_up

LATE: Final = timedelta(seconds=10)
"""A spec that nobody has taken up for so long says that no operator serves it."""

PROBE_SECONDS: Final = 20.0
"""How long an operator may take to answer: longer than the Lease of a leader that crashed holds the next one up."""

LOOKED_AT: Final = 200


class Grade(StrEnum):
    """How a check came out."""

    GOOD = "ok"
    BAD = "bad"
    UNKNOWN = "unknown"
    NO = "no"
    """Not wrong, but not there: a right that this user lacks, or what a cluster may do without."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    subject: str
    grade: Grade
    detail: str = ""

    def data(self) -> dict[str, str]:
        """Return it for machines."""
        return {"topic": self.topic, "subject": self.subject, "result": str(self.grade), "detail": self.detail}


RIGHTS: Final = (
    ("stop, pause and resume a task", "patch", TASK),
    ("see tasks", "list", TASK),
    ("follow tasks", "watch", TASK),
    ("make a stop order", "create", ORDER),
    ("lift a stop order", "patch", ORDER),
    ("make a stop order for the cluster", "create", CLUSTER_ORDER),
    ("lift one of the cluster", "patch", CLUSTER_ORDER),
    ("read Events", "list", EVENT),
)
"""What a user of these verbs may want to do."""


def server_finding(api: Api) -> Finding:
    """Return whether the API server answers, and as whom we speak to it. Raises UnreachableError."""
    version = api.get("/version").get("gitVersion", "of unknown version")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        made = api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", None, body)
        user = (made.get("status") or {}).get("userInfo", {}).get("username")
    except ApiError:
        user = None
    detail = f"Kubernetes {version}, context {api.target.context}" + (f", as {user}" if user else "")
    return Finding("cluster", api.target.server, Grade.GOOD, detail)


def definition_findings(api: Api) -> Iterator[Finding]:
    """Yield whether each kind is served, and defined as this version defines it."""
    from agentstop.api.definitions import INSTALL, definitions, difference
    from agentstop.api.usage import USAGE_KIND

    served = _served(api)
    for name, wanted in definitions().items():
        if served is not None and wanted["spec"]["names"]["plural"] not in served:
            if wanted["spec"]["names"]["kind"] == USAGE_KIND:
                detail = f"is not there, so that budgets have no effect: {INSTALL}"
                yield Finding("definitions", name, Grade.NO, detail)
            else:
                yield Finding("definitions", name, Grade.BAD, f"is not there: {INSTALL}")
            continue
        try:
            found = api.get(DEFINITION.path(None, name))
        except ApiError as error:
            if error.code == 403:
                detail = "is served; whether it is this version's, you may not read"
                yield Finding("definitions", name, Grade.UNKNOWN, detail)
            else:
                yield Finding("definitions", name, Grade.BAD, error.message)
            continue
        how = difference(found, wanted)
        if how is None:
            yield Finding("definitions", name, Grade.GOOD, "as in this version")
        else:
            yield Finding("definitions", name, Grade.BAD, f"{how}: {INSTALL}")


def _served(api: Api) -> set[str] | None:
    try:
        listed = api.get(f"/apis/{API_VERSION}").get("resources") or ()
    except ApiError as error:
        return set() if error.code == 404 else None
    return {each["name"] for each in listed}


def operator_finding(api: Api, namespace: str | None) -> Finding:
    """Return whether an operator takes up what is asked of tasks, as far as the tasks tell."""
    try:
        page = api.page(TASK.path(namespace), {"limit": str(LOOKED_AT)})
    except ApiError as error:
        if is_unknown_kind(error):
            return Finding("operator", "takes up changes", Grade.UNKNOWN, "without the definitions there is none")
        return Finding("operator", "takes up changes", Grade.UNKNOWN, f"not to be seen: {error.message}")
    tasks: list[Object] = list(page.get("items") or ())
    where = f"in namespace {namespace}" if namespace else "in the cluster"
    late = [task for task in tasks if _late(task)]
    if late:
        first = late[0]
        since = ago(_changed_at(first), now())
        detail = (
            f"{len(late)} of {len(tasks)} tasks {where} wait for one, such as {namespace_of(first)}/{name_of(first)}"
            f" for {since}: run it with agentstop run, or see its log"
        )
        return Finding("operator", "takes up changes", Grade.BAD, detail)
    if not tasks:
        return Finding("operator", "takes up changes", Grade.UNKNOWN, f"no task {where} to tell by; --probe asks it")
    written = max((at for task in tasks if (at := _written_at(task)) is not None), default=None)
    if written is None:
        return Finding("operator", "takes up changes", Grade.UNKNOWN, f"no task {where} has a status yet")
    detail = (
        f"it has taken up all of {len(tasks)} tasks {where}, and wrote last {ago(written, now())} ago;"
        " --probe asks whether it lives"
    )
    return Finding("operator", "takes up changes", Grade.GOOD, detail)


def _late(task: Object) -> bool:
    changed = _changed_at(task)
    return not taken_up(task) and changed is not None and now() - changed > LATE


def _changed_at(task: Object) -> datetime | None:
    return _managed_at(task, status=False) or moment(task["metadata"].get("creationTimestamp"))


def _written_at(task: Object) -> datetime | None:
    return _managed_at(task, status=True)


def _managed_at(task: Object, *, status: bool) -> datetime | None:
    """Return when somebody wrote to the task last, or to its status."""
    entries = task["metadata"].get("managedFields") or ()
    texts = [each.get("time") for each in entries if (each.get("subresource") == "status") is status]
    return max((at for text in texts if (at := moment(text)) is not None), default=None)


def node_finding(api: Api, namespace: str | None) -> Finding:
    """Return whether the components on the nodes answer, where the operator has asked them for something."""
    subject = "answer the operator"
    try:
        page = api.page(CONTROL.path(namespace), {"limit": str(LOOKED_AT)})
    except ApiError as error:
        if is_unknown_kind(error):
            return Finding("nodes", subject, Grade.NO, "without the definition none can be asked")
        return Finding("nodes", subject, Grade.UNKNOWN, f"not to be seen: {error.message}")
    asked: list[Object] = list(page.get("items") or ())
    if not asked:
        return Finding(
            "nodes", subject, Grade.NO, "none was asked to freeze or kill a pod, as with the chart's node.enabled"
        )
    silent = [each for each in asked if not taken_up(each) and _is_old(each)]
    if silent:
        nodes = sorted({str(each["spec"]["nodeName"]) for each in silent})
        detail = f"{len(silent)} of {len(asked)} are not answered, such as by node {nodes[0]}: see agentstop node there"
        return Finding("nodes", subject, Grade.BAD, detail)
    return Finding("nodes", subject, Grade.GOOD, f"all of {len(asked)} that were asked to freeze or kill a pod")


def _is_old(item: Object) -> bool:
    made_at = moment(item["metadata"].get("creationTimestamp"))
    return made_at is not None and now() - made_at > LATE


def probe_finding(api: Api, namespace: str) -> Finding:
    """Ask the operator for a drill that matches nothing, and return whether it answers."""
    body = {
        "apiVersion": API_VERSION,
        "kind": ORDER.kind,
        "metadata": {"generateName": "check-"},
        "spec": {
            "selector": {"matchLabels": {f"{GROUP}/nothing": "matches-this"}},
            "drill": True,
            "ttlSecondsAfterFinished": 60,
        },
    }
    subject = "answers a drill"
    try:
        order = api.create(ORDER.path(namespace), body, manager=FIELD_MANAGER)
    except ApiError as error:
        return Finding("operator", subject, Grade.UNKNOWN, f"cannot be asked: {error.message}")
    path = ORDER.path(namespace, name_of(order))
    started = time.monotonic()
    try:
        while time.monotonic() - started < PROBE_SECONDS:
            if phase_of(api.get(path)) == "Drilled":
                return Finding(
                    "operator", subject, Grade.GOOD, f"within {time.monotonic() - started:.1f}s in {namespace}"
                )
            time.sleep(0.2)
    finally:
        _remove(api, path)
    detail = f"not within {PROBE_SECONDS:.0f}s in {namespace}: run it with agentstop run, or see its log"
    return Finding("operator", subject, Grade.BAD, detail)


def _remove(api: Api, path: str) -> None:
    try:
        api.delete(path)
    except ApiError:
        return  # its time to live removes it


def right_findings(api: Api, namespace: str | None) -> list[Finding]:
    """Return what this user may do, as the API server says."""
    with ThreadPoolExecutor(len(RIGHTS)) as pool:
        return list(pool.map(lambda right: _right(api, namespace, *right), RIGHTS))


def _right(api: Api, namespace: str | None, words: str, verb: str, kind: Kind) -> Finding:
    group = kind.root.split("/")[2]
    where = namespace if namespace and not kind.cluster_wide else ""
    review = access_reviews.self_review(verb, kind.plural, group=group, namespace=where)
    try:
        answer = api.request("POST", access_reviews.PATH, None, review)
    except ApiError as error:
        return Finding("rights", words, Grade.UNKNOWN, error.message)
    grade = Grade.GOOD if access_reviews.allowed(answer) is True else Grade.NO
    return Finding("rights", words, grade, f"{verb} {kind.plural}")

"""Which request ends a pod, if any."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from agentstop.api.task import PodPolicy
from agentstop.cluster.resources import task_ref
from agentstop.lifecycle.effects import Start, Terminate
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import CacheEntry, Rejection
from agentstop.workloads.requests import Create, Delete, GetTemplate, Meaning, Patch, Request
from tests.unit.objects import (
    ADOPTS,
    NAMESPACE,
    NOW,
    POD_REF,
    POD_UID,
    TASK_UID,
    Raw,
    at,
    end,
    ended,
    entry,
    lister,
    owner,
    pod,
    task,
    waiting,
    when,
)

IN_PLACE = Patch(POD_REF, POD_UID, {"spec": {"activeDeadlineSeconds": 1}}, Meaning.STOP)
STOPPED_IN_PLACE = {"activeDeadlineSeconds": 1}
UNTAKEN: Raw = {"phase": "Pending", "startTime": None, "containerStatuses": None}
UNSCHEDULED: Raw = {"status": UNTAKEN, "spec": {"nodeName": None}}
STARTING: Raw = {"phase": "Pending", "containerStatuses": [waiting()]}
AGAIN: Raw = {"containerStatuses": [waiting(reason="CrashLoopBackOff", last=end(1))]}
ENDED: Raw = {"phase": "Succeeded", "containerStatuses": [ended()]}


def going(left: float, grace: int) -> Raw:
    return {"deletionTimestamp": when(left), "deletionGracePeriodSeconds": grace}


def delete(grace: int | None, *, ends_processes: bool = True, version: str | None = None) -> Delete:
    return Delete(POD_REF, POD_UID, grace, ends_processes, version)


def keep(grace: int | None = None, kill_at: datetime | None = None) -> Terminate:
    return Terminate(grace, PodPolicy.KEEP, kill_at)


def remove(grace: int | None = None, kill_at: datetime | None = None) -> Terminate:
    return Terminate(grace, PodPolicy.DELETE, kill_at)


def sent(
    halt: Terminate, rejections: dict[str, Rejection] | None = None, now: datetime = NOW, **changes: Any
) -> list[Request]:
    seen = entry(pod(**changes))
    return list(POD.plan_requests(task(), halt, lister(seen, rejections), now))


@pytest.mark.parametrize(
    ("halt", "changes", "request_"),
    [
        pytest.param(keep(), {}, IN_PLACE, id="in place"),
        pytest.param(keep(30), {}, IN_PLACE, id="in place, its own grace asked for"),
        pytest.param(keep(5), {}, delete(5), id="shorter: a kubelet must hear it first"),
        pytest.param(keep(60), {}, delete(60), id="longer"),
        pytest.param(keep(1), {}, delete(1), id="at once"),
        pytest.param(keep(), {"status": UNTAKEN}, delete(None), id="no kubelet took it yet"),
        pytest.param(keep(), {"status": STARTING}, delete(None), id="no container was started: the kubelet waits"),
        pytest.param(keep(), {"status": AGAIN}, IN_PLACE, id="it waits for its second start: there are logs to keep"),
        pytest.param(keep(), {**UNSCHEDULED, "version": 8}, delete(None, version="8"), id="unscheduled"),
        pytest.param(keep(5), {**UNSCHEDULED, "version": 8}, delete(5, version="8"), id="unscheduled, shorter"),
        pytest.param(keep(), {"spec": {"activeDeadlineSeconds": 3600}}, IN_PLACE, id="a deadline of its own"),
        pytest.param(keep(), {"spec": STOPPED_IN_PLACE}, None, id="stopped in place already"),
        pytest.param(keep(30, at(-1)), {"spec": STOPPED_IN_PLACE}, None, id="its own grace is over"),
        pytest.param(keep(5, at(3)), {"spec": STOPPED_IN_PLACE}, None, id="shortened, not over"),
        pytest.param(keep(5, at(0)), {"spec": STOPPED_IN_PLACE}, delete(1), id="shortened, over"),
        pytest.param(keep(), {"status": ENDED}, None, id="ended"),
        pytest.param(remove(), {}, delete(None), id="delete"),
        pytest.param(remove(7), {}, delete(7), id="delete with a grace"),
        pytest.param(remove(), {"status": ENDED}, delete(None, ends_processes=False), id="ended: the object goes"),
        pytest.param(remove(), {"status": ENDED, "metadata": going(3, 30)}, None, id="ended and going"),
        pytest.param(keep(), {"metadata": going(20, 30)}, None, id="somebody deletes it"),
        pytest.param(keep(5), {"metadata": going(20, 30)}, delete(5), id="somebody deletes it, we sooner"),
        pytest.param(keep(60), {"metadata": going(20, 30)}, None, id="somebody deletes it, we later"),
        pytest.param(remove(10, at(2.5)), {"metadata": going(20, 30)}, delete(3), id="what is left, rounded up"),
        pytest.param(remove(10, at(-5)), {"metadata": going(20, 30)}, delete(1), id="nothing is left"),
        pytest.param(remove(10, at(19.5)), {"metadata": going(20, 30)}, None, id="less than a second sooner"),
        pytest.param(remove(1, at(-5)), {"metadata": going(20, 1)}, None, id="as short as can be"),
    ],
)
def test_the_request(halt: Terminate, changes: Raw, request_: Request | None) -> None:
    assert sent(halt, **changes) == ([request_] if request_ is not None else [])


def test_where_it_may_not_be_changed_it_is_deleted() -> None:
    refused = {"patch": Rejection(403, "Forbidden", "no", NOW)}

    assert sent(keep(), refused) == [delete(None)]


def test_a_refusal_does_not_count_for_ever() -> None:
    refused = {"patch": Rejection(403, "Forbidden", "no", NOW)}

    assert sent(keep(), refused, at(60)) == [IN_PLACE]


@pytest.mark.parametrize("grace", [None, 1, 5, 30, 60])
@pytest.mark.parametrize("policy", list(PodPolicy))
@pytest.mark.parametrize("kill_at", [None, at(-9), at(9)])
@pytest.mark.parametrize("metadata", [None, going(20, 30), going(20, 0), going(-1, 1)])
@pytest.mark.parametrize("own", [0, 1, 30])
def test_never_by_force_and_never_another_pod(
    grace: int | None, policy: PodPolicy, kill_at: datetime | None, metadata: Raw | None, own: int
) -> None:
    spec = {"terminationGracePeriodSeconds": own}
    for request in sent(Terminate(grace, policy, kill_at), metadata=metadata, spec=spec):
        assert isinstance(request, Patch | Delete)
        assert request.uid == POD_UID
        assert not isinstance(request, Delete) or request.grace_seconds != 0


def test_a_pod_whose_own_grace_is_zero_is_not_deleted_by_force() -> None:
    """DELETE without a grace period takes the pod's own, and 0 would throw the proof away."""
    (request,) = sent(remove(), spec={"terminationGracePeriodSeconds": 0})

    assert request == delete(1)


@pytest.mark.parametrize(
    ("seen", "spec"),
    [
        (None, None),
        (entry(None, absent=True), None),
        (entry(pod(), absent=True), None),
        (entry(pod(metadata={"ownerReferences": []})), None),
        (entry(pod(metadata={"ownerReferences": [owner("other")]})), None),
    ],
    ids=["never seen", "absent", "gone", "nobody's", "another's"],
)
def test_what_is_not_there_or_not_ours_is_left_alone(seen: CacheEntry | None, spec: Raw | None) -> None:
    assert POD.plan_requests(task(spec), keep(), lister(seen), NOW) == ()


def test_an_adopted_pod_is_the_one_with_the_known_uid() -> None:
    workload = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID}
    adopting = task(ADOPTS, {"phase": "Stopping", "workload": workload})
    same = entry(pod(metadata={"ownerReferences": []}))
    another = entry(pod(metadata={"ownerReferences": []}, uid="another"))

    assert POD.plan_requests(adopting, keep(), lister(same), NOW) == (IN_PLACE,)
    assert POD.plan_requests(adopting, keep(), lister(another), NOW) == ()


# Starting


def test_the_pod_is_made_from_the_template() -> None:
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"containers": [{"name": "m"}]}}
    unread = lister(entry(None, absent=True))
    (look,) = POD.plan_requests(task({"podTemplate": template}), Start(), unread, NOW)
    assert look == GetTemplate(task_ref(NAMESPACE, "x"), TASK_UID)
    read = replace(unread, templates={TASK_UID: template})
    (request,) = POD.plan_requests(task({"podTemplate": template}), Start(), read, NOW)

    assert isinstance(request, Create)
    assert request.ref == POD_REF
    metadata = request.body["metadata"]
    assert metadata["labels"] == {"a": "b", "agentstop.dev/task": "x"}
    assert metadata["annotations"] == {"c": "d"}
    assert metadata["ownerReferences"] == [owner() | {"blockOwnerDeletion": False}]
    assert request.body["spec"] == {"restartPolicy": "Never", "containers": [{"name": "m"}]}


def test_a_template_can_not_take_our_label_away() -> None:
    template = {"metadata": {"labels": {"agentstop.dev/task": "another"}}, "spec": {"restartPolicy": "Always"}}
    read = replace(lister(None), templates={TASK_UID: template})
    (request,) = POD.plan_requests(task({"podTemplate": template}), Start(), read, NOW)

    assert isinstance(request, Create)
    assert request.body["metadata"]["labels"] == {"agentstop.dev/task": "x"}
    assert request.body["spec"]["restartPolicy"] == "Always"


def test_nothing_is_made_where_something_is() -> None:
    taken = entry(pod(metadata={"ownerReferences": []}, status={"containerStatuses": [waiting()]}))

    assert POD.plan_requests(task(), Start(), lister(taken), NOW) == ()

"""What is taken off an object that has become too large, and when."""

from dataclasses import replace
from typing import Any

import pytest

from agentstop.cluster.errors import ApiError
from agentstop.lifecycle.effects import Terminate
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.lightening import BULKY, IS_HEAVY, TOO_LARGE, lightened, mark_of
from agentstop.workloads.objects import Lister, ObjectRef, Rejection
from agentstop.workloads.requests import Delete, Lighten, Meaning, Patch, Request
from tests.unit.objects import NAMESPACE, NOW, POD_REF, POD_UID, Raw, at, ended, entry, lister, pod, task, when

from .adopted import HALT, STOPPING, SUSPEND, sent
from .adopted import lister as job_around
from .owners import JOB_REF, JOB_UID, job_pod, raw_owner

LARGE = Rejection(500, TOO_LARGE, "etcdserver: request is too large", NOW)
FORBIDDEN = Rejection(403, "Forbidden", "not you", NOW)
IN_PLACE: Raw = {"activeDeadlineSeconds": 1}


def removed(metadata: Raw, *keep: str) -> dict[str, Any]:
    return {each["path"].removeprefix("/metadata/"): each["value"] for each in lightened(metadata, keep)}


def test_labels_and_annotations_go_but_ours_and_those_to_keep() -> None:
    labels = {"agentstop.dev/task": "x", "app": "x", "p": "v"}
    annotations = {"agentstop.dev/stop-requested-by": "jane", "a": "b"}

    assert removed({"labels": labels, "annotations": annotations}, "app") == {
        "labels": {"agentstop.dev/task": "x", "app": "x"},
        "annotations": {"agentstop.dev/stop-requested-by": "jane"},
    }
    assert removed({"labels": {"agentstop.dev/task": "x"}}) == {}
    assert removed({}) == {}


def test_the_record_of_who_wrote_what_goes_but_for_our_mark() -> None:
    mark = mark_of("v1", IN_PLACE, "agentstop-stop", at(0.9))

    assert removed({"managedFields": [{"manager": "x"}]}) == {"managedFields": [{}]}
    assert lightened({"managedFields": [{"manager": "x"}]}, mark=mark)[0]["value"] == [mark]
    assert (mark["time"], mark["fieldsV1"]) == (when(0), {"f:spec": {"f:activeDeadlineSeconds": {}}})
    assert pod(metadata={"managedFields": [mark]}, spec=IN_PLACE).stopped_in_place_at == at(0)


def test_owners_and_finalizers_go_only_where_they_are_the_bulk() -> None:
    owners = [{"name": "c", "controller": True}, {"name": "o"}]
    finalizers = ["batch.kubernetes.io/job-tracking", "example.com/hold", "agentstop.dev/stop"]
    many = [f"example.com/{'x' * 60}-{each}" for each in range(BULKY // 60)]

    assert removed({"ownerReferences": owners, "finalizers": finalizers}) == {}
    assert removed(
        {"ownerReferences": owners + [{"name": each} for each in many], "finalizers": finalizers + many}
    ) == {
        "ownerReferences": owners[:1],
        "finalizers": [finalizers[0], finalizers[2]],
    }


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (500, "etcdserver: request is too large"),
        (
            500,
            "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2809007 vs. 2097152)",
        ),
        (413, "Request entity too large: limit is 3145728"),
    ],
)
def test_what_the_api_server_says_of_what_is_too_large(code: int, message: str) -> None:
    error = ApiError(code, "Unknown", message)

    assert error.too_large
    assert error.refused
    assert not ApiError(500, "InternalError", "etcdserver: leader changed").refused


# Pods


def asked(halt: Terminate, rejections: dict[str, Rejection], **changes: Any) -> list[Request]:
    seen = pod(**changes)
    return list(POD.plan_requests(task(), halt, lister(entry(seen), rejections), NOW))


def lighten(spec: Raw | None = None) -> Lighten:
    return Lighten(POD_REF, POD_UID, NOW, spec or {})


@pytest.mark.parametrize(
    ("grace", "rejections", "changes", "requests"),
    [
        pytest.param(None, {"patch": LARGE}, {}, [lighten(IN_PLACE)], id="in place"),
        pytest.param(5, {"delete": LARGE}, {}, [lighten()], id="before it is deleted"),
        pytest.param(None, {"delete": LARGE}, {"status": {"startTime": None}}, [lighten()], id="not taken yet"),
        pytest.param(
            None,
            {"patch": FORBIDDEN},
            {},
            [Delete(POD_REF, POD_UID, None)],
            id="what is forbidden is no matter of size",
        ),
        pytest.param(
            None,
            {"patch": LARGE, "lighten": LARGE},
            {},
            [Patch(POD_REF, POD_UID, {"spec": IN_PLACE}, Meaning.STOP)],
            id="as it was, where it could not be made smaller",
        ),
        pytest.param(None, {}, {"spec": IN_PLACE}, [], id="going, and not heavy"),
    ],
)
def test_a_pod_that_is_too_large_to_be_ended(
    grace: int | None, rejections: dict[str, Rejection], changes: Raw, requests: list[Request]
) -> None:
    assert asked(replace(HALT, grace_seconds=grace), rejections, **changes) == requests


@pytest.mark.parametrize(
    "going", [{"spec": IN_PLACE}, {"metadata": {"deletionTimestamp": when(5)}}], ids=["in place", "deleted"]
)
def test_a_heavy_pod_that_is_ending_is_made_smaller_for_its_node(going: Raw) -> None:
    seen = replace(pod(**going), heavy=True)
    over = replace(pod(**going, status={"phase": "Failed", "containerStatuses": [ended()]}), heavy=True)

    assert list(POD.plan_requests(task(), HALT, lister(entry(seen)), NOW)) == [lighten()]
    assert list(POD.plan_requests(task(), HALT, lister(entry(over)), NOW)) == []


def test_why_it_is_not_ended_is_its_size_and_not_its_node() -> None:
    stopping = task(None, {"phase": "Stopping", "stop": {"source": "User", "acceptedAt": when(0)}})
    blocked = POD.observe(stopping, lister(entry(pod()), {"patch": LARGE}), NOW).blocked

    assert blocked is not None
    assert blocked.reason == "PodTooLarge"


def test_what_comes_from_the_api_server_says_that_it_is_heavy() -> None:
    assert pod().heavy is False
    raw = raw_owner("job")
    assert job_around(raw | {IS_HEAVY: True}).entries[JOB_REF].seen.heavy  # type: ignore[union-attr]


# Workloads


def with_refusals(known: Lister, ref: ObjectRef, **rejections: Rejection) -> Lister:
    return replace(known, rejections={(ref, verb): replace(each, at=at(19)) for verb, each in rejections.items()})


def test_a_job_that_is_too_large_to_be_suspended_is_made_smaller_with_it() -> None:
    known = with_refusals(job_around(raw_owner("job"), job_pod()), JOB_REF, patch=LARGE)

    assert Lighten(JOB_REF, JOB_UID, at(20), SUSPEND["spec"]) in sent(STOPPING, HALT, known)


def test_a_job_that_is_too_heavy_for_its_controller_is_made_smaller() -> None:
    raw = raw_owner("job", spec={"suspend": True}) | {IS_HEAVY: True}

    assert Lighten(JOB_REF, JOB_UID, at(20)) in sent(STOPPING, HALT, job_around(raw, job_pod(), signaled=10))


def test_a_jobs_pod_that_is_too_large_keeps_the_label_by_which_it_is_found() -> None:
    raw = raw_owner("job", spec={"suspend": True})
    ref = ObjectRef("Pod", NAMESPACE, "x-1")
    known = with_refusals(job_around(raw, job_pod(), signaled=10), ref, delete=LARGE)

    (request,) = sent(STOPPING, HALT, known)
    assert isinstance(request, Lighten)
    assert (request.ref, request.keep) == (ref, ("batch.kubernetes.io/controller-uid",))

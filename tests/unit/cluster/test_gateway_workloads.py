"""What goes over the wire for workloads that make pods of their own, and for families."""

import json
from typing import Any

import pytest
from aiohttp import web

from agentstop.api.meta import API_VERSION
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.watching import ABSENT, LISTED
from agentstop.workloads.objects import ObjectRef, PodsOf, Schedule, WatchTarget
from agentstop.workloads.requests import (
    AccessReview,
    AskNode,
    Delete,
    Get,
    GetPod,
    ListPods,
    Meaning,
    Patch,
    Recall,
    Suspend,
)
from tests.unit.objects import POD_REF, Raw, raw_pod

from .wire import Server

JOB = ObjectRef("Job", "ns", "x", "batch/v1")
FLEET = ObjectRef("Fleet", "ns", "x", "example.com/v1")
PODS = PodsOf("ns", "app=x")
JOB_PATH = "/apis/batch/v1/namespaces/ns/jobs/x"
FLEET_PATH = "/apis/example.com/v1/namespaces/ns/fleets/x"
TASKS_PATH = "/apis/agentstop.dev/v1alpha1/namespaces/ns/agenttasks"
POD_LIST = "/api/v1/namespaces/ns/pods"

FLEETS: list[Raw] = [
    {"name": "fleets", "kind": "Fleet", "namespaced": True},
    {"name": "fleets/scale", "kind": "Scale", "namespaced": True},
]
DISCOVERY: Raw = {"/apis/example.com/v1": {"resources": FLEETS}}


def serve(server: Server, answers: Raw, *, events: tuple[Raw, ...] = ()) -> None:
    """Answer by path; 404 in Kubernetes' words where there is nothing, and these events to a watch."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return web.Response(text="".join(json.dumps(event) + "\n" for event in events))
        if request.path in answers:
            return web.json_response(answers[request.path])
        return web.json_response({"kind": "Status", "reason": "NotFound", "message": "not found"}, status=404)

    server.answer = answer


def asked(server: Server) -> list[tuple[str, str]]:
    return [(seen.method, seen.path) for seen in server.seen]


async def test_a_job_is_changed_as_it_is(gateway: Gateway, server: Server) -> None:
    await gateway.send(Patch(JOB, "job-uid", {"spec": {"suspend": True}}, Meaning.STOP))

    (seen,) = server.seen
    assert (seen.method, seen.path) == ("PATCH", JOB_PATH)
    assert seen.query["fieldManager"] == "agentstop-stop"
    assert seen.body == {"spec": {"suspend": True}, "metadata": {"uid": "job-uid"}}
    assert seen.headers["Content-Type"] == "application/strategic-merge-patch+json"


CONTROLS_PATH = "/apis/agentstop.dev/v1alpha1/namespaces/ns/podcontrols"
CONTROL = ObjectRef("PodControl", "ns", "u", API_VERSION)
FREEZES = {"spec": {"podUID": "u", "state": "Frozen"}}


async def test_a_node_is_asked_by_an_object(gateway: Gateway, server: Server) -> None:
    serve(server, {CONTROLS_PATH: {"kind": "PodControl", "metadata": {"name": "u"}}})
    made = await gateway.send(AskNode(CONTROL, FREEZES))

    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", CONTROLS_PATH, FREEZES)
    assert (seen.query["fieldManager"], made["metadata"]["name"]) == ("agentstop", "u")


@pytest.mark.parametrize(("state", "patched"), [("Frozen", False), ("Killed", False), ("Running", True)])
async def test_one_that_is_there_is_changed_where_it_asks_for_something_else(
    gateway: Gateway, server: Server, state: str, patched: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.json_response({"kind": "Status", "reason": "AlreadyExists", "message": "is there"}, status=409)
        return web.json_response(
            {"kind": "PodControl", "metadata": {"name": "u", "uid": "control"}, "spec": {"state": state}}
        )

    server.answer = answer
    assert (await gateway.send(AskNode(CONTROL, FREEZES)))["metadata"]["name"] == "u"
    then = [("PATCH", f"{CONTROLS_PATH}/u")] if patched else []
    assert asked(server) == [("POST", CONTROLS_PATH), ("GET", f"{CONTROLS_PATH}/u"), *then]
    if patched:
        assert server.seen[-1].body == {"metadata": {"uid": "control"}, "spec": {"state": "Frozen"}}


async def test_one_that_is_known_is_changed_if_it_is_the_same_still(gateway: Gateway, server: Server) -> None:
    serve(server, {f"{CONTROLS_PATH}/u": {"kind": "PodControl", "metadata": {"name": "u"}}})
    await gateway.send(AskNode(CONTROL, FREEZES, "control"))

    (seen,) = server.seen
    assert (seen.method, seen.body) == ("PATCH", {"metadata": {"uid": "control"}, "spec": {"state": "Frozen"}})


CRON_PATH = "/apis/batch/v1/namespaces/ns/cronjobs/nightly"
SUSPEND = Suspend(ObjectRef("CronJob", "ns", "nightly", "batch/v1"), "cron-uid", "job-uid")


@pytest.mark.parametrize(
    ("uid", "active", "became"),
    [
        ("cron-uid", ["other-uid", "job-uid"], Schedule.SUSPENDED),
        ("cron-uid", ["other-uid"], Schedule.DENIES),
        ("cron-uid", [], Schedule.DENIES),
        ("later-uid", ["job-uid"], Schedule.GONE),
        (None, [], Schedule.GONE),
    ],
)
async def test_a_cron_job_is_suspended_that_says_itself_that_it_made_the_job(
    gateway: Gateway, server: Server, uid: str | None, active: list[str], became: Schedule
) -> None:
    """Whoever may make a Job may name any CronJob as its maker."""
    found = {"metadata": {"uid": uid}, "status": {"active": [{"uid": each} for each in active]}}
    serve(server, {CRON_PATH: found} if uid else {})
    assert await gateway.send(SUSPEND) == {"schedule": became}
    if became is not Schedule.SUSPENDED:
        assert asked(server) == [("GET", CRON_PATH)]
        return
    assert asked(server) == [("GET", CRON_PATH), ("PATCH", CRON_PATH)]
    assert server.seen[-1].query["fieldManager"] == "agentstop-stop"
    assert server.seen[-1].body == {"spec": {"suspend": True}, "metadata": {"uid": "cron-uid"}}


async def test_somebody_elses_job_takes_no_strategic_patch(gateway: Gateway, server: Server) -> None:
    path = "/apis/batch.example.com/v1/namespaces/ns/jobs/x"
    resources: list[Raw] = [{"name": "jobs", "kind": "Job", "namespaced": True}]
    serve(server, {"/apis/batch.example.com/v1": {"resources": resources}, path: {"kind": "Job"}})
    await gateway.send(Patch(ObjectRef("Job", "ns", "x", "batch.example.com/v1"), "u", {"spec": {}}, Meaning.STOP))

    assert server.seen[-1].path == path
    assert server.seen[-1].headers["Content-Type"] == "application/merge-patch+json"


async def test_a_resume_is_of_the_version_that_was_seen(gateway: Gateway, server: Server) -> None:
    await gateway.send(Patch(JOB, "job-uid", {"spec": {"suspend": False}}, Meaning.RESUME, "7"))

    (seen,) = server.seen
    assert seen.body["metadata"] == {"uid": "job-uid", "resourceVersion": "7"}


async def test_what_is_scaled_is_read_afterwards_with_its_scale(gateway: Gateway, server: Server) -> None:
    scale: Raw = {"spec": {"replicas": 0}}
    serve(server, DISCOVERY | {FLEET_PATH: {"kind": "Fleet"}, f"{FLEET_PATH}/scale": scale})
    answer = await gateway.send(Patch(FLEET, "u", {"spec": {"replicas": 0}}, Meaning.STOP, scale=True))

    assert answer == {"kind": "Fleet", "scale": scale}
    assert asked(server) == [
        ("GET", "/apis/example.com/v1"),
        ("PATCH", f"{FLEET_PATH}/scale"),
        ("GET", FLEET_PATH),
        ("GET", f"{FLEET_PATH}/scale"),
    ]


async def test_a_link_is_read_without_its_scale(gateway: Gateway, server: Server) -> None:
    serve(server, DISCOVERY | {FLEET_PATH: {"kind": "Fleet"}})

    assert await gateway.send(Get(FLEET, link=True)) == {"kind": "Fleet"}


async def test_a_kind_that_was_removed_is_found_out(gateway: Gateway, server: Server) -> None:
    """The API server says "404 page not found" in other words than of an object."""
    serve(server, DISCOVERY | {FLEET_PATH: {"kind": "Fleet"}, f"{FLEET_PATH}/scale": {}})
    await gateway.send(Get(FLEET))
    server.says(404, {"message": "404 page not found"})
    for _ in range(2):
        with pytest.raises(ApiError) as caught:
            await gateway.send(Get(FLEET))
        assert not caught.value.absent

    assert caught.value.reason == "KindNotServed"


async def test_a_kind_without_scale_cannot_be_looked_at(gateway: Gateway, server: Server) -> None:
    serve(server, {"/apis/example.com/v1": {"resources": FLEETS[:1]}})
    with pytest.raises(ApiError) as caught:
        await gateway.send(Get(FLEET))

    assert caught.value.reason == "NoScale"


@pytest.mark.parametrize(("ref", "scale"), [(JOB, False), (FLEET, True)])
async def test_a_right_is_asked_for_by_its_names(gateway: Gateway, server: Server, ref: ObjectRef, scale: bool) -> None:
    review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    serve(server, DISCOVERY | {review: {"status": {"allowed": False}}})
    await gateway.send(AccessReview(ref, scale))

    seen = server.seen[-1]
    assert (seen.method, seen.path, seen.body["kind"]) == ("POST", review, "SelfSubjectAccessReview")
    assert seen.body["spec"]["resourceAttributes"] == {
        "namespace": "ns",
        "verb": "patch",
        "group": ref.api_version.partition("/")[0],
        "resource": f"{ref.kind.lower()}s",
        "subresource": "scale" if scale else "",
    }


# Pods of workloads


async def test_pods_are_listed_by_selector_and_read_from_storage(gateway: Gateway, server: Server) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        more = "" if "continue" in request.query else "next"
        metadata = {"resourceVersion": "7", "continue": more}
        return web.json_response({"metadata": metadata, "items": [raw_pod(uid=f"page {more}")]})

    server.answer = answer
    found = await gateway.send(ListPods(PODS))

    assert [each.uid for each in found["items"]] == ["page next", "page "]
    assert {seen.path for seen in server.seen} == {POD_LIST}
    assert {seen.query["labelSelector"] for seen in server.seen} == {"app=x"}
    assert not any("resourceVersion" in seen.query for seen in server.seen), "a cache may be behind"


async def test_one_of_them_is_read_by_its_name(gateway: Gateway, server: Server) -> None:
    await gateway.send(GetPod(POD_REF, "pod-uid", PODS))

    assert asked(server) == [("GET", f"{POD_LIST}/x")]


async def watched(gateway: Gateway, target: WatchTarget) -> list[tuple[str, Any]]:
    return [event async for event in gateway.watch(target)]


async def test_a_watch_of_pods_begins_with_all_of_them(gateway: Gateway, server: Server) -> None:
    listed = {"metadata": {"resourceVersion": "7"}, "items": [raw_pod(uid="1"), raw_pod(uid="2")]}
    serve(server, {POD_LIST: listed}, events=({"type": "DELETED", "object": {"n": 1}},))

    events = await watched(gateway, PODS)
    assert [kind for kind, _ in events] == [LISTED, "DELETED"]
    assert [each.uid for each in events[0][1]["items"]] == ["1", "2"]
    assert {seen.query["labelSelector"] for seen in server.seen} == {"app=x"}


async def test_a_watch_of_what_can_be_scaled_brings_its_scale(gateway: Gateway, server: Server) -> None:
    scale: Raw = {"spec": {"replicas": 2}}
    answers = DISCOVERY | {
        "/apis/example.com/v1/namespaces/ns/fleets": {"metadata": {"resourceVersion": "7"}, "items": [{"n": 1}]},
        FLEET_PATH: {"n": 2},
        f"{FLEET_PATH}/scale": scale,
    }
    events = ({"type": "MODIFIED", "object": {"n": 2}}, {"type": "DELETED", "object": {"n": 3}})
    serve(server, answers, events=events)

    both = {"n": 2, "scale": scale}
    assert await watched(gateway, FLEET) == [("ADDED", both), ("MODIFIED", both), ("DELETED", {"n": 3})]


@pytest.mark.parametrize(
    ("items", "first"), [([], (ABSENT, {})), ([{"n": 1}], ("DELETED", {"n": 1}))], ids=["not there", "just gone"]
)
async def test_what_is_gone_before_its_scale_was_read_is_said_to_be_gone(
    gateway: Gateway, server: Server, items: list[Raw], first: tuple[str, Raw]
) -> None:
    """Without its scale it would seem to be one that asks for no pods, and of which nobody knows any."""
    listed = {"metadata": {"resourceVersion": "7"}, "items": items}
    answers = DISCOVERY | {"/apis/example.com/v1/namespaces/ns/fleets": listed}
    serve(server, answers, events=({"type": "MODIFIED", "object": {"n": 2}},))

    assert await watched(gateway, FLEET) == [first, ("DELETED", {"n": 2})]


# Families


def a_child(name: str, parent: str | None = "p") -> Raw:
    return {"metadata": {"name": name}, "spec": {"parentRef": {"name": parent}} if parent else {}}


async def children(gateway: Gateway) -> list[str]:
    return [each["metadata"]["name"] async for each in gateway.list_children("ns", "p")]


async def test_children_are_selected_by_their_parent(gateway: Gateway, server: Server) -> None:
    serve(server, {TASKS_PATH: {"metadata": {}, "items": [a_child("a"), a_child("b")]}})
    assert await children(gateway) == ["a", "b"]
    assert server.seen[0].query["fieldSelector"] == "spec.parentRef.name=p"


async def test_where_no_field_of_ours_can_be_selected_all_are_read(gateway: Gateway, server: Server) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "fieldSelector" in request.query:
            rejection = {"reason": "BadRequest", "message": "field label not supported: spec.parentRef.name"}
            return web.json_response(rejection, status=400)
        items = [a_child("a"), a_child("b", "q"), a_child("c", None)]
        return web.json_response({"metadata": {}, "items": items})

    server.answer = answer
    assert await children(gateway) == ["a"]


async def test_children_that_cannot_be_listed_are_not_none(gateway: Gateway, server: Server) -> None:
    server.says(403, {"reason": "Forbidden", "message": "no"})

    with pytest.raises(ApiError):
        await children(gateway)


# Many at once


async def test_answers_and_errors_come_in_the_order_of_the_requests(gateway: Gateway, server: Server) -> None:
    serve(server, {f"{POD_LIST}/p{number}": {"n": number} for number in range(40) if number != 7})
    requests = [Delete(POD_REF._replace(name=f"p{number}"), f"u{number}") for number in range(40)]
    answers = await gateway.send_all(requests)

    assert [each["n"] for each in answers if not isinstance(each, ApiError)] == [n for n in range(40) if n != 7]
    assert isinstance(answers[7], ApiError)
    assert answers[7].absent


# How pods went


def going(uid: str, left: int, **spec: Any) -> Raw:
    metadata = {"deletionTimestamp": "2026-01-01T12:00:00Z", "deletionGracePeriodSeconds": left}
    return raw_pod(uid=uid, metadata=metadata, spec=spec)


@pytest.mark.parametrize(
    ("ref", "selector"),
    [(POD_REF, ("fieldSelector", "metadata.name=x")), (PODS, ("labelSelector", "app=x"))],
)
async def test_it_is_asked_how_pods_went(
    gateway: Gateway, server: Server, ref: ObjectRef | PodsOf, selector: tuple[str, str]
) -> None:
    events: list[tuple[str, Raw]] = [
        ("MODIFIED", raw_pod(uid="a")),
        ("DELETED", going("another", 0)),
        ("DELETED", going("a", 0, nodeName="n2")),
        ("DELETED", going("b", 0)),
    ]
    serve(server, {}, events=tuple({"type": kind, "object": raw} for kind, raw in events))
    found = await gateway.send(Recall(ref, ("a", "b"), "70"))

    assert [each["metadata"]["uid"] for each in found["items"]] == ["a", "b"]
    assert found["items"][0]["spec"]["nodeName"] == "n2"
    (asked_for,) = server.seen
    assert (asked_for.path, asked_for.query["resourceVersion"], asked_for.query["watch"]) == (POD_LIST, "70", "true")
    assert asked_for.query[selector[0]] == selector[1]


async def test_a_pod_that_only_lost_its_label_did_not_go(gateway: Gateway, server: Server) -> None:
    serve(server, {}, events=({"type": "DELETED", "object": raw_pod(uid="a")},))

    assert await gateway.send(Recall(PODS, ("a",), "70")) == {"items": []}


async def test_what_the_api_server_does_not_remember_is_an_error(gateway: Gateway, server: Server) -> None:
    serve(server, {}, events=({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}},))

    with pytest.raises(ApiError) as error:
        await gateway.send(Recall(POD_REF, ("a",), "70"))
    assert error.value.code == 410

"""Lists, watches, tables and discovery."""

from typing import Any

import pytest

from .api import PARTIAL, PARTIAL_LIST, STRATEGIC_PATCH, TABLE, Api
from .objects import GROUP, WIDGETS, binding, pod, widget


async def _make(api: Api, *names: str, **spec: Any) -> str:
    """Create widgets; returns the version of the list after them."""
    for name in names:
        assert (await api.create(api.path(WIDGETS), widget(name, **spec))).status == 201
    version: str = (await api.get(api.path(WIDGETS))).body["metadata"]["resourceVersion"]
    return version


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=a", ["x"]),
        ("app!=a", ["y", "z"]),
        ("app", ["x", "y"]),
        ("!app", ["z"]),
        ("app in (a,b),tier notin (front)", ["y"]),
        ("app=a,app=b", []),
    ],
)
async def test_label_selectors(api: Api, selector: str, names: list[str]) -> None:
    for name, labels in (("x", {"app": "a", "tier": "front"}), ("y", {"app": "b"}), ("z", {})):
        body = widget(name)
        body["metadata"]["labels"] = labels
        await api.create(api.path(WIDGETS), body)
    answer = await api.get(api.path(WIDGETS) + "?labelSelector=" + selector.replace(" ", "%20"))
    assert [item["metadata"]["name"] for item in answer.body["items"]] == names


async def test_selectable_fields_of_a_definition(api: Api) -> None:
    await _make(api, "a", color="red")
    await _make(api, "b", color="green")
    answer = await api.get(api.path(WIDGETS) + "?fieldSelector=spec.color=green")
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["b"]
    bad = await api.get(api.path(WIDGETS) + "?fieldSelector=spec.size=3")
    assert (bad.status, bad.message) == (400, "field label not supported: spec.size")


async def test_pages_show_one_state(api: Api) -> None:
    await _make(api, *"abcde")
    path = api.path(WIDGETS) + "?limit=2"
    first = (await api.get(path)).body
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    await api.delete(api.path(WIDGETS, "d"))
    await _make(api, "cc")
    second = (await api.get(f"{path}&continue={first['metadata']['continue']}")).body
    third = (await api.get(f"{path}&continue={second['metadata']['continue']}")).body
    assert [item["metadata"]["name"] for item in second["items"] + third["items"]] == ["c", "d", "e"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not third["metadata"].get("continue")


async def test_versions_of_lists(api: Api) -> None:
    version = await _make(api, "a")
    await _make(api, "b")
    exact = await api.get(api.path(WIDGETS) + f"?resourceVersion={version}&resourceVersionMatch=Exact")
    assert [item["metadata"]["name"] for item in exact.body["items"]] == ["a"]
    newer = await api.get(api.path(WIDGETS) + f"?resourceVersion={version}")
    assert [item["metadata"]["name"] for item in newer.body["items"]] == ["a", "b"]
    garbled = await api.get(api.path(WIDGETS) + "?resourceVersion=abc")
    assert garbled.status == 400


async def test_a_watch_tells_of_every_change(api: Api) -> None:
    version = await _make(api, "old")
    async with api.watch(api.path(WIDGETS), {"resourceVersion": version}) as watch:
        await _make(api, "new")
        await api.patch(api.path(WIDGETS, "new"), {"spec": {"size": 5}})
        await api.patch(api.path(WIDGETS, "new"), {"spec": {"size": 5}})
        await api.delete(api.path(WIDGETS, "new"))
        await api.delete(api.path(WIDGETS, "old"))
        assert await watch.names(4) == [("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "new"), ("DELETED", "old")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in watch.seen]
    assert versions == sorted(set(versions))


async def test_a_watch_resumes_where_it_was(api: Api) -> None:
    version = await _make(api, "a")
    await _make(api, "b")
    await api.delete(api.path(WIDGETS, "a"))
    async with api.watch(api.path(WIDGETS), {"resourceVersion": version}) as watch:
        assert await watch.names(2) == [("ADDED", "b"), ("DELETED", "a")]


async def test_a_watch_without_a_version_begins_with_what_is_there(api: Api) -> None:
    await _make(api, "a", "b")
    async with api.watch(api.path(WIDGETS), {}) as watch:
        assert sorted(await watch.names(2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watch_with_selectors_sees_objects_come_and_go(api: Api) -> None:
    version = await _make(api, "w")
    path = api.path(WIDGETS, "w")
    async with api.watch(api.path(WIDGETS), {"resourceVersion": version, "labelSelector": "app=a"}) as watch:
        for value in ("a", "b", "a"):
            await api.patch(path, {"metadata": {"labels": {"app": value}}})
        await api.patch(path, {"spec": {"size": 5}})
        await api.delete(path)
        kinds = [await watch.next() for _ in range(5)]
    assert [kind for kind, _ in kinds] == ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED"]
    assert kinds[1][1]["metadata"]["labels"] == {"app": "a"}


async def test_field_selectors_in_watches(api: Api) -> None:
    await api.create(api.path("pods"), pod("p"))
    version = (await api.get(api.path("pods"))).body["metadata"]["resourceVersion"]
    params = {"resourceVersion": version, "fieldSelector": "spec.nodeName=n1"}
    async with api.watch(api.path("pods"), params) as watch:
        await api.create(api.path("pods", "p") + "/binding", binding("p", "n1"))
        assert await watch.names(1) == [("ADDED", "p")]


async def test_streamed_lists_end_with_a_bookmark(api: Api) -> None:
    await _make(api, "a")
    params = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(api.path(WIDGETS), params) as watch:
        assert await watch.names(1) == [("ADDED", "a")]
        while (frame := await watch.next_frame())[0] != "BOOKMARK":
            pytest.fail(f"{frame} before the bookmark")
        assert frame[1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert frame[1]["kind"] == "Widget"
    without = await api.get(api.path(WIDGETS) + "?watch=true&sendInitialEvents=true")
    assert without.status == 422


async def test_watches_end_when_their_time_is_up(api: Api) -> None:
    version = await _make(api, "a")
    async with api.watch(api.path(WIDGETS), {"resourceVersion": version, "timeoutSeconds": "1"}) as watch:
        assert await watch.response.content.read() == b""


async def test_tables(api: Api) -> None:
    await _make(api, "w", size=7)
    answer = await api.get(api.path(WIDGETS), accept=TABLE)
    columns = [(column["name"], column["priority"]) for column in answer.body["columnDefinitions"]]
    assert columns == [("Name", 0), ("Phase", 0), ("Size", 1), ("Age", 0)]
    (row,) = answer.body["rows"]
    assert row["cells"][0] == "w"
    assert row["cells"][2] == 7
    assert row["object"]["kind"] == "PartialObjectMetadata"
    single = await api.get(api.path(WIDGETS, "w") + "?includeObject=Object", accept=TABLE)
    assert single.body["rows"][0]["object"]["spec"]["size"] == 7


async def test_the_table_of_pods(api: Api) -> None:
    await api.create(api.path("pods"), pod("p", containers=[{"name": name, "image": "i"} for name in "ab"]))
    await api.create(api.path("pods", "p") + "/binding", binding("p", "n1"))

    async def cells() -> list[Any]:
        answer = await api.get(api.path("pods", "p"), accept=TABLE)
        names = [column["name"] for column in answer.body["columnDefinitions"]]
        row = dict(zip(names, answer.body["rows"][0]["cells"], strict=True))
        return [row[name] for name in ("Ready", "Status", "Restarts", "Node")]

    def status(name: str, ready: bool, restarts: int, **state: Any) -> dict[str, Any]:
        return {"name": name, "image": "i", "imageID": "", "ready": ready, "restartCount": restarts, "state": state}

    async def report(phase: str, *statuses: dict[str, Any]) -> None:
        body = {"status": {"phase": phase, "containerStatuses": list(statuses)}}
        assert (await api.patch(api.path("pods", "p") + "/status", body, STRATEGIC_PATCH)).status == 200

    assert await cells() == ["0/2", "Pending", "0", "n1"]
    await report(
        "Running", status("a", True, 2, running={}), status("b", False, 1, waiting={"reason": "CrashLoopBackOff"})
    )
    assert await cells() == ["1/2", "CrashLoopBackOff", "3", "n1"]
    await report("Running", status("a", True, 2, running={}), status("b", True, 1, running={}))
    assert await cells() == ["2/2", "Running", "3", "n1"]
    await api.delete(api.path("pods", "p"))
    assert await cells() == ["2/2", "Terminating", "3", "n1"]
    await report("Failed", *(status(name, False, 0, terminated={"exitCode": 137, "reason": "Error"}) for name in "ab"))
    assert (await cells())[1] == "Error"


async def test_metadata_only(api: Api) -> None:
    await _make(api, "w")
    listed = await api.get(api.path(WIDGETS), accept=PARTIAL_LIST)
    assert listed.body["kind"] == "PartialObjectMetadataList"
    assert "spec" not in listed.body["items"][0]
    single = await api.get(api.path(WIDGETS, "w"), accept=PARTIAL)
    assert (single.body["kind"], single.body["metadata"]["name"]) == ("PartialObjectMetadata", "w")


async def test_tables_in_watches(api: Api) -> None:
    version = await _make(api, "w")
    async with api.watch(api.path(WIDGETS), {"resourceVersion": version}, accept=TABLE) as watch:
        await api.patch(api.path(WIDGETS, "w") + "/status", {"status": {"phase": "Good"}})
        kind, table = await watch.next()
    assert (kind, table["kind"]) == ("MODIFIED", "Table")
    assert table["rows"][0]["cells"][:2] == ["w", "Good"]


async def test_items_of_lists(api: Api) -> None:
    await _make(api, "w")
    await api.create(api.path("pods"), pod("p"))
    widgets, pods = (await api.get(api.path(WIDGETS))).body, (await api.get(api.path("pods"))).body
    assert (widgets["kind"], widgets["items"][0]["kind"]) == ("WidgetList", "Widget")
    assert (pods["kind"], pods["apiVersion"]) == ("PodList", "v1")
    assert "kind" not in pods["items"][0]
    assert pods["items"][0]["metadata"]["name"] == "p"


async def test_discovery(api: Api) -> None:
    group = (await api.get(f"/apis/{GROUP}")).body
    assert group["preferredVersion"] == {"groupVersion": f"{GROUP}/v1", "version": "v1"}
    resources = {item["name"]: item for item in (await api.get(f"/apis/{GROUP}/v1")).body["resources"]}
    assert resources["widgets"]["shortNames"] == ["wdg"]
    assert resources["widgets"]["singularName"] == "widget"
    assert set(resources["widgets/status"]["verbs"]) == {"get", "patch", "update"}
    core = {item["name"] for item in (await api.get("/api/v1")).body["resources"]}
    assert {"pods", "pods/status", "pods/log", "pods/binding", "nodes/status", "namespaces", "events"} <= core
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    aggregated = (await api.get("/apis", accept=accept)).body
    assert aggregated["kind"] == "APIGroupDiscoveryList"
    mine = next(item for item in aggregated["items"] if item["metadata"]["name"] == GROUP)
    resource = next(item for item in mine["versions"][0]["resources"] if item["resource"] == "widgets")
    assert resource["scope"] == "Namespaced"
    assert resource["subresources"][0]["subresource"] == "status"


async def test_openapi_describes_our_fields(api: Api) -> None:
    paths = (await api.get("/openapi/v3")).body["paths"]
    address = paths[f"apis/{GROUP}/v1"]["serverRelativeURL"]
    document = (await api.get(address)).body
    kinds = [
        schema
        for schema in document["components"]["schemas"].values()
        if {"group": GROUP, "version": "v1", "kind": "Widget"} in schema.get("x-kubernetes-group-version-kind", [])
    ]
    assert kinds[0]["properties"]["spec"]["properties"]["color"]["description"] == "Its color."


async def test_what_is_not_there(api: Api) -> None:
    assert (await api.get(api.path("nopes"))).status == 404
    assert (await api.get("/apis/no.such.group/v1")).status == 404
    assert (await api.create(api.path("pods", "p"), {})).status == 405
    assert (await api.get(api.path("pods", "p") + "/nope")).status == 404


async def test_without_the_token_nothing_is_told(api: Api) -> None:
    for token in ("", "wrong"):
        answer = await api.get(api.path("pods"), token=token)
        assert answer.status in (401, 403)
    assert (await api.get("/version", token="")).status == 200
    assert (await api.get("/healthz", token="")).status == 200


async def test_events_in_both_forms(api: Api) -> None:
    path = api.path("events.k8s.io/v1/events")
    event = {
        "metadata": {"name": "e"},
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "agentstop.dev/operator",
        "reportingInstance": "one",
        "action": "Stop",
        "reason": "StopAccepted",
        "type": "Normal",
        "note": "hello",
        "regarding": {"kind": "Pod", "name": "p", "namespace": api.ns, "uid": "u"},
    }
    assert (await api.create(path, event)).status == 201
    series = {"series": {"count": 3, "lastObservedTime": "2026-01-02T03:05:00.000000Z"}}
    assert (await api.patch(api.path("events.k8s.io/v1/events", "e"), series)).status == 200
    core = (await api.get(api.path("events") + "?fieldSelector=involvedObject.uid=u")).body["items"]
    (found,) = core
    assert (found["message"], found["involvedObject"]["name"], found["series"]["count"]) == ("hello", "p", 3)
    assert found["reportingComponent"] == "agentstop.dev/operator"
    again = (await api.get(api.path("events.k8s.io/v1/events", "e"))).body
    assert (again["note"], again["regarding"]["name"]) == ("hello", "p")
    bad = await api.create(path, {"metadata": {"name": "bad"}, "regarding": {"namespace": api.ns}})
    assert bad.status == 422


async def test_two_holders_of_a_lease_can_not_both_win(api: Api) -> None:
    leases = "coordination.k8s.io/v1/leases"
    made = (await api.create(api.path(leases), {"metadata": {"name": "l"}, "spec": {"holderIdentity": "one"}})).body
    mine, theirs = ({**made, "spec": {"holderIdentity": name}} for name in ("one-again", "two"))
    assert (await api.put(api.path(leases, "l"), mine)).status == 200
    assert (await api.put(api.path(leases, "l"), theirs)).status == 409


async def test_deleting_a_collection(api: Api) -> None:
    await _make(api, "a", "b", color="red")
    await _make(api, "c", color="green")
    assert (await api.delete(api.path(WIDGETS) + "?fieldSelector=spec.color=red")).status == 200
    left = (await api.get(api.path(WIDGETS))).body["items"]
    assert [item["metadata"]["name"] for item in left] == ["c"]


async def test_reviews_are_always_allowed(api: Api) -> None:
    body = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": api.ns}}}
    answer = await api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    assert (answer.status, answer.body["status"]["allowed"]) == (201, True)

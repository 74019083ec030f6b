"""Pods: defaults, what is refused, what may change, and graceful deletion."""

from datetime import datetime
from typing import Any

import pytest

from .api import MERGE_PATCH, STRATEGIC_PATCH, Api
from .objects import binding, pod


async def test_a_pod_gets_the_defaults_that_clients_rely_on(api: Api) -> None:
    answer = await api.create(api.path("pods"), pod("p"))
    assert answer.status == 201
    spec, status = answer.body["spec"], answer.body["status"]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Always", 30)
    container = spec["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert (status["phase"], status["qosClass"]) == ("Pending", "BestEffort")
    assert answer.body["metadata"]["generation"] == 1
    assert {item["key"] for item in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"containers": []}, ("spec.containers", "FieldValueRequired", "Required value")),
        ({"containers": [{"name": "a"}]}, ("spec.containers[0].image", "FieldValueRequired", "Required value")),
        ({"containers": [{"image": "i"}]}, ("spec.containers[0].name", "FieldValueRequired", "Required value")),
        (
            {"containers": [{"name": "a", "image": "i"}] * 2},
            ("spec.containers[1].name", "FieldValueDuplicate", 'Duplicate value: "a"'),
        ),
        (
            {"restartPolicy": "Nix"},
            (
                "spec.restartPolicy",
                "FieldValueNotSupported",
                'Unsupported value: "Nix": supported values: "Always", "OnFailure", "Never"',
            ),
        ),
        (
            {"activeDeadlineSeconds": 0},
            (
                "spec.activeDeadlineSeconds",
                "FieldValueInvalid",
                "Invalid value: 0: must be between 1 and 2147483647, inclusive",
            ),
        ),
        (
            {"containers": [{"name": "a", "image": "i", "restartPolicyRules": [{"action": "Restart"}]}]},
            (
                "spec.containers[0].restartPolicy",
                "FieldValueRequired",
                "Required value: must specify restartPolicy when restart rules are used",
            ),
        ),
    ],
)
async def test_a_wrong_pod_is_told_what_is_wrong(api: Api, spec: dict[str, Any], cause: tuple[str, str, str]) -> None:
    answer = await api.create(api.path("pods"), pod("p", **spec))
    assert answer.status == 422
    assert cause in answer.causes
    assert answer.body["details"]["kind"] == "Pod"


async def test_unknown_and_misshapen_fields(api: Api) -> None:
    strict = await api.create(api.path("pods") + "?fieldValidation=Strict", pod("p", nope=1))
    assert strict.status == 400
    assert strict.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.nope"'
    )
    shape = await api.create(api.path("pods"), pod("p", containers="x"))
    assert shape.status == 400
    assert (
        "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container"
        in shape.message
    )
    number = await api.create(api.path("pods"), pod("p", terminationGracePeriodSeconds="5"))
    assert number.status == 400
    assert "cannot unmarshal string into Go struct field" in number.message


async def test_the_deadline_can_only_be_lowered(api: Api) -> None:
    path = api.path("pods", "p")
    await api.create(api.path("pods"), pod("p"))
    assert (await api.patch(path, {"spec": {"activeDeadlineSeconds": 10}}, STRATEGIC_PATCH)).status == 200
    raised = await api.patch(path, {"spec": {"activeDeadlineSeconds": 11}})
    assert raised.message == (
        'Pod "p" is invalid: spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to '
        "previous value"
    )
    taken = await api.patch(path, {"spec": {"activeDeadlineSeconds": None}})
    assert "must not update from a positive integer to nil value" in taken.message
    lowered = await api.patch(path, {"spec": {"activeDeadlineSeconds": 1}})
    assert lowered.status == 200
    assert lowered.body["metadata"]["generation"] == 3


async def test_little_else_can_change(api: Api) -> None:
    path = api.path("pods", "p")
    await api.create(api.path("pods"), pod("p"))
    grace = await api.patch(path, {"spec": {"terminationGracePeriodSeconds": 3}})
    assert grace.status == 422
    assert "pod updates may not change fields other than `spec.containers[*].image`" in grace.message
    more = await api.patch(path, {"spec": {"containers": [{"name": "b", "image": "i"}]}}, STRATEGIC_PATCH)
    assert more.status == 422
    assert "pod updates may not add or remove containers" in more.message
    image = await api.patch(path, {"spec": {"containers": [{"name": "main", "image": "image:2"}]}}, STRATEGIC_PATCH)
    assert image.body["spec"]["containers"][0]["image"] == "image:2"


async def test_an_unscheduled_pod_goes_at_once(api: Api) -> None:
    await api.create(api.path("pods"), pod("p"))
    answer = await api.delete(api.path("pods", "p"))
    assert (answer.status, answer.body["kind"]) == (200, "Pod")
    assert (await api.get(api.path("pods", "p"))).status == 404


async def _scheduled(api: Api, name: str) -> str:
    await api.create(api.path("pods"), pod(name))
    assert (await api.create(api.path("pods", name) + "/binding", binding(name, "nowhere"))).status == 201
    return api.path("pods", name)


def _deletion(body: dict[str, Any]) -> tuple[datetime, int]:
    metadata = body["metadata"]
    return datetime.fromisoformat(metadata["deletionTimestamp"]), metadata["deletionGracePeriodSeconds"]


async def test_a_scheduled_pod_waits_for_its_node(api: Api) -> None:
    path = await _scheduled(api, "p")
    first = await api.delete(path, {"gracePeriodSeconds": 40})
    when, grace = _deletion(first.body)
    assert grace == 40
    longer = await api.delete(path, {"gracePeriodSeconds": 60})
    assert _deletion(longer.body) == (when, 40)
    unspecified = await api.delete(path)
    assert _deletion(unspecified.body) == (when, 40)
    shorter = await api.delete(path, {"gracePeriodSeconds": 10})
    sooner, grace = _deletion(shorter.body)
    assert (grace, (when - sooner).total_seconds()) == (10, 30)
    final = await api.delete(path, {"gracePeriodSeconds": 0})
    assert final.body["metadata"]["deletionGracePeriodSeconds"] == 0
    assert (await api.get(path)).status == 404


async def test_the_pods_own_grace_period_is_the_default(api: Api) -> None:
    path = await _scheduled(api, "p")
    assert _deletion((await api.delete(path)).body)[1] == 30


async def test_a_finished_pod_goes_at_once(api: Api) -> None:
    path = await _scheduled(api, "p")
    assert (await api.patch(path + "/status", {"status": {"phase": "Succeeded"}})).status == 200
    assert (await api.delete(path)).status == 200
    assert (await api.get(path)).status == 404


async def test_finalizers_outlast_the_grace(api: Api) -> None:
    path = await _scheduled(api, "p")
    await api.patch(path, {"metadata": {"finalizers": ["a.b/c"]}})
    await api.delete(path, {"gracePeriodSeconds": 0})
    assert (await api.get(path)).status == 200
    await api.patch(path, {"metadata": {"finalizers": []}})
    assert (await api.get(path)).status == 404


async def test_binding(api: Api) -> None:
    path = await _scheduled(api, "p")
    bound = (await api.get(path)).body
    assert bound["spec"]["nodeName"] == "nowhere"
    assert [(item["type"], item["status"]) for item in bound["status"]["conditions"]] == [("PodScheduled", "True")]
    assert [entry["manager"] for entry in bound["metadata"]["managedFields"]] == ["tester"]
    again = await api.create(path + "/binding", binding("p", "elsewhere"))
    assert (again.status, again.body["reason"]) == (409, "Conflict")
    assert 'pod p is already assigned to node "nowhere"' in again.message
    await api.delete(path, {"gracePeriodSeconds": 20})
    late = await api.create(path + "/binding", binding("p", "nowhere"))
    assert late.status == 409
    assert "pod p is being deleted, cannot be assigned to a host" in late.message
    assert (await api.create(api.path("pods", "no") + "/binding", binding("no", "n"))).status == 404


async def test_conditions_merge_by_type(api: Api) -> None:
    path = await _scheduled(api, "p") + "/status"
    await api.patch(path, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, STRATEGIC_PATCH)
    answer = await api.patch(path, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, STRATEGIC_PATCH)
    found = {item["type"]: item["status"] for item in answer.body["status"]["conditions"]}
    assert found == {"PodScheduled": "True", "Ready": "True"}
    replaced = await api.patch(path, {"status": {"conditions": [{"type": "Other", "status": "True"}]}}, MERGE_PATCH)
    assert [item["type"] for item in replaced.body["status"]["conditions"]] == ["Other"]


async def test_a_container_that_ended_for_good_stays_so(api: Api) -> None:
    await api.create(api.path("pods"), pod("p", restartPolicy="Never"))
    await api.create(api.path("pods", "p") + "/binding", binding("p", "nowhere"))
    path = api.path("pods", "p") + "/status"

    def state(value: dict[str, Any]) -> dict[str, Any]:
        item = {"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": value}
        return {"status": {"phase": "Running", "containerStatuses": [item]}}

    ended = await api.patch(path, state({"terminated": {"exitCode": 0}}))
    assert ended.status == 200
    revived = await api.patch(path, state({"running": {}}))
    assert revived.status == 422
    assert "may not be transitioned to non-terminated state" in revived.message


async def test_status_and_main_resource_keep_apart(api: Api) -> None:
    path = await _scheduled(api, "p")
    main = await api.patch(path, {"status": {"phase": "Failed"}})
    assert main.body["status"]["phase"] == "Pending"
    status = await api.patch(path + "/status", {"status": {"phase": "Running"}, "spec": {"activeDeadlineSeconds": 5}})
    assert status.body["status"]["phase"] == "Running"
    assert "activeDeadlineSeconds" not in status.body["spec"]


async def test_selecting_pods(api: Api) -> None:
    await _scheduled(api, "bound")
    await api.create(api.path("pods"), pod("free"))

    async def names(query: str) -> list[str]:
        answer = await api.get(api.path("pods") + "?" + query)
        return [item["metadata"]["name"] for item in answer.body["items"]]

    assert await names("fieldSelector=spec.nodeName=nowhere") == ["bound"]
    assert await names("fieldSelector=spec.nodeName!=nowhere") == ["free"]
    assert await names("fieldSelector=status.phase=Pending,metadata.name=free") == ["free"]
    assert await names("fieldSelector=status.phase=Running") == []
    bad = await api.get(api.path("pods") + "?fieldSelector=spec.nope=1")
    assert bad.status == 400
    assert "field label not supported: spec.nope" in bad.message


async def test_watchers_see_each_step_of_a_deletion(api: Api) -> None:
    version = (await api.get(api.path("pods"))).body["metadata"]["resourceVersion"]
    async with api.watch(api.path("pods"), {"resourceVersion": version}) as watch:
        path = await _scheduled(api, "p")
        await api.patch(path + "/status", {"status": {"phase": "Running"}})
        await api.delete(path, {"gracePeriodSeconds": 20})
        await api.patch(path + "/status", {"status": {"phase": "Succeeded"}})
        await api.delete(path, {"gracePeriodSeconds": 0})
        events = [await watch.next() for _ in range(7)]
    seen = [
        (kind, obj["metadata"].get("deletionGracePeriodSeconds"), obj["metadata"]["generation"]) for kind, obj in events
    ]
    assert seen == [
        ("ADDED", None, 1),
        ("MODIFIED", None, 1),
        ("MODIFIED", None, 1),
        ("MODIFIED", 20, 2),
        ("MODIFIED", 20, 2),
        ("MODIFIED", 0, 2),
        ("DELETED", 0, 2),
    ]


async def test_a_container_that_its_own_rules_start_again_comes_back(api: Api) -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    own = {"name": "main", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    await api.create(api.path("pods"), pod("p", restartPolicy="Never", containers=[own]))
    await api.create(api.path("pods", "p") + "/binding", binding("p", "nowhere"))
    states: list[dict[str, Any]] = [{"terminated": {"exitCode": 42}}, {"running": {}}]
    for state in states:
        item = {"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        body = {"status": {"phase": "Running", "containerStatuses": [item]}}
        assert (await api.patch(api.path("pods", "p") + "/status", body)).status == 200


async def test_an_eviction_deletes_a_pod_and_says_so(api: Api) -> None:
    path = await _scheduled(api, "p")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    wrong = {**body, "deleteOptions": {"preconditions": {"uid": "another"}}}
    assert (await api.create(path + "/eviction", wrong)).status == 409
    assert (await api.create(path + "/eviction", body)).status == 201
    evicted = (await api.get(path)).body
    assert evicted["metadata"]["deletionGracePeriodSeconds"] == 30
    conditions = {item["type"]: item.get("reason") for item in evicted["status"]["conditions"]}
    assert conditions["DisruptionTarget"] == "EvictionByEvictionAPI"


async def test_debug_containers_may_be_added_to_a_pod_and_nothing_else_be_changed(api: Api) -> None:
    path = await _scheduled(api, "p")
    debug = [{"name": "debug", "image": "i"}]
    refused = await api.patch(path, {"spec": {"ephemeralContainers": debug}})
    assert refused.status == 422
    added = await api.patch(path + "/ephemeralcontainers", {"spec": {"ephemeralContainers": debug}})
    assert [item["name"] for item in added.body["spec"]["ephemeralContainers"]] == ["debug"]
    changed = await api.patch(path + "/ephemeralcontainers", {"spec": {"ephemeralContainers": []}}, MERGE_PATCH)
    assert changed.status == 422
    twice = await api.patch(path + "/ephemeralcontainers", {"spec": {"ephemeralContainers": [{"name": "main"}]}})
    assert twice.status == 422
    more = {"metadata": {"labels": {"a": "b"}}, "spec": {"activeDeadlineSeconds": 1}}
    also = await api.patch(path + "/ephemeralcontainers", more)
    assert also.status == 200
    assert "activeDeadlineSeconds" not in also.body["spec"]
    assert "labels" not in also.body["metadata"]

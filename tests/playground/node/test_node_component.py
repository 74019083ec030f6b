"""The stand-in of the component on a node: it answers PodControls with signals, and says what the component says."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support import apiserver
from tests.support.waiting import PATIENCE, until

from agentstop.api.crd import crds
from agentstop.node import looks, status
from agentstop.node.records import is_on_record as theirs
from agentstop_playground.api_client import MERGE_PATCH, ApiError, Object
from agentstop_playground.node import Node, control_status
from agentstop_playground.node.control_status import Found, is_on_record, status_of
from agentstop_playground.node.guardian.process_tree import state_of
from agentstop_playground.server import ApiServer

from .cluster import Cluster, Endpoint, alive, container, main_status, pod, terminated

GROUP = "/apis/agentstop.dev/v1alpha1"
RUNAWAYS = 'setsid sh -c "while :; do sleep 0.05; done" {marker} & (setsid sh -c "sleep 1000; :" {marker} &) ;'
BEATING = "n=0; while :; do n=$((n + 1)); echo beat $n; sleep 0.02; done"
SILENCE = 0.7
UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"


class Bench:
    """A namespace whose node has the stand-in, and the tasks and PodControls in it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.marker = f"component-{cluster.namespace}"
        self.path = f"{GROUP}/namespaces/{cluster.namespace}"

    async def run(self, script: str = BEATING, *, on_record: bool = True, **spec: Any) -> str:
        """Run a pod of a task; returns its UID."""
        command = ["sh", "-c", RUNAWAYS.format(marker=self.marker) + script, self.marker]
        made = await self.cluster.run(pod("p", {**container(""), "command": command}, **spec))
        uid = str(made["metadata"]["uid"])
        template = {"spec": {"containers": [{"name": "a", "image": "x"}]}}
        task = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask", "metadata": {"name": "t"}}
        await self.cluster.api.request("POST", f"{self.path}/agenttasks", {**task, "spec": {"podTemplate": template}})
        pods = [{"name": "p", "uid": uid, "containers": []}] if on_record else []
        body = {"status": {"workload": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "pods": pods}}}
        await self.cluster.api.request("PATCH", f"{self.path}/agenttasks/t/status", body, content_type=MERGE_PATCH)
        return uid

    async def ask(self, uid: str, state: str) -> int:
        """Ask for a state; returns the generation that does."""
        path = f"{self.path}/podcontrols"
        there = (await self.cluster.api.request("GET", path))["items"]
        body: Object = {"spec": {"state": state}}
        if there:
            made = await self.cluster.api.request("PATCH", f"{path}/{uid}", body, content_type=MERGE_PATCH)
        else:
            spec = {"nodeName": self.cluster.node_name, "podUID": uid, "taskName": "t", "state": state}
            body = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "PodControl", "metadata": {"name": uid}}
            made = await self.cluster.api.request("POST", path, {**body, "spec": spec})
        return int(made["metadata"]["generation"])

    async def said(self, uid: str) -> Object:
        found = await self.cluster.api.request("GET", f"{self.path}/podcontrols/{uid}")
        return found.get("status") or {}

    async def answered(self, uid: str, state: str, reason: str, generation: int | None = None) -> Object:
        wanted = await self.ask(uid, state) if generation is None else generation

        async def done() -> bool:
            status = await self.said(uid)
            ready = (status.get("conditions") or [{}])[0]
            return (status.get("observedGeneration"), ready.get("reason")) == (wanted, reason)

        await until(done, PATIENCE, f"{reason} for {state}")
        return await self.said(uid)

    async def beats(self) -> list[int]:
        return [int(line.split()[-1]) for line in (await self.cluster.logs("p"))[1].splitlines() if "beat" in line]

    async def goes_on(self, before: int) -> None:
        async def further() -> bool:
            return (await self.beats() or [0])[-1] > before

        await until(further, PATIENCE, "at work again")

    async def is_silent(self) -> int:
        await asyncio.sleep(0.3)
        before = await self.beats() or [0]
        assert {state_of(pid) for pid in alive(self.marker)} == {"T"}
        await asyncio.sleep(SILENCE)
        assert (await self.beats() or [0]) == before
        return before[-1]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    token = secrets.token_urlsafe(16)
    server = ApiServer(token=token, crds=list(crds().values()))
    await server.start()
    kubeconfig = tmp_path / "kubeconfig"
    apiserver.write_kubeconfig(kubeconfig, server.url, token, None)
    cluster = Cluster(Endpoint(server.url, token, None, kubeconfig), f"t-{secrets.token_hex(4)}", tmp_path / "data")
    await cluster.open()
    node = Node(url=server.url, token=token, name=cluster.node_name, data_dir=cluster.data_dir, component=True)
    await node.start()
    made = Bench(cluster)
    yield made
    await node.stop()
    await cluster.close()
    await server.stop()
    assert not alive(made.marker)


async def test_everything_that_a_pod_has_started_stops_and_goes_on(bench: Bench) -> None:
    uid = await bench.run()
    await bench.goes_on(1)
    status = await bench.answered(uid, "Frozen", "Frozen")
    assert (status["state"], status["processes"] >= 3, "empty" in status) == ("Frozen", True, False)
    last = await bench.is_silent()
    status = await bench.answered(uid, "Running", "Running")
    assert (status["state"], "processes" in status) == ("Running", False)
    await bench.goes_on(last)
    numbers = await bench.beats()
    assert numbers == sorted(set(numbers)), "it did not begin again"
    assert "T" not in {state_of(pid) for pid in alive(bench.marker)}


async def test_a_frozen_pod_is_killed_and_nothing_of_it_is_started_again(bench: Bench) -> None:
    uid = await bench.run(restartPolicy="Always")
    await bench.answered(uid, "Frozen", "Frozen")
    last = await bench.is_silent()
    status = await bench.answered(uid, "Killed", "Empty")
    assert (status["state"], status["processes"], status["empty"]) == ("Killed", 0, True)
    assert not alive(bench.marker)
    again = await bench.cluster.until("p", lambda item: terminated(item).get("reason") == "StartError")
    assert main_status(again)["lastState"]["terminated"]["exitCode"] == 137
    assert not alive(bench.marker)
    assert (await bench.beats() or [last])[-1] == last
    with pytest.raises(ApiError, match="stays so"):
        await bench.ask(uid, "Running")


async def test_nothing_stays_stopped_because_an_object_is_gone(bench: Bench) -> None:
    uid = await bench.run()
    await bench.answered(uid, "Frozen", "Frozen")
    last = await bench.is_silent()
    await bench.cluster.api.request("DELETE", f"{bench.path}/podcontrols/{uid}")
    await bench.goes_on(last)


async def test_one_that_flips_ends_as_was_asked_last(bench: Bench) -> None:
    uid = await bench.run()
    generation = 0
    for number in range(40):
        generation = await bench.ask(uid, "Frozen" if number % 2 else "Running")
        await asyncio.sleep(0.01)
    await bench.answered(uid, "Frozen", "Frozen", generation)
    await bench.is_silent()


async def test_a_stop_kills_what_is_frozen_when_its_grace_is_over(bench: Bench) -> None:
    uid = await bench.run(terminationGracePeriodSeconds=1)
    await bench.answered(uid, "Frozen", "Frozen")
    await bench.cluster.delete("p")
    gone = await bench.cluster.until_gone("p")
    assert terminated(gone)["exitCode"] == 137


async def test_what_stopped_itself_is_left_alone_by_who_never_froze_it(bench: Bench) -> None:
    uid = await bench.run("kill -STOP $$$$; echo beat 1; sleep 1000")
    await bench.answered(uid, "Running", "Running")
    await asyncio.sleep(SILENCE)
    assert await bench.beats() == []


async def test_a_pod_of_no_task_is_left_alone(bench: Bench) -> None:
    uid = await bench.run(on_record=False)
    status = await bench.answered(uid, "Killed", "NotTheTasks")
    assert "state" not in status
    assert alive(bench.marker)
    await bench.cluster.delete("p", grace=0)


async def test_of_a_pod_that_is_not_there_nothing_is_said(bench: Bench) -> None:
    uid = await bench.run()
    await bench.cluster.delete("p", grace=0)
    await bench.cluster.until_gone("p")
    await until(lambda: not alive(bench.marker), PATIENCE, "gone")
    status = await bench.answered(uid, "Frozen", "CgroupNotFound")
    assert "state" not in status


# It says what the component says


OUTCOMES = [
    (looks.Outcome.RUNNING, None),
    (looks.Outcome.FROZEN, 3),
    (looks.Outcome.FREEZING, None),
    (looks.Outcome.THAWING, None),
    (looks.Outcome.KILLING, 2),
    (looks.Outcome.EMPTY, 0),
    (looks.Outcome.NO_CGROUP, None),
]


@pytest.mark.parametrize(("outcome", "processes"), OUTCOMES)
@pytest.mark.parametrize(("earlier", "before"), [each for each in OUTCOMES if each[0] is not looks.Outcome.EMPTY])
def test_both_write_the_same(
    earlier: looks.Outcome, before: int | None, outcome: looks.Outcome, processes: int | None
) -> None:
    ours: Object = {}
    component: Object = {}
    for number, (each, count) in enumerate([(earlier, before), (outcome, processes)], 1):
        at = datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC)
        state = looks.STATES.get(each)
        ours = status_of(ours, number, Found(str(each), "x", state, count), "boot", at)
        component = status.status_of(component, number, looks.Look(each, "x", count), "boot", at)
    assert ours == component


@pytest.mark.parametrize(
    "workload",
    [
        {},
        {"pods": [{"uid": "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"}]},
        {"otherPods": [{"uids": ["C1HCxU-ASiudTTsdih9qAQ"]}]},
    ],
)
def test_both_have_the_same_pods_on_record(workload: Object) -> None:
    task = {"status": {"workload": workload}}
    assert is_on_record(task, UID) is theirs(task, UID) is bool(workload)
    assert not control_status.is_on_record(task, "no UID")

"""Several replicas: one acts, and another one takes over at any moment; a stop is carried out once."""

# ruff: noqa: S311  (random moments guard no secret)

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support import agents, installed
from tests.support.clusters import Cluster, Feature
from tests.support.kube import ROLES, TASKS, Kind, Object
from tests.support.laws import exit_code, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.orders import Orders, counted, outcomes
from tests.support.waiting import PATIENCE, until

LEASES = Kind("/apis/coordination.k8s.io/v1", "leases")

SHORT, LONG = 3, 120
"""Times of a lease in seconds: one that runs out while a test waits for it, and one that does not."""

SKEWED = """
import sys
from datetime import timedelta
from agentstop.cluster import clock
local = clock.utc_now
clock.ServerClock.__init__.__defaults__ = (lambda: local() + timedelta(seconds=float(sys.argv[1])),)
from agentstop.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
"""`agentstop` on a machine whose clock is ahead by so many seconds."""

SKEW_SECONDS = 30
"""How far clocks are wrong, each in its own direction. What the API server says of the time is precise to a second."""


class Replicas:
    """The replicas of one operator."""

    def __init__(self, ns: Namespace, launch: Operators) -> None:
        self._ns = ns
        self._launch = launch
        self.running: list[Operator] = []

    async def start(
        self,
        *,
        lease: int = SHORT,
        skew: int | None = None,
        kubeconfig: Path | None = None,
        wait: bool = True,
        identity: str | None = None,
    ) -> Operator:
        options = ["--leader-elect", "--leader-elect-resource-namespace", self._ns.name]
        options += ["--leader-elect-lease-duration", str(lease)]
        options += ["--leader-elect-identity", identity] if identity is not None else []
        command = None if skew is None else (sys.executable, "-c", SKEWED, str(skew))
        replica = await self._launch.start(
            self._ns.name, kubeconfig=kubeconfig, wait=wait, command=command, options=options
        )
        self.running.append(replica)
        return replica

    async def leaders(self) -> list[Operator]:
        return [each for each in self.running if await each.leads()]

    async def leader(self) -> Operator:
        """Wait for one that leads, and return it."""
        found: list[Operator] = []

        async def one() -> bool:
            found[:] = await self.leaders()
            return bool(found)

        await until(one, PATIENCE, "a leader")
        return found[0]

    async def leads(self, replica: Operator) -> None:
        """Wait until this one leads."""
        await until(replica.leads, PATIENCE, "this replica leads")

    async def kill(self, replica: Operator) -> None:
        self.running.remove(replica)
        await replica.program.kill()


@pytest.fixture
async def replicas(ns: Namespace, launch: Operators, cluster: Cluster) -> Replicas:
    if Feature.RBAC in cluster.features:
        await installed.let_lead(ns.kube, ns.name)
    return Replicas(ns, launch)


@pytest.fixture
async def orders(ns: Namespace, cluster: Cluster) -> AsyncIterator[Orders]:
    orders = Orders(cluster, ns.name)
    yield orders
    await orders.close()


def check_stopped_once(ns: Namespace, name: str, task: Object) -> None:
    """Hold a task that ran gracefully against what one stop does. That its record never changed, `ns` checks."""
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0), name
    assert (status(task)["attempts"], len({each["metadata"]["uid"] for each in ns.pods.of(name)})) == (1, 1), name


async def test_a_leader_that_is_killed_at_random_moments_of_stops(
    ns: Namespace, replicas: Replicas, request: pytest.FixtureRequest
) -> None:
    names = [f"a{number}" for number in range(request.config.getoption("kills"))]
    await replicas.start()
    await replicas.start()
    for name in names:
        await ns.create_task(name, agents.template(agents.graceful(0.3), grace=10))
    for name in names:
        await ns.running(name)
    for name in names:
        leader = await replicas.leader()
        await ns.stop(name)
        await asyncio.sleep(random.uniform(0, 0.5) ** 2)
        await replicas.kill(leader)
        await replicas.start(wait=False)
    for name in names:
        check_stopped_once(ns, name, await ns.ended(name))
    assert len(await replicas.leaders()) == 1


async def test_a_leader_that_is_asked_to_end_hands_over_at_once(ns: Namespace, replicas: Replicas) -> None:
    first = await replicas.start(lease=LONG)
    await replicas.leads(first)
    second = await replicas.start(lease=LONG)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    assert not await second.leads()
    assert await second.probe("/readyz") == 200
    first.program.signal(signal.SIGTERM)
    await ns.stop("a")
    # It would take minutes for the lease to run out.
    check_stopped_once(ns, "a", await ns.ended("a"))
    assert await second.leads()
    assert await first.program.ended() == 0
    assert not first.mistakes()


async def test_a_leader_that_is_started_again_under_its_name_acts_at_once(ns: Namespace, replicas: Replicas) -> None:
    first = await replicas.start(lease=LONG, identity="pod-a")
    await replicas.leads(first)
    other = await replicas.start(lease=LONG, identity="pod-b")
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await replicas.kill(first)
    again = await replicas.start(lease=LONG, identity="pod-a")
    await ns.stop("a")
    # It would take minutes for the lease to run out.
    check_stopped_once(ns, "a", await ns.ended("a"))
    assert await again.leads()
    assert not await other.leads()


async def test_a_task_that_is_deleted_without_its_pod_while_nobody_leads(ns: Namespace, replicas: Replicas) -> None:
    """The replica that stands by has seen it, and does nothing before it leads."""
    first = await replicas.start()
    await replicas.leads(first)
    second = await replicas.start()
    await ns.create_task("a", agents.template(agents.DEAF, grace=2))
    await ns.running("a")
    await replicas.kill(first)
    await ns.kube.delete(TASKS, ns.name, "a", propagation="Orphan")
    await replicas.leads(second)
    await until(lambda: not ns.processes("a"), PATIENCE, "no process of a")


async def test_a_leader_that_was_frozen_does_not_act_when_it_goes_on(ns: Namespace, replicas: Replicas) -> None:
    frozen = await replicas.start()
    await replicas.leads(frozen)
    other = await replicas.start()
    for name in ("a", "b"):
        await ns.create_task(name, agents.template(agents.graceful()))
        await ns.running(name)
    frozen.program.signal(signal.SIGSTOP)
    await replicas.leads(other)
    await ns.stop("a")
    check_stopped_once(ns, "a", await ns.ended("a"))
    frozen.program.signal(signal.SIGCONT)
    await ns.stop("b")
    check_stopped_once(ns, "b", await ns.ended("b"))
    assert await other.leads()
    assert not await frozen.leads()


@pytest.mark.needs(Feature.RBAC)
async def test_a_leader_that_may_not_renew_stops_acting(ns: Namespace, replicas: Replicas, cluster: Cluster) -> None:
    first = await replicas.start()
    await replicas.leads(first)
    second = await replicas.start(kubeconfig=cluster.kubeconfig)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.kube.merge(ROLES, ns.name, "lead", {"rules": []})
    await replicas.leads(second)
    assert not await first.leads()
    await ns.stop("a")
    check_stopped_once(ns, "a", await ns.ended("a"))
    assert "this replica leads no more" in first.program.text()


@pytest.mark.needs(Feature.OWN_SERVER)
@pytest.mark.exclusive
async def test_an_api_server_that_is_away_for_longer_than_the_lease(
    ns: Namespace, replicas: Replicas, cluster: Cluster
) -> None:
    for _ in range(2):
        await replicas.start()
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a")
    with cluster.halted():
        await asyncio.sleep(2 * SHORT)
        assert await replicas.leaders() == []
    check_stopped_once(ns, "a", await ns.ended("a"))
    assert len(await replicas.leaders()) == 1


@pytest.mark.parametrize("ahead", [SKEW_SECONDS, -SKEW_SECONDS], ids=["leader-ahead", "leader-behind"])
async def test_clocks_that_differ_neither_shorten_nor_lengthen_a_grace_period(
    ns: Namespace, replicas: Replicas, ahead: int
) -> None:
    first = await replicas.start(skew=ahead)
    await replicas.leads(first)
    second = await replicas.start(skew=-ahead)
    await ns.create_task("a", agents.template(agents.DEAF, grace=100))
    await ns.running("a")
    # The operator itself has to end this period: the kubelet would wait for 100 seconds.
    grace = 6
    await ns.stop("a", gracePeriodSeconds=grace)
    task = await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await replicas.kill(first)
    await replicas.leads(second)
    task = await ns.ended("a", SKEW_SECONDS)
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Killed", 137)
    lasted = moment(stop_of(task)["confirmedAt"]) - moment(stop_of(task)["signaledAt"])
    assert timedelta(seconds=grace - 1) <= lasted < timedelta(seconds=SKEW_SECONDS)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_an_order_in_the_middle_of_which_the_leader_is_killed(
    ns: Namespace, replicas: Replicas, orders: Orders
) -> None:
    names = [f"a{number}" for number in range(12)]
    await replicas.start()
    await replicas.start()
    for name in names:
        await ns.create_task(name, agents.template(agents.graceful(0.3)))
    for name in names:
        await ns.running(name)
    order = await orders.make(hold=True)
    await asyncio.sleep(random.uniform(0, 0.3))
    await replicas.kill(await replicas.leader())
    await ns.create_task("late", agents.template())
    last = await order.phase("Holding")
    tasks = [await ns.ended(name) for name in names]
    for name, task in zip(names, tasks, strict=True):
        check_stopped_once(ns, name, task)
    late = await ns.ended("late")
    assert stop_of(late)["verdict"] == "NotStarted"
    assert "late" not in ns.pods.names()
    # Made before the acceptance was written down, it is one of those that were there.
    matched = tasks if last["refused"] else [*tasks, late]
    assert (last["matched"], counted(last)) == (len(matched), outcomes(matched))


async def test_an_election_without_a_namespace_says_what_to_give(
    ns: Namespace, launch: Operators, cluster: Cluster
) -> None:
    operator = await launch.start(ns.name, options=["--leader-elect"], wait=False)
    assert await operator.program.ended(20) == 1
    (line,) = operator.program.text().splitlines()
    assert line.startswith("agentstop: --leader-elect outside of a pod needs")


@pytest.mark.needs(Feature.RBAC)
async def test_a_replica_that_may_not_write_the_lease_waits_and_says_so(
    ns: Namespace, launch: Operators, cluster: Cluster
) -> None:
    replica = await Replicas(ns, launch).start(wait=False)
    said = f"the lease {ns.name}/agentstop cannot be read or taken: Forbidden (403)"
    await until(lambda: said in replica.program.text(), PATIENCE, "saying why it does not lead")
    assert not await replica.leads()

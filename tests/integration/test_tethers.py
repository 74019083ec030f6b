"""Tasks live no longer than whoever renews the Lease that they are tethered to."""

import signal
from datetime import timedelta

import pytest

from agentstop.words import leases
from tests.support import agents, tethers
from tests.support.clusters import Cluster, Feature
from tests.support.kube import Object
from tests.support.laws import conditions_of, moment, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.tethers import LEASES, SECONDS

AWAY_SECONDS = 2.0 * SECONDS

AN_HOUR = 3600


async def tethered(ns: Namespace, name: str, lease: str) -> None:
    """Make a task that is tethered, and wait until its Lease holds it."""
    await ns.create_task(name, agents.template(agents.graceful()), tether={"leaseName": lease})
    await ns.running(name)
    await ns.until(name, lambda task: says(task)[0] == "True", what="held by its Lease")


def says(task: Object) -> tuple[str | None, str | None]:
    """Return status and reason of a task's condition Tethered."""
    found = conditions_of(task).get("Tethered", {})
    return found.get("status"), found.get("reason")


def check_lost(task: Object, lease: str, why: str) -> None:
    stop = stop_of(task)
    assert (status(task)["phase"], stop["source"], stop["reason"]) == ("Stopped", "Tether", "TetherLost")
    assert why in stop["message"]
    assert lease in stop["message"]
    assert (status(task)["manuallyStopped"], says(task)) == (False, ("False", "TetherLost"))


async def test_tasks_live_as_long_as_the_programs_that_hold_them(ns: Namespace, operator: Operator) -> None:
    async with tethers.relayed(ns.cluster.kubeconfig) as (network, kubeconfig):
        killed = await tethers.hold(ns, "killed", ahead=-AN_HOUR)
        hangs = await tethers.hold(ns, "hangs", ahead=AN_HOUR)
        cut_off = await tethers.hold(ns, "cut-off", kubeconfig=kubeconfig)
        for name in ("killed", "hangs", "cut-off"):
            await tethered(ns, name, name)
        await ns.create_task("child", agents.template(agents.graceful()), parentRef={"name": "killed"})
        await ns.running("child")
        # Longer than the Leases last, so that each is read again.
        await tethers.renewed_again(ns, "killed", 8)
        last = leases.renewed_at(await tethers.renewed_again(ns, "hangs", 1))
        await killed.kill()
        hangs.signal(signal.SIGSTOP)
        network.cut()
        await ns.nothing_happens(SECONDS / 2)
        network.mend()
        for name in ("killed", "hangs"):
            task = await ns.ended(name)
            check_lost(task, name, "was not renewed by jane for 5 seconds")
            assert last is not None
            assert moment(stop_of(task)["acceptedAt"]) >= last + timedelta(seconds=SECONDS)
        child = await ns.ended("child")
        assert (stop_of(child)["source"], stop_of(child)["origin"]) == ("Parent", "killed")
        assert (stop_of(child)["reason"], status(child)["manuallyStopped"]) == ("TetherLost", False)
        await tethers.renewed_again(ns, "cut-off", 8)
        assert status(await ns.task("cut-off"))["phase"] == "Running"
        await cut_off.end()
        assert "stopped cut-off\n" in cut_off.text()
        check_lost(await ns.ended("cut-off"), "cut-off", "is gone: There is no Lease cut-off")
        await hangs.kill()


async def test_a_lease_that_is_not_there_and_one_of_something_else(ns: Namespace, operator: Operator) -> None:
    election: Object = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "scheduler"},
        "spec": {"holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }
    await ns.create(LEASES, election)
    await ns.create_task("early", agents.template(), tether={"leaseName": "none-yet"})
    await ns.create_task("wrong", agents.template())
    for name in ("early", "wrong"):
        await ns.running(name)
    await ns.patch("wrong", tether={"leaseName": "scheduler"})
    task = await ns.until("wrong", lambda task: says(task) == ("False", "NotATether"), what="refused")
    assert "has no label agentstop.dev/tether=true" in conditions_of(task)["Tethered"]["message"]
    task = await ns.until("early", lambda task: says(task) == ("False", "LeaseMissing"), what="missing")
    assert "waited for once for 60 seconds" in conditions_of(task)["Tethered"]["message"]
    for name in ("early", "wrong"):
        assert status(await ns.task(name))["phase"] == "Running"


@pytest.mark.needs(Feature.OWN_SERVER)
@pytest.mark.exclusive
async def test_an_api_server_that_is_away_stops_nothing_and_an_operator_that_is_away_saves_nothing(
    ns: Namespace, launch: Operators, cluster: Cluster
) -> None:
    first = await launch.start(ns.name)
    holder = await tethers.hold(ns, "session")
    for name in ("a", "paused"):
        await tethered(ns, name, "session")
    await ns.patch("paused", paused=True)
    await ns.phase("paused", "Paused")
    with cluster.halted():
        await ns.nothing_happens(AWAY_SECONDS)
    await tethers.renewed_again(ns, "session", 10)
    assert status(await ns.task("a"))["phase"] == "Running"
    assert status(await ns.task("paused"))["phase"] == "Paused"
    await first.program.kill()
    await holder.kill()
    await ns.nothing_happens(SECONDS)
    await launch.start(ns.name)
    for name in ("a", "paused"):
        check_lost(await ns.ended(name), "session", "was not renewed by jane")

"""Whoever writes a pod may write any number and any time into it: a stop ends it all the same, and in time."""

import pytest

from agentstop.lifecycle.decision import MAX_GRACE_SECONDS
from tests.support import agents, manifests
from tests.support.kube import Object
from tests.support.laws import exit_code, exit_codes, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.workloads import Workloads

pytestmark = pytest.mark.usefixtures("operator")

YEAR = 31_536_000
LONGEST = 2**63 - 1
TIMES = ("0000-01-01T00:00:00Z", "0001-01-01T00:00:01Z", "9999-12-31T23:59:59Z")


async def adopted(ns: Namespace, grace: int) -> None:
    await ns.create_pod("x", agents.pod_spec(agents.graceful(), grace=grace))
    await ns.adopt("a", "x")
    await ns.running("a")


@pytest.mark.parametrize("grace", [2**31, 2**40, LONGEST])
async def test_a_pod_with_more_time_than_there_is_is_stopped(ns: Namespace, grace: int) -> None:
    await adopted(ns, grace)
    await ns.stop("a")
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"], exit_code(last)) == ("Stopped", "Graceful", 0)
    assert stop_of(last)["gracePeriodSeconds"] == MAX_GRACE_SECONDS


async def test_a_pod_is_given_no_year_where_the_stop_asks_for_nothing(ns: Namespace) -> None:
    await adopted(ns, YEAR)
    await ns.stop("a")
    asked = await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    assert stop_of(asked)["gracePeriodSeconds"] == MAX_GRACE_SECONDS
    last = await ns.ended("a")
    assert (status(last)["phase"], exit_code(last)) == ("Stopped", 0)
    graces = {each["metadata"].get("deletionGracePeriodSeconds") for each in ns.pods.of("x")}
    assert max(filter(None, graces)) == MAX_GRACE_SECONDS


@pytest.mark.parametrize("grace", [2**31, 2**40, LONGEST])
async def test_a_pod_that_is_being_deleted_with_more_time_than_there_is(ns: Namespace, grace: int) -> None:
    """The API server's own sum overflows: the pod was to be gone long ago, and says so, or in a year of five digits."""
    await ns.create_pod("x", agents.pod_spec(agents.graceful(4), grace=5))
    await ns.adopt("a", "x")
    await ns.running("a")
    await ns.delete_pod("x", grace)
    await ns.stop("a", gracePeriodSeconds=2)
    last = await ns.ended("a")
    assert (status(last)["phase"], exit_code(last)) == ("Stopped", 0)
    assert stop_of(last)["signaledAt"] <= stop_of(last)["killAt"]
    graces = [each["metadata"].get("deletionGracePeriodSeconds") for each in ns.pods.of("x")]
    assert 2 in graces or 1 in graces  # which a kubelet that has begun with the longer one does not hear


async def test_a_jobs_pods_are_given_no_year_either(ns: Namespace, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("j", agents.graceful(), parallelism=2, grace=YEAR))
    await workloads.adopt("a", job)
    await workloads.running(job, 2)
    await ns.phase("a", "Running")
    await ns.stop("a")
    last = await ns.ended("a")
    assert (status(last)["phase"], exit_codes(last)) == ("Stopped", [0, 0])
    assert stop_of(last)["gracePeriodSeconds"] == MAX_GRACE_SECONDS


@pytest.mark.parametrize("moment", TIMES)
async def test_a_pod_that_tells_of_no_time_that_ever_was_is_stopped(ns: Namespace, moment: str) -> None:
    """Whoever has the right to do so may write what an adopted pod's containers did, and who wrote what."""
    await adopted(ns, 5)
    mark = {"manager": "agentstop-stop", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    fields = {"time": moment, "fieldsV1": {"f:spec": {"f:activeDeadlineSeconds": {}}}}
    await ns.patch_pod("x", {"metadata": {"managedFields": [{**mark, **fields}]}})
    ended = {"exitCode": 2**31 - 1, "signal": -(2**31), "startedAt": moment, "finishedAt": moment}
    other = {"name": "other", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    change: Object = {"ephemeralContainerStatuses": [{**other, "state": {"terminated": ended}}], "startTime": moment}
    await ns.patch_pod("x", {"status": change}, "status")
    await ns.stop("a")
    last = await ns.ended("a")
    assert status(last)["phase"] == "Stopped"
    assert not ns.processes("x")

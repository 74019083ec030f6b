"""CronJobs: what is said of them when a Job of theirs is stopped, and when they are suspended with it."""

from dataclasses import replace
from typing import Any

import pytest

from agentstop.api.meta import ConditionType
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Limits
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Task
from agentstop.workloads.objects import ObjectRef, Rejection, Schedule
from agentstop.workloads.requests import Suspend
from tests.unit.objects import NAMESPACE, Raw, at, task, when
from tests.unit.workloads.adopted import (
    HALT,
    PAUSE,
    PAUSING,
    RUNNING,
    SPEC,
    STOPPED,
    STOPPING,
    WORKLOAD,
    lister,
    observe,
    sent,
)
from tests.unit.workloads.owners import JOB_UID, controller, job_pod, raw_owner

CRON_JOB = ObjectRef("CronJob", NAMESPACE, "nightly", "batch/v1")
SUSPEND_IT = Suspend(CRON_JOB, "cron-uid", JOB_UID)
STOP_BOTH = replace(HALT, schedule=True)


def nightly(**changes: Any) -> Raw:
    return raw_owner("job", ownerReferences=[controller("CronJob", "nightly", "cron-uid")], **changes)


def test_a_job_of_a_cron_job_says_what_goes_on() -> None:
    raw = raw_owner("job", ownerReferences=[controller("CronJob", "nightly", "cron-uid")])
    elsewhere = observe(RUNNING, lister(raw)).elsewhere

    assert elsewhere is not None
    assert elsewhere.reason == "MadeByCronJob"
    assert "suspend CronJob nightly" in elsewhere.message


def test_a_cron_job_is_suspended_with_its_job_and_after_it_only_where_that_is_wanted() -> None:
    halted = nightly(spec={"suspend": True})

    assert SUSPEND_IT in sent(STOPPING, STOP_BOTH, lister(nightly()))
    assert SUSPEND_IT in sent(STOPPING, STOP_BOTH, lister(halted, signaled=10))
    assert SUSPEND_IT not in sent(STOPPING, HALT, lister(nightly()))
    assert SUSPEND_IT not in sent(PAUSING, PAUSE, lister(nightly()))
    assert SUSPEND_IT not in sent(STOPPED, STOP_BOTH, lister(nightly())), "whoever lets it go on afterwards means it"
    assert SUSPEND_IT not in sent(STOPPING, STOP_BOTH, lister(raw_owner("job")))


@pytest.mark.parametrize("became", list(Schedule))
def test_a_cron_job_is_asked_once(became: Schedule) -> None:
    known = lister(nightly(), schedules={JOB_UID: became})
    assert SUSPEND_IT not in sent(STOPPING, STOP_BOTH, known)


def test_what_became_of_the_cron_job_is_said() -> None:
    said = {
        each: observe(STOPPING, lister(nightly(), schedules={JOB_UID: each} if each else {}))
        for each in (None, *Schedule)
    }
    suspended, gone, denies = (said[each] for each in (Schedule.SUSPENDED, Schedule.GONE, Schedule.DENIES))
    assert suspended.elsewhere is not None
    assert (suspended.elsewhere.reason, suspended.goes_on) == ("CronJobSuspended", False)
    assert "delete Job x and set spec.suspend of CronJob nightly to false" in suspended.elsewhere.message
    assert gone.elsewhere is None
    assert denies.elsewhere is not None
    assert (denies.elsewhere.reason, denies.goes_on) == ("MadeByCronJob", True)
    assert "it was not suspended, since it does not have Job x in its status.active" in denies.elsewhere.message
    assert said[None].goes_on is True


def test_a_cron_job_that_may_not_be_suspended_holds_nothing_up_and_is_said() -> None:
    rejection = Rejection(403, "Forbidden", "cronjobs.batch is forbidden", at(20))
    known = lister(nightly(), rejections={(CRON_JOB, Suspend.verb): rejection})
    seen = observe(STOPPING, known, 21)
    assert seen.blocked is None
    assert seen.elsewhere is not None
    assert "goes on (it could not be suspended: cronjobs.batch is forbidden)" in seen.elsewhere.message
    assert SUSPEND_IT not in sent(STOPPING, STOP_BOTH, known, 21)
    assert SUSPEND_IT in sent(STOPPING, STOP_BOTH, known, 30), "it is tried again"


# Whose stop suspends it


def stopped_by(source: str) -> Task:
    record = {"source": source, "acceptedAt": when(10)}
    return task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(1), "stop": record})


@pytest.mark.parametrize(
    ("source", "person"),
    [("User", True), ("StopOrder", True), ("Deadline", False), ("Deletion", False)],
)
def test_only_a_persons_stop_suspends_the_cron_job(source: str, person: bool) -> None:
    seen = observe(stopped_by(source), lister(nightly(), job_pod()))
    for wanted in (True, False):
        decision = decide(stopped_by(source), seen, at(11), limits=Limits(suspend_cron_jobs=wanted))
        (effect,) = decision.effects
        assert isinstance(effect, Terminate)
        assert effect.schedule is (wanted and person)


def test_before_the_stop_nothing_is_said_to_go_on_that_will_be_suspended() -> None:
    seen = observe(RUNNING, lister(nightly(), job_pod()))
    for wanted in (True, False):
        status = decide(RUNNING, seen, at(11), limits=Limits(suspend_cron_jobs=wanted)).status
        said = [each.reason for each in status.conditions if each.type == ConditionType.CONTROLLED_ELSEWHERE]
        assert said == ([] if wanted else ["MadeByCronJob"])

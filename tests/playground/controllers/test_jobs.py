"""Jobs: what becomes of their pods and their status."""

from typing import Any

import pytest

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.job_status import FINALIZER
from agentstop_playground.controllers.kinds import JOB, POD

from .bench import FOREVER, Bench, conditions, is_active, pod_spec, runs

FAILS = FOREVER.replace("exit 0", "exit 7")


def job(script: str = FOREVER, **spec: Any) -> Object:
    template = {"spec": pod_spec(script, restartPolicy=spec.pop("restartPolicy", "Never"))}
    return {"template": template, **spec}


def counts(obj: Object) -> dict[str, int]:
    status = obj.get("status") or {}
    names = ("active", "ready", "succeeded", "failed", "terminating")
    return {name: status[name] for name in names if status.get(name)}


def finished(kind: str) -> Any:
    return lambda obj: conditions(obj).get(kind, ("", ""))[0] == "True"


async def start(bench: Bench, name: str, spec: Object, count: int) -> Object:
    """Create a Job and wait until its status says that its pods run."""
    await bench.create(JOB, name, spec)
    return await bench.until_now(JOB, name, lambda obj: counts(obj) == {"active": count, "ready": count})


async def test_a_job_makes_pods_until_enough_have_succeeded(bench: Bench) -> None:
    await bench.create(JOB, "j", job("exit 0", parallelism=2, completions=3))
    done = await bench.until_now(JOB, "j", finished("Complete"))
    assert counts(done) == {"succeeded": 3}
    assert conditions(done) == {
        "SuccessCriteriaMet": ("True", "CompletionsReached"),
        "Complete": ("True", "CompletionsReached"),
    }
    assert {"startTime", "completionTime"} <= set(done["status"])
    await bench.until_pods(lambda pods: not any(pod["metadata"].get("finalizers") for pod in pods))
    assert len(bench.present(POD)) == 3


async def test_the_pods_of_a_job_are_marked_as_its_own(bench: Bench) -> None:
    made = await start(bench, "j", job(), 1)
    (pod,) = bench.present(POD)
    metadata, uid = pod["metadata"], made["metadata"]["uid"]
    assert metadata["generateName"] == "j-"
    assert metadata["finalizers"] == [FINALIZER]
    assert metadata["labels"]["batch.kubernetes.io/controller-uid"] == uid
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Job", uid, True)


async def test_never_more_pods_than_the_parallelism(bench: Bench) -> None:
    await bench.create(JOB, "j", job("sleep 0.2", parallelism=2, completions=5))
    done = await bench.until_now(JOB, "j", finished("Complete"))
    assert counts(done) == {"succeeded": 5}
    assert max(counts(state).get("active", 0) for state in bench.states(JOB, "j")) == 2


async def test_a_work_queue_ends_with_the_first_success(bench: Bench) -> None:
    await bench.create(JOB, "j", job("exit 0", parallelism=2))
    assert counts(await bench.until_now(JOB, "j", finished("Complete"))) == {"succeeded": 2}
    assert len(bench.seen(POD)) == 2


async def test_a_job_fails_beyond_its_backoff_limit(bench: Bench) -> None:
    await bench.create(JOB, "j", job("exit 1", backoffLimit=0))
    done = await bench.until_now(JOB, "j", finished("Failed"))
    assert counts(done) == {"failed": 1}
    assert conditions(done) == {
        "FailureTarget": ("True", "BackoffLimitExceeded"),
        "Failed": ("True", "BackoffLimitExceeded"),
    }


@pytest.mark.ours
async def test_a_failed_pod_is_replaced_within_the_limit(bench: Bench) -> None:
    await bench.create(JOB, "j", job("exit 1", backoffLimit=2))
    assert counts(await bench.until_now(JOB, "j", finished("Failed"))) == {"failed": 3}


@pytest.mark.ours
async def test_containers_that_start_again_in_place_count_as_failures(bench: Bench) -> None:
    await bench.create(JOB, "j", job("exit 1", backoffLimit=1, restartPolicy="OnFailure"))
    done = await bench.until_now(JOB, "j", finished("Failed"))
    assert conditions(done)["Failed"] == ("True", "BackoffLimitExceeded")
    await bench.until_pods(lambda pods: not pods)


async def test_a_job_fails_at_its_deadline(bench: Bench) -> None:
    await bench.create(JOB, "j", job(activeDeadlineSeconds=1))
    done = await bench.until_now(JOB, "j", finished("Failed"))
    assert conditions(done)["Failed"] == ("True", "DeadlineExceeded")
    assert counts(done) == {"failed": 1}
    await bench.until_pods(lambda pods: not pods)


async def test_suspension_ends_the_pods_and_counts_none_of_them(bench: Bench) -> None:
    await start(bench, "j", job(parallelism=3, completions=3), 3)
    await bench.patch(JOB, "j", {"spec": {"suspend": True}})
    await bench.until_pods(lambda pods: not pods)
    left = await bench.until_now(JOB, "j", lambda obj: finished("Suspended")(obj) and not counts(obj))
    assert conditions(left) == {"Suspended": ("True", "JobSuspended")}
    assert "startTime" not in left["status"]
    codes = [states[-1]["status"]["containerStatuses"][0]["state"]["terminated"] for states in bench.seen(POD)]
    # 143: the signal came before the shell had set its trap.
    assert len(codes) == 3
    assert {code["exitCode"] for code in codes} <= {0, 143}


async def test_a_job_that_is_being_suspended_says_how_many_pods_are_going(bench: Bench) -> None:
    await start(bench, "j", job("trap 'sleep 1; exit 0' TERM; while :; do sleep 0.05; done"), 1)
    await bench.patch(JOB, "j", {"spec": {"suspend": True}})
    going = await bench.until(JOB, "j", finished("Suspended"))
    assert counts(going) == {"terminating": 1}
    await bench.until_pods(lambda pods: pods and "finalizers" not in pods[0]["metadata"])


async def test_resumption_makes_pods_anew(bench: Bench) -> None:
    before = await start(bench, "j", job(parallelism=2, completions=2), 2)
    first = {pod["metadata"]["uid"] for pod in bench.present(POD)}
    await bench.patch(JOB, "j", {"spec": {"suspend": True}})
    await bench.until_pods(lambda pods: not pods)
    await bench.until_now(JOB, "j", lambda obj: finished("Suspended")(obj) and not counts(obj))
    await bench.patch(JOB, "j", {"spec": {"suspend": False}})
    after = await bench.until_now(JOB, "j", lambda obj: counts(obj) == {"active": 2, "ready": 2})
    assert conditions(after) == {"Suspended": ("False", "JobResumed")}
    assert after["status"]["startTime"] >= before["status"]["startTime"]
    assert not first & {pod["metadata"]["uid"] for pod in bench.present(POD)}


async def test_a_job_that_is_created_suspended_starts_nothing(bench: Bench) -> None:
    await bench.create(JOB, "j", job(suspend=True))
    await bench.until_now(JOB, "j", finished("Suspended"))
    await bench.settled()
    assert bench.present(POD) == []


async def test_a_job_that_has_what_it_wants_is_complete_though_suspended(bench: Bench) -> None:
    await bench.create(JOB, "j", job("exit 0"))
    await bench.until_now(JOB, "j", finished("Complete"))
    await bench.patch(JOB, "j", {"spec": {"suspend": True}})
    await bench.settled()
    assert "Suspended" not in conditions(await bench.get(JOB, "j"))


async def test_a_job_that_somebody_else_manages_is_left_alone(bench: Bench) -> None:
    await bench.create(JOB, "j", job(managedBy="somebody.else/manager"))
    await bench.settled()
    assert bench.present(POD) == []
    assert (await bench.get(JOB, "j"))["status"] == {}


async def test_a_pod_that_somebody_deletes_has_failed(bench: Bench) -> None:
    await start(bench, "j", job(FAILS, backoffLimit=0), 1)
    (pod,) = bench.present(POD)
    await bench.delete(POD, pod["metadata"]["name"])
    done = await bench.until_now(JOB, "j", finished("Failed"))
    assert counts(done) == {"failed": 1}


async def test_less_parallelism_ends_pods_that_do_not_count(bench: Bench) -> None:
    await start(bench, "j", job(parallelism=3, completions=9), 3)
    await bench.patch(JOB, "j", {"spec": {"parallelism": 1}})
    await bench.until_pods(lambda pods: len(pods) == 1)
    left = await bench.until_now(JOB, "j", lambda obj: counts(obj) == {"active": 1, "ready": 1})
    assert "failed" not in left["status"]


async def test_pods_of_a_deleted_job_are_released(bench: Bench) -> None:
    await start(bench, "j", job(), 1)
    await bench.delete(JOB, "j", "Background")
    if bench.endpoint.collects_garbage:
        await bench.until_pods(lambda pods: not pods)
    else:
        await bench.until_pods(lambda pods: not pods[0]["metadata"].get("finalizers"))


async def test_pods_outlive_a_job_that_is_deleted_plainly(bench: Bench) -> None:
    if not bench.endpoint.collects_garbage:
        pytest.skip("nobody takes the owner off the pods here")
    await start(bench, "j", job(), 1)
    await bench.delete(JOB, "j", None)
    await bench.until_gone(JOB, "j")
    (pod,) = await bench.until_pods(lambda pods: not pods[0]["metadata"].get("finalizers"))
    assert runs(pod)
    assert "ownerReferences" not in pod["metadata"]


@pytest.mark.ours
async def test_what_ended_while_nobody_looked_is_counted_once(idle_bench: Bench) -> None:
    bench = idle_bench
    await bench.control()
    await start(bench, "j", job(FAILS, parallelism=2, completions=2, backoffLimit=0), 2)
    await bench.let_go()
    for pod in bench.present(POD):
        await bench.delete(POD, pod["metadata"]["name"])
    await bench.until_pods(lambda pods: all(pod["status"].get("phase") == "Failed" for pod in pods))
    await bench.control()
    done = await bench.until_now(JOB, "j", finished("Failed"))
    assert counts(done) == {"failed": 2}


@pytest.mark.ours
async def test_many_jobs_at_once(bench: Bench) -> None:
    names = [f"j{number}" for number in range(100)]
    for name in names:
        await bench.create(JOB, name, job("exit 0"))
    for name in names:
        assert counts(await bench.until_now(JOB, name, finished("Complete"))) == {"succeeded": 1}
    assert len(bench.seen(POD)) == len(names)


async def test_active_pods_are_never_made_twice(bench: Bench) -> None:
    await start(bench, "j", job(parallelism=10, completions=10), 10)
    await bench.settled()
    assert len(bench.seen(POD)) == 10
    assert all(is_active(pod) for pod in bench.present(POD))

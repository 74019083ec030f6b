"""Pods run, end and are stopped, and their statuses say how."""

import asyncio
import base64
import itertools

import pytest

from agentstop_playground.api_client import MERGE_PATCH

from .cluster import Cluster, alive, condition, container, main_status, phase_is, pod, terminated

PATIENT = 'trap "echo got-term; exit 0" TERM; echo up; while :; do sleep 0.05; done'
DEAF = 'trap "" TERM; echo up; while :; do sleep 0.05; done'


@pytest.mark.parametrize(
    ("script", "code", "reason", "phase"),
    [
        ("exit 0", 0, "Completed", "Succeeded"),
        ("exit 3", 3, "Error", "Failed"),
        # Kubernetes makes $ of $$ in a command.
        ("kill -9 $$$$", 137, "Error", "Failed"),
        ("kill -15 $$$$", 143, "Error", "Failed"),
    ],
)
async def test_exit_codes_and_phases(cluster: Cluster, script: str, code: int, reason: str, phase: str) -> None:
    await cluster.create(pod("p", container(script)))
    item = await cluster.until("p", phase_is("Succeeded", "Failed"))
    end = terminated(item)
    assert (end["exitCode"], end["reason"], item["status"]["phase"]) == (code, reason, phase)
    assert "signal" not in end
    assert end["startedAt"] <= end["finishedAt"]
    assert condition(item, "Ready")["reason"] == ("PodCompleted" if phase == "Succeeded" else "PodFailed")


async def test_running_pod_is_ready_with_addresses(cluster: Cluster) -> None:
    item = await cluster.run(pod("p", container(PATIENT)))
    status = main_status(item)
    assert (status["ready"], status["started"], status["restartCount"]) == (True, True, 0)
    assert status["containerID"].startswith("process://")
    assert {kind: condition(item, kind)["status"] for kind in ("Initialized", "Ready", "PodScheduled")} == {
        "Initialized": "True",
        "Ready": "True",
        "PodScheduled": "True",
    }
    assert (item["status"]["podIP"], item["status"]["hostIP"]) == ("127.0.0.1", "127.0.0.1")
    assert item["spec"]["nodeName"] == cluster.node_name


async def test_deletion_waits_for_the_process_and_shows_its_exit_code(cluster: Cluster) -> None:
    await cluster.run(pod("p", container(PATIENT)))
    await cluster.until_logged("p", "up")
    await cluster.delete("p")
    last = await cluster.until_gone("p")
    assert terminated(last)["exitCode"] == 0
    states = [item for kind, item in cluster.history["p"] if kind == "MODIFIED"]
    # The end was there to be read before the object went.
    assert any(terminated(item).get("exitCode") == 0 and item["metadata"].get("deletionTimestamp") for item in states)


async def test_deaf_process_is_killed_when_the_grace_period_ends(cluster: Cluster) -> None:
    await cluster.run(pod("p", container(DEAF), terminationGracePeriodSeconds=1))
    await cluster.until_logged("p", "up")
    await cluster.delete("p")
    last = await cluster.until_gone("p")
    assert (terminated(last)["exitCode"], terminated(last)["reason"]) == (137, "Error")


async def test_lowered_active_deadline_stops_in_place(cluster: Cluster) -> None:
    await cluster.run(pod("p", container(PATIENT)))
    await cluster.until_logged("p", "up")
    await cluster.patch("p", {"spec": {"activeDeadlineSeconds": 1}})
    item = await cluster.until("p", phase_is("Failed"))
    assert item["status"]["reason"] == "DeadlineExceeded"
    assert item["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    assert terminated(item)["exitCode"] == 0
    assert (await cluster.logs("p"))[1] == "up\ngot-term\n"


async def test_phase_is_terminal_only_after_the_process_is_gone(cluster: Cluster) -> None:
    slow = 'trap "sleep 1; exit 4" TERM; echo up; while :; do sleep 0.05; done'
    await cluster.run(pod("p", container(slow), container("exit 0", name="quick")))
    await cluster.until_logged("p", "up")
    await cluster.patch("p", {"spec": {"activeDeadlineSeconds": 1}})
    await cluster.until("p", phase_is("Failed"))
    for _, item in cluster.history["p"]:
        if item["status"].get("phase") == "Failed":
            assert terminated(item)["exitCode"] == 4
        else:
            assert item["status"].get("reason") != "DeadlineExceeded"


@pytest.mark.parametrize("in_place", [True, False])
async def test_grace_period_that_is_running_is_not_shortened(cluster: Cluster, *, in_place: bool) -> None:
    script = "trap 'sleep 4; exit 5' TERM; echo up; while true; do sleep 0.1; done"
    await cluster.run(pod("p", container(script), terminationGracePeriodSeconds=30))
    await cluster.until_logged("p", "up")
    if in_place:
        await cluster.patch("p", {"spec": {"activeDeadlineSeconds": 1}})
        await asyncio.sleep(1.5)
    else:
        await cluster.delete("p")
        await cluster.until("p", lambda item: bool(item["metadata"].get("deletionTimestamp")))
    await cluster.delete("p", grace=1)
    assert terminated(await cluster.until_gone("p"))["exitCode"] == 5


async def test_forced_deletion_still_ends_the_process(cluster: Cluster) -> None:
    script = 'trap "" TERM; exec python3 -c "import time; time.sleep(1000)" forced-$MY_NS'
    env = [{"name": "MY_NS", "value": cluster.namespace}]
    await cluster.run(pod("p", container(script, env=env)))
    await cluster.until_true(lambda: alive(f"forced-{cluster.namespace}"))
    await cluster.delete("p", grace=0)
    await cluster.until_gone("p")
    await cluster.until_true(lambda: not alive(f"forced-{cluster.namespace}"))
    await cluster.until_true(lambda: not list((cluster.data_dir / "pods").iterdir()))


async def test_finished_pod_is_removed_at_once(cluster: Cluster) -> None:
    await cluster.create(pod("p", container("exit 0")))
    await cluster.until("p", phase_is("Succeeded"))
    await cluster.delete("p")
    assert (await cluster.until_gone("p"))["status"]["phase"] == "Succeeded"


async def test_finalizer_keeps_the_finished_object(cluster: Cluster) -> None:
    item = pod("p", container(PATIENT))
    item["metadata"]["finalizers"] = ["example.com/hold"]
    await cluster.run(item)
    await cluster.until_logged("p", "up")
    await cluster.delete("p")
    kept = await cluster.until("p", lambda item: item["metadata"].get("deletionGracePeriodSeconds") == 0)
    assert terminated(kept)["exitCode"] == 0
    await cluster.patch("p", {"metadata": {"finalizers": None}})
    await cluster.until_gone("p")


async def test_crash_loop_restarts_with_back_off_and_keeps_previous_logs(cluster: Cluster) -> None:
    await cluster.create(pod("p", container("echo run; exit 7"), restartPolicy="Always"))
    waiting = await cluster.until("p", lambda item: "waiting" in main_status(item)["state"] and _restarts(item) >= 1)
    assert main_status(waiting)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert main_status(waiting)["lastState"]["terminated"]["exitCode"] == 7
    assert waiting["status"]["phase"] == "Running"
    assert (await cluster.logs("p", previous="true")) == (200, "run\n")
    await cluster.delete("p")
    assert terminated(await cluster.until_gone("p"))["exitCode"] == 7


def _restarts(item: dict[str, object]) -> int:
    return int(main_status(item).get("restartCount", 0))


async def test_on_failure_restarts_until_success(cluster: Cluster) -> None:
    script = 'echo x >> "$HOME/runs"; [ "$(wc -l < "$HOME/runs")" -ge 2 ]'
    await cluster.create(pod("p", container(script), restartPolicy="OnFailure"))
    item = await cluster.until("p", phase_is("Succeeded", "Failed"))
    assert (item["status"]["phase"], main_status(item)["restartCount"]) == ("Succeeded", 1)
    assert main_status(item)["lastState"]["terminated"]["exitCode"] == 1


async def test_init_containers_come_first_and_sidecars_end_last_in_reverse(cluster: Cluster) -> None:
    def noting(name: str) -> str:
        on_term = f'trap "echo -{name} >> $HOME/order; exit 0" TERM'
        return f'echo +{name} >> "$HOME/order"; {on_term}; while :; do sleep 0.05; done'

    item = pod(
        "p",
        container(noting("main"), name="agent"),
        initContainers=[
            container('sleep 0.2; echo +init >> "$HOME/order"', name="init"),
            container(noting("one"), name="one", restartPolicy="Always"),
            container(noting("two"), name="two", restartPolicy="Always"),
        ],
    )
    running = await cluster.run(item)
    order = cluster.home(running) / "order"
    await cluster.until_true(lambda: order.exists() and len(order.read_text().split()) == 4)
    await cluster.patch("p", {"spec": {"activeDeadlineSeconds": 1}})
    ended = await cluster.until("p", phase_is("Failed"))
    words = order.read_text().split()
    assert words[0] == "+init"
    assert words[-3:] == ["-main", "-two", "-one"]
    assert [status["state"]["terminated"]["exitCode"] for status in ended["status"]["initContainerStatuses"]] == [
        0,
        0,
        0,
    ]


async def test_sidecars_are_ended_when_the_main_containers_have_finished(cluster: Cluster) -> None:
    sidecar = container(PATIENT, name="side", restartPolicy="Always")
    await cluster.create(pod("p", container("sleep 0.3"), initContainers=[sidecar]))
    item = await cluster.until("p", phase_is("Succeeded", "Failed"))
    assert item["status"]["phase"] == "Succeeded"
    assert "terminated" in item["status"]["initContainerStatuses"][0]["state"]


async def test_failed_init_container_fails_the_pod(cluster: Cluster) -> None:
    await cluster.create(pod("p", container("exit 0"), initContainers=[container("exit 9", name="init")]))
    item = await cluster.until("p", phase_is("Failed"))
    assert item["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 9
    assert "waiting" in main_status(item)["state"]


async def test_pre_stop_runs_before_sigterm(cluster: Cluster) -> None:
    script = 'trap "cat $HOME/hook; exit 0" TERM; echo up; while :; do sleep 0.05; done'
    hook = {"preStop": {"exec": {"command": ["sh", "-c", 'sleep 0.3; echo hook-was-here > "$HOME/hook"']}}}
    await cluster.run(pod("p", container(script, lifecycle=hook)))
    await cluster.until_logged("p", "up")
    await cluster.patch("p", {"spec": {"activeDeadlineSeconds": 1}})
    await cluster.until("p", phase_is("Failed"))
    assert (await cluster.logs("p"))[1] == "up\nhook-was-here\n"


async def test_pre_stop_ends_with_the_grace_period(cluster: Cluster) -> None:
    marker = f"hook-{cluster.namespace}"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "sleep 1000; :", marker]}}}
    await cluster.run(pod("p", container(PATIENT, lifecycle=hook), terminationGracePeriodSeconds=2))
    await cluster.until_logged("p", "up")
    await cluster.patch("p", {"spec": {"activeDeadlineSeconds": 1}})
    item = await cluster.until("p", phase_is("Failed"))
    assert terminated(item)["exitCode"] == 0
    assert not alive(marker)


async def test_environment(cluster: Cluster) -> None:
    await cluster.put("configmaps", {"metadata": {"name": "c"}, "data": {"key": "from-map", "OTHER": "all"}})
    secret = base64.b64encode(b"hidden").decode()
    await cluster.put("secrets", {"metadata": {"name": "s"}, "data": {"key": secret}})
    env = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['role']"}}},
        {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "key"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "MISSING", "valueFrom": {"secretKeyRef": {"name": "none", "key": "key", "optional": True}}},
        {"name": "JOINED", "value": "$(NAME)-$(MAP)-$(NONE)-$$(NAME)"},
    ]
    script = 'echo "$NAME $NODE $ADDRESS $LABEL $MAP $SECRET ${MISSING-unset} $JOINED $P_OTHER $0"'
    command = ["sh", "-c", script, "$(NAME)"]
    spec = container("", env=env, envFrom=[{"prefix": "P_", "configMapRef": {"name": "c"}}])
    item = pod("p", {**spec, "command": command})
    item["metadata"]["labels"] = {"role": "tester"}
    await cluster.create(item)
    await cluster.until("p", phase_is("Succeeded"))
    wanted = f"p {cluster.node_name} 127.0.0.1 tester from-map hidden unset p-from-map-$(NONE)-$(NAME) all p\n"
    assert (await cluster.logs("p"))[1] == wanted


async def test_missing_config_map_is_waited_for(cluster: Cluster) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "x"}}}]
    await cluster.create(pod("p", container('echo "$X"', env=env)))
    waiting = await cluster.until("p", lambda item: bool(main_status(item)["state"].get("waiting", {}).get("message")))
    reason = main_status(waiting)["state"]["waiting"]
    assert (reason["reason"], reason["message"]) == ("CreateContainerConfigError", 'configmap "late" not found')
    await cluster.put("configmaps", {"metadata": {"name": "late"}, "data": {"x": "came"}})
    await cluster.until("p", phase_is("Succeeded"))
    assert (await cluster.logs("p"))[1] == "came\n"


async def test_without_command_the_pod_waits_and_says_why(cluster: Cluster) -> None:
    await cluster.create(pod("p", {"name": "agent", "image": "python:3"}))
    item = await cluster.until("p", lambda item: bool(main_status(item)["state"].get("waiting", {}).get("message")))
    waiting = main_status(item)["state"]["waiting"]
    assert waiting["reason"] == "ErrImageNeverPull"
    assert "no images" in waiting["message"]
    assert "command" in waiting["message"]
    assert item["status"]["phase"] == "Pending"
    code, text = await cluster.logs("p")
    assert (code, "waiting to start" in text) == (400, True)
    await cluster.delete("p")
    await cluster.until_gone("p")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workingDir": "/does/not/exist"}, "no such file or directory"),
        ({"command": ["no-such-program"]}, "executable file not found in $PATH"),
        ({"command": ["/etc/passwd"]}, "permission denied"),
    ],
)
async def test_failed_start_is_reported(cluster: Cluster, change: dict[str, object], words: str) -> None:
    await cluster.create(pod("p", {**container("exit 0"), **change}))
    item = await cluster.until("p", phase_is("Failed"))
    end = terminated(item)
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert words in end["message"]


async def test_mounts_are_not_made_and_an_event_says_so(cluster: Cluster) -> None:
    spec = container("exit 0", volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}])
    await cluster.create(pod("p", spec, volumes=[{"name": "scratch", "emptyDir": {}}]))
    await cluster.until("p", phase_is("Succeeded"))

    async def told() -> bool:
        return "/scratch" in (await cluster.events("p")).get("VolumesNotMounted", "")

    await cluster.until_true(told)


async def test_deadline_of_a_pod_that_never_ran(cluster: Cluster) -> None:
    await cluster.create(pod("p", {"name": "agent", "image": "none"}, activeDeadlineSeconds=1))
    item = await cluster.until("p", phase_is("Failed"))
    assert item["status"]["reason"] == "DeadlineExceeded"
    assert (terminated(item)["exitCode"], terminated(item)["reason"]) == (137, "ContainerStatusUnknown")


async def test_pod_that_others_declared_failed_is_ended(cluster: Cluster) -> None:
    marker = f"failed-{cluster.namespace}"
    await cluster.run(pod("p", container(f'exec python3 -c "import time; time.sleep(1000)" {marker}')))
    await cluster.until_true(lambda: alive(marker))
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/p/status"
    body = {"status": {"phase": "Failed", "reason": "Evicted"}}
    await cluster.api.request("PATCH", path, body, content_type=MERGE_PATCH)
    await cluster.until_true(lambda: not alive(marker))
    item = await cluster.until("p", lambda item: bool(terminated(item)))
    assert (item["status"]["phase"], item["status"]["reason"]) == ("Failed", "Evicted")


async def test_deletion_at_any_moment_leaves_nothing(cluster: Cluster) -> None:
    marker = f"storm-{cluster.namespace}"
    script = f'exec python3 -c "import time; time.sleep(1000)" {marker}'

    async def one(number: int) -> None:
        name = f"p{number}"
        hook = {"preStop": {"exec": {"command": ["true"]}}} if number % 3 == 0 else {}
        init = [container("sleep 0.05", name="init")] if number % 2 else []
        await cluster.create(pod(name, container(script, lifecycle=hook), initContainers=init))
        await asyncio.sleep(number * 0.01)
        await cluster.delete(name, grace=(None, 0, 1)[number % 3])
        await cluster.until_gone(name)

    await asyncio.gather(*(one(number) for number in range(40)))
    await cluster.until_true(lambda: not alive(marker))
    await cluster.until_true(lambda: not list((cluster.data_dir / "pods").iterdir()))


async def test_few_status_writes(cluster: Cluster) -> None:
    await cluster.run(pod("p", container(PATIENT)))
    await cluster.until_logged("p", "up")
    await cluster.delete("p")
    await cluster.until_gone("p")
    statuses = [item["status"] for _, item in cluster.history["p"]]
    changes = [new for old, new in itertools.pairwise(statuses) if new != old]
    # Bound, running, ended; one to spare for a write before it runs.
    assert len(changes) <= 4

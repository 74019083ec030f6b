"""The containers of a pod that the node sees for the first time, from what the API says about them."""

from typing import Any

from agentstop_playground import times
from agentstop_playground.node.containers import (
    UNKNOWN_EXIT_CODE,
    UNKNOWN_MESSAGE,
    UNKNOWN_REASON,
    Container,
    Role,
    State,
    Terminated,
    Waiting,
    after_exit,
    roles,
)

KEYS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
"""Where a pod's status has its containers."""


def containers_of(pod: dict[str, Any], restart_policy: str, now: float) -> list[Container]:
    """New containers for a new pod; for one that ran before, what is known of it.

    A container that the API still calls running belonged to an earlier life of the node, whose processes ended with it:
    as after a reboot of a machine it has terminated, nobody saw how (137, ContainerStatusUnknown).
    """
    status = pod.get("status") or {}
    known = {item["name"]: item for key in KEYS for item in status.get(key) or []}
    waiting = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
    result: list[Container] = []
    for role, spec in roles(pod):
        container = Container(
            spec["name"], role, spec, Waiting("ContainerCreating" if role is not Role.MAIN else waiting)
        )
        if spec["name"] in known:
            _adopt(container, known[spec["name"]], restart_policy, now)
        result.append(container)
    return result


def _adopt(container: Container, known: dict[str, Any], restart_policy: str, now: float) -> None:
    container.restart_count = known.get("restartCount") or 0
    container.container_id = known.get("containerID") or ""
    state = _state(known.get("state") or {}, container.container_id)
    last = _state(known.get("lastState") or {}, "")
    container.last = last if isinstance(last, Terminated) else None
    if state is None and container.last is not None:
        # It waited for a restart: go on from the end that it waited after.
        state, container.last = container.last, None
    if isinstance(state, Terminated):
        container.state = state
        after_exit(container, restart_policy, 0.0, now)


def _state(known: dict[str, Any], container_id: str) -> State | None:
    if "running" in known:
        started = times.parse(known["running"].get("startedAt"))
        return Terminated(UNKNOWN_EXIT_CODE, UNKNOWN_REASON, UNKNOWN_MESSAGE, started, times.now(), container_id)
    ended = known.get("terminated")
    if ended is None:
        return None
    return Terminated(
        ended["exitCode"],
        ended.get("reason") or "Error",
        ended.get("message") or "",
        times.parse(ended.get("startedAt")),
        times.parse(ended.get("finishedAt")),
        ended.get("containerID") or "",
    )

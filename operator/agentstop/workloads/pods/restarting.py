"""Whether a kubelet starts a container again after its end: the pod's policy, the container's own, and its rules.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy (container rules: KEP-5307,
the restart of all containers: KEP-5532)
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

RESTART_ALL: Final = "RestartAllContainers"
ALL_RESTARTING: Final = "AllContainersRestarting"
"""The action of a rule that starts all containers of the pod again, and the pod's condition while that goes on."""


class Role(StrEnum):
    """What a container is for."""

    INIT = "init"
    SIDECAR = "sidecar"
    MAIN = "main"
    EPHEMERAL = "ephemeral"


class Restart(StrEnum):
    """Whether a container is started again after the end that it had."""

    NO = "no"
    POD_POLICY = "podPolicy"
    """The policy of its pod says so, which holds for all containers alike."""
    OWN_RULE = "ownRule"
    """Its own policy or one of its own rules says so."""


def restart_after(container: Mapping[str, Any], pod_policy: str, role: Role, exit_code: int | None) -> Restart:
    """Say whether a container with this exit code is started again; without an exit code it counts as a failure."""
    if role is Role.EPHEMERAL:
        return Restart.NO
    own = container.get("restartPolicy")
    if own is None:
        return Restart.POD_POLICY if _restarts(pod_policy, role, exit_code) else Restart.NO
    if _matching_action(container, exit_code) is not None:
        return Restart.OWN_RULE
    return Restart.OWN_RULE if _restarts(own, role, exit_code) else Restart.NO


def may_restart(container: Mapping[str, Any], pod_policy: str, role: Role) -> bool:
    """Whether there is any end after which a container is started again by its own policy, its rules or its pod's.

    An init container counts that has succeeded: it runs once more where the pod's sandbox is made anew.
    """
    if role is Role.EPHEMERAL:
        return False
    own = container.get("restartPolicy")
    return (own is not None and bool(container.get("restartPolicyRules"))) or (own or pod_policy) != "Never"


def rules_restart_all(spec: Mapping[str, Any]) -> bool:
    """Whether there is a rule by which the end of one container has all of a pod started again."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    rules = (rule for each in containers for rule in each.get("restartPolicyRules") or ())
    return any(rule.get("action") == RESTART_ALL for rule in rules)


def restarts_all(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether all containers of a pod are being started again because of the end of one of them."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == ALL_RESTARTING and condition.get("status") == "True":
            return True
    for specs, statuses in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        ruled = [each for each in spec.get(specs) or () if each.get("restartPolicyRules")]
        codes = {each["name"]: _exit_code(each) for each in status.get(statuses) or ()} if ruled else {}
        if any(_matching_action(each, codes.get(each["name"])) == RESTART_ALL for each in ruled):
            return True
    return False


def _restarts(policy: str, role: Role, exit_code: int | None) -> bool:
    """Apply a policy: an init container that succeeds is never started again, a sidecar always.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#detailed-behavior
    """
    if role is Role.INIT:
        return policy != "Never" and exit_code != 0
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _matching_action(container: Mapping[str, Any], exit_code: int | None) -> str | None:
    """Return the action of the first rule that an exit code meets; rules count only beside a policy of its own."""
    if exit_code is None or container.get("restartPolicy") is None:
        return None
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or ())
        if listed == (codes.get("operator") == "In"):
            action: str | None = rule.get("action")
            return action
    return None


def _exit_code(status: Mapping[str, Any]) -> int | None:
    code: int | None = ((status.get("state") or {}).get("terminated") or {}).get("exitCode")
    return code

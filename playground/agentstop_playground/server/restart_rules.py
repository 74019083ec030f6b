"""A container's own restart policy and rules: what the server refuses, and who may be started again.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restart-rules
"""

from __future__ import annotations

from typing import Final

from .errors import FieldError, invalid, not_supported, required
from .wire import Json

_POLICIES: Final = ("Always", "Never", "OnFailure")
_ACTIONS: Final = ("Restart", "RestartAllContainers")
_OPERATORS: Final = ("In", "NotIn")


def check_rules(place: str, container: Json) -> list[FieldError]:
    """What is wrong with the restart policy and the rules of one container."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    errors: list[FieldError] = []
    if policy is not None and policy not in _POLICIES:
        errors.append(not_supported(f"{place}.restartPolicy", policy, _POLICIES))
    if rules and policy is None:
        errors.append(required(f"{place}.restartPolicy", "must specify restartPolicy when restart rules are used"))
    for index, rule in enumerate(rules):
        spot = f"{place}.restartPolicyRules[{index}]"
        codes = rule.get("exitCodes")
        if rule.get("action") not in _ACTIONS:
            errors.append(not_supported(f"{spot}.action", rule.get("action"), _ACTIONS))
        if codes is None:
            errors.append(required(f"{spot}.exitCodes", "must be specified"))
        elif codes.get("operator") not in _OPERATORS:
            errors.append(not_supported(f"{spot}.exitCodes.operator", codes.get("operator"), _OPERATORS))
        elif not codes.get("values"):
            detail = "must specify at least one value"
            errors.append(invalid(f"{spot}.exitCodes.values", codes.get("values"), detail))
    return errors


def may_come_back(container: Json, pod_policy: str | None, exit_code: int) -> bool:
    """Whether a status may say of a container that it runs again after it ended with this exit code."""
    own = container.get("restartPolicy")
    if own and container.get("restartPolicyRules"):
        return True
    policy = own or pod_policy
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)

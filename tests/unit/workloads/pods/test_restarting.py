"""Which containers a kubelet starts again."""

from typing import Any

import pytest

from agentstop.workloads.pods.restarting import Restart, Role, restart_after, restarts_all

Raw = dict[str, Any]


def rule(operator: str, *values: int, action: str = "Restart") -> Raw:
    return {"action": action, "exitCodes": {"operator": operator, "values": list(values)}}


@pytest.mark.parametrize(
    ("container", "policy", "role", "code", "expected"),
    [
        ({}, "Always", Role.MAIN, 0, Restart.POD_POLICY),
        ({}, "OnFailure", Role.MAIN, 0, Restart.NO),
        ({}, "OnFailure", Role.MAIN, 1, Restart.POD_POLICY),
        ({}, "Never", Role.MAIN, 1, Restart.NO),
        ({}, "Always", Role.INIT, 0, Restart.NO),
        ({}, "Always", Role.INIT, 1, Restart.POD_POLICY),
        ({}, "Always", Role.EPHEMERAL, 1, Restart.NO),
        ({"restartPolicy": "Always"}, "Never", Role.SIDECAR, 0, Restart.OWN_RULE),
        ({"restartPolicy": "Never"}, "Always", Role.MAIN, 1, Restart.NO),
        ({"restartPolicy": "Never", "restartPolicyRules": [rule("In", 42)]}, "Never", Role.MAIN, 42, Restart.OWN_RULE),
        ({"restartPolicy": "Never", "restartPolicyRules": [rule("In", 42)]}, "Never", Role.MAIN, 1, Restart.NO),
        ({"restartPolicy": "Never", "restartPolicyRules": [rule("NotIn", 0)]}, "Never", Role.MAIN, 7, Restart.OWN_RULE),
        ({"restartPolicy": "Never", "restartPolicyRules": [rule("NotIn", 0)]}, "Never", Role.MAIN, 0, Restart.NO),
        ({"restartPolicyRules": [rule("In", 42)]}, "Never", Role.MAIN, 42, Restart.NO),
        ({"restartPolicy": "Never", "restartPolicyRules": [rule("In", 42)]}, "Never", Role.MAIN, None, Restart.NO),
    ],
)
def test_restarts(container: Raw, policy: str, role: Role, code: int | None, expected: Restart) -> None:
    assert restart_after(container, policy, role, code) is expected


def test_one_end_may_start_all_containers_again() -> None:
    everything = rule("In", 88, action="RestartAllContainers")
    spec = {"containers": [{"name": "a", "restartPolicy": "Never", "restartPolicyRules": [everything]}]}

    def ended(code: int) -> Raw:
        return {"containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": code}}}]}

    assert restarts_all(spec, ended(88))
    assert not restarts_all(spec, ended(1))
    assert restarts_all(spec, {"conditions": [{"type": "AllContainersRestarting", "status": "True"}]})
    assert not restarts_all(spec, {})

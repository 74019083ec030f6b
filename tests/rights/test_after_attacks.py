"""After each attack, with what the attacker made still there: the brake works for all others, and stops the attacker.

Also after the operator was started anew; and an administrator can clean up.
"""

import pytest

from tests.support.aftermath import Aftermath
from tests.support.kube import PODS, TASKS
from tests.support.namespaces import Namespace
from tests.support.workloads import Workloads

from .attacks import ATTACKS, Attack, Field
from .conftest import Users


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_is_nobody_elses_trouble(
    ns: Namespace, users: Users, workloads: Workloads, aftermath: Aftermath, attack: Attack
) -> None:
    left = await attack(Field(ns, users, workloads))
    await aftermath.check(ns.name, stops=left.before, stops_later=left.after)
    assert not await ns.kube.list(TASKS, ns.name)
    assert not await ns.kube.list(PODS, ns.name)

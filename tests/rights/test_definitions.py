"""The operator compares its definitions with the cluster's, with the rights that the chart gives it."""

from tests.support.kube import CRDS
from tests.support.namespaces import Namespace
from tests.support.operators import Operators
from tests.support.waiting import until

NAME = "stoporders.agentstop.dev"
SAYS = "another version's"


async def test_those_of_this_version_are_known_as_such_and_others_are_named(
    ns: Namespace, operators: Operators
) -> None:
    """What a real API server fills in by itself is no difference."""
    operator = await operators.start(ns.name)
    await until(lambda: "ready:" in operator.program.text(), 20, "ready")
    await ns.nothing_happens(3)
    assert SAYS not in operator.program.text()
    await operators.end_private()
    before = (await ns.kube.get(CRDS, "", NAME))["spec"]["versions"]
    (version,) = before
    fewer = {**version, "additionalPrinterColumns": version["additionalPrinterColumns"][:-1]}
    await ns.kube.merge(CRDS, "", NAME, {"spec": {"versions": [fewer]}})
    try:
        operator = await operators.start(ns.name)
        await until(lambda: f"{NAME} is {SAYS}" in operator.program.text(), 20, "named")
        assert "agenttasks" not in operator.program.text()
    finally:
        await ns.kube.merge(CRDS, "", NAME, {"spec": {"versions": before}})
        await operators.end_private()

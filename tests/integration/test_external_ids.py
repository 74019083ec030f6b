"""What another platform calls a task: any printable text, for good."""

import pytest

from tests.support import agents
from tests.support.kube import TASKS, KubeError
from tests.support.namespaces import Namespace

ODD = "run 7/\u00e4\u4e2d\U0001f6d1~" + "x" * 243
"""Has 253 characters, and more bytes."""


@pytest.mark.usefixtures("launch")
async def test_any_printable_text_is_one_and_can_be_selected(ns: Namespace) -> None:
    await ns.create_task("a", agents.template(), externalID=ODD)
    await ns.create_task("b", agents.template(), externalID="9qQe2F8Z_nXx9")
    await ns.create_task("c", agents.template())
    found = await ns.kube.list(TASKS, ns.name, fieldSelector="spec.externalID=9qQe2F8Z_nXx9")
    assert [each["metadata"]["name"] for each in found] == ["b"]
    assert (await ns.task("a"))["spec"]["externalID"] == ODD


@pytest.mark.usefixtures("launch")
@pytest.mark.parametrize("text", ["a\nb", "a\x01b", "\x1b[31m", "a\u2028b", "\u200e", "", ODD + "x"])
async def test_other_texts_are_refused(ns: Namespace, text: str) -> None:
    with pytest.raises(KubeError, match="externalID"):
        await ns.create_task("a", agents.template(), externalID=text)


@pytest.mark.usefixtures("launch")
@pytest.mark.parametrize(("former", "later"), [("a", "b"), ("a", None), (None, "a")])
async def test_it_stays(ns: Namespace, former: str | None, later: str | None) -> None:
    await ns.create_task("a", agents.template(), **({"externalID": former} if former else {}))
    with pytest.raises(KubeError, match="externalID is immutable"):
        await ns.patch("a", externalID=later)

"""`freeze` and `thaw`, `order stop` and `order kill`: what they ask for, and what they say."""

import pytest

from tests.plugin.commands import Cli
from tests.plugin.paper import EARLIER, Paper
from tests.support.kube import Object
from tests.support.waiting import PATIENCE, until

RUNS: Object = {"phase": "Running", "startedAt": EARLIER}
FROZEN: Object = {
    "phase": "Paused",
    "reason": "Frozen",
    "pausePolicy": "Freeze",
    "startedAt": EARLIER,
    "pausedAt": EARLIER,
}


def by(order: Object) -> Object:
    return {"frozenBy": {"kind": "StopOrder", "name": order["metadata"]["name"], "uid": order["metadata"]["uid"]}}


async def test_a_name_freezes_and_thaws_the_task_itself(cli: Cli, paper: Paper) -> None:
    for name in ("a", "b"):
        await paper.task(name, RUNS)
    done = await cli("freeze", "a", "b", "-y", "--no-wait", "-n", paper.namespace)
    assert (done.code, done.out) == (0, "a is to be frozen\nb is to be frozen\n"), done.err
    for name in ("a", "b"):
        spec = (await paper.get(name))["spec"]
        assert (spec["paused"], spec["pausePolicy"]) == (True, "Freeze")
        await paper.write(name, **FROZEN)
    shown = await cli("list", "-n", paper.namespace)
    assert shown.out.count("Paused (frozen)") == 2

    done = await cli("thaw", "a", "--no-wait", "-n", paper.namespace)
    assert (done.code, done.out) == (0, "a is to be thawed\n"), done.err
    assert [(await paper.get(name))["spec"]["paused"] for name in ("a", "b")] == [False, True]
    assert await paper.orders() == []


async def test_it_is_followed_until_the_kernel_says_so(cli: Cli, paper: Paper) -> None:
    await paper.task("a", RUNS)
    run = cli("freeze", "a", "--wait", "-n", paper.namespace)
    await until(lambda: _is_paused(paper), PATIENCE, "asked for")
    await paper.write("a", **RUNS | {"phase": "Pausing", "reason": "Freezing"})
    await paper.write("a", **FROZEN)
    done = await run

    assert (done.code, "a is Paused (frozen)" in done.out) == (0, True), done.err


async def _is_paused(paper: Paper) -> bool:
    return (await paper.get("a"))["spec"]["paused"] is True


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (("-l", "team=a"), {"selector": {"matchLabels": {"team": "a"}}}),
        (("--agent", "x", "--then", "kill"), {"selector": {}, "agents": ["x"], "then": "Kill"}),
        (("--all", "--reason", "Incident"), {"selector": {}, "reason": "Incident"}),
    ],
)
async def test_all_else_makes_an_order(cli: Cli, paper: Paper, words: tuple[str, ...], spec: Object) -> None:
    done = await cli("freeze", *words, "-y", "--no-wait", "-n", paper.namespace)
    assert done.code == 0, done.err
    (order,) = await paper.orders()

    assert order["metadata"]["name"].startswith("freeze-")
    assert {name: order["spec"].get(name) for name in spec} == spec
    assert (order["spec"]["freeze"], order["spec"]["drill"]) == (True, False)
    assert "then" in spec or "then" not in order["spec"]


async def test_an_order_says_how_many_are_frozen_and_how_it_goes_on(cli: Cli, paper: Paper) -> None:
    run = cli("freeze", "--all", "-y", "--wait", "-n", paper.namespace)
    await until(paper.orders, PATIENCE, "made")
    (order,) = await paper.orders()
    name = order["metadata"]["name"]
    await paper.write_order(name, phase="Freezing", freezeStartedAt=EARLIER, matched=3, frozen=1)
    await paper.write_order(name, phase="Frozen", freezeStartedAt=EARLIER, matched=3, frozen=2, freezeSeconds=0.085)
    done = await run

    assert done.code == 0, done.err
    assert "2 tasks frozen in 0.09s; nothing runs of 1 more" in done.out
    assert f"agentstop order lift {name} -n {paper.namespace}" in done.out
    assert f"agentstop order kill {name} -n {paper.namespace}" in done.out
    shown = await cli("order", "get", name, "-n", paper.namespace)
    assert "  freezes     everything" in shown.out
    assert "the last was frozen after 0.09s" in shown.out


async def test_what_cannot_be_frozen_is_told(cli: Cli, paper: Paper) -> None:
    order = await paper.order(freeze=True)
    name = order["metadata"]["name"]
    task = {"namespace": paper.namespace, "name": "a", "reason": "LivenessProbe", "message": "it has one"}
    status: Object = {"freezeStartedAt": EARLIER, "matched": 2, "frozen": 1, "stalled": [task], "stalledCount": 1}
    await paper.write_order(name, phase="Freezing", **status)
    done = await cli("order", "get", "-w", name, "--timeout", "1s", "-n", paper.namespace)

    assert done.code in {3, 4}
    assert f"{paper.namespace}/a: LivenessProbe" in done.err
    listed = await cli("order", "list", "-n", paper.namespace)
    assert ["Freezing", "-", "2", "1", "-", "1"] in [line.split()[3:9] for line in listed.out.splitlines()]


async def test_thaw_lifts_the_orders_of_the_same_words(cli: Cli, paper: Paper) -> None:
    one, other = [await paper.order(selector={"matchLabels": {"team": team}}, freeze=True) for team in ("a", "b")]
    await paper.task("a", FROZEN | by(one), {"team": "a"})
    await paper.task("kept", FROZEN | by(other), {"team": "a"})
    own = await paper.task("own", FROZEN, {"team": "a"}, paused=True, pausePolicy="Freeze")
    done = await cli("thaw", "-l", "team=a", "-y", "--no-wait", "-n", paper.namespace)

    assert (done.code, sorted(done.out.splitlines())) == (0, ["a is to be thawed", "own is to be thawed"]), done.err
    assert f"StopOrder {other['metadata']['name']} freezes some of them" in done.err
    then = {each["metadata"]["name"]: each["spec"].get("then") for each in await paper.orders()}
    assert then == {one["metadata"]["name"]: "Resume", other["metadata"]["name"]: None}
    assert (await paper.get(own["metadata"]["name"]))["spec"]["paused"] is False


async def test_thaw_of_all_lifts_every_order_that_freezes(cli: Cli, paper: Paper) -> None:
    await paper.order("one", freeze=True, selector={"matchLabels": {"team": "a"}})
    await paper.order("stop")
    await paper.order("ends", freeze=True, then="Stop")
    dry = await cli("thaw", "--all", "--dry-run", "-n", paper.namespace)
    assert "stoporder/one would be lifted" in dry.err
    done = await cli("thaw", "--all", "-y", "--no-wait", "-n", paper.namespace)

    assert done.code == 0, done.err
    then = {each["metadata"]["name"]: each["spec"].get("then") for each in await paper.orders()}
    assert then == {"one": "Resume", "stop": None, "ends": "Stop"}
    again = await cli("thaw", "--all", "-y", "-n", paper.namespace)
    assert (again.code, "there is nothing to thaw" in again.out) == (0, True)


@pytest.mark.parametrize("verb", ["thaw", "resume"])
async def test_what_an_order_has_frozen_goes_with_the_order_alone(cli: Cli, paper: Paper, verb: str) -> None:
    order = await paper.order(freeze=True)
    await paper.task("a", FROZEN | by(order))
    done = await cli(verb, "a", "-n", paper.namespace)

    name = order["metadata"]["name"]
    assert done.code == 1
    lift = f"agentstop order lift {name} -n {paper.namespace}"
    assert done.line == f"a is frozen by StopOrder {name}; let go all that it froze: {lift}"
    lifted = await cli("order", "lift", name, "-n", paper.namespace)
    assert "what it froze goes on where it was" in lifted.out
    assert (await paper.orders())[0]["spec"]["then"] == "Resume"
    again = await cli("order", "lift", name, "-n", paper.namespace)
    assert (again.code, again.out) == (0, f"StopOrder {name} was lifted before\n")


@pytest.mark.parametrize("verb", ["stop", "kill"])
async def test_what_an_order_has_frozen_is_ended_by_it(cli: Cli, paper: Paper, verb: str) -> None:
    await paper.order("o", freeze=True)
    asked = await cli("order", verb, "o", "-n", paper.namespace)
    assert (asked.code, "add -y" in asked.line) == (2, True)
    done = await cli("order", verb, "o", "-y", "--no-wait", "-n", paper.namespace)
    assert done.code == 0, done.err
    assert (await paper.orders())[0]["spec"]["then"] == verb.capitalize()

    again = await cli("order", "kill", "o", "-y", "-n", paper.namespace)
    assert (again.code, f"StopOrder o was told to {verb}" in again.line) == (1, True)
    await paper.order("plain")
    other = await cli("order", "kill", "plain", "-y", "-n", paper.namespace)
    assert "StopOrder plain freezes nothing" in other.line


async def test_why_and_the_tree_name_the_order_and_say_since_when(cli: Cli, paper: Paper) -> None:
    order = await paper.order(freeze=True)
    name = order["metadata"]["name"]
    message = "The kernel holds what runs, as StopOrder o asks for"
    await paper.task("a", FROZEN | by(order) | {"message": message})
    done = await cli("why", "a", "-n", paper.namespace)

    assert "a is Paused (frozen), started" in done.out
    assert message in done.out
    assert f"frozen by StopOrder {name} since 2026-01-02 " in done.out
    assert f"agentstop order lift {name}" in done.out
    tree = await cli("get", "a", "-n", paper.namespace)
    assert f"frozen by  StopOrder {name} since 2026-01-02 " in tree.out
    assert f"frozen: the kernel holds all processes, for StopOrder {name}" in tree.out


async def test_why_and_the_tree_say_of_a_task_that_has_itself_frozen_how_it_goes_on(cli: Cli, paper: Paper) -> None:
    await paper.task("a", FROZEN, paused=True, pausePolicy="Freeze")
    done = await cli("why", "a", "-n", paper.namespace)

    assert "frozen by its own spec since 2026-01-02 " in done.out
    assert f"agentstop thaw a -n {paper.namespace}" in done.out
    assert "frozen by  its own spec since " in (await cli("get", "a", "-n", paper.namespace)).out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("freeze", "a", "--then", "kill"), "a NAME makes no order"),
        (("freeze",), "say which tasks"),
        (("order", "create", "--all", "--then", "kill"), "--then is for --freeze"),
        (("freeze", "--all"), "add -y"),
    ],
)
async def test_what_makes_no_sense(cli: Cli, paper: Paper, words: tuple[str, ...], says: str) -> None:
    done = await cli(*words, "-n", paper.namespace)

    assert (done.code, says in done.line) == (2, True), done.err
    assert await paper.orders() == []

"""Every verb against statuses that the test writes, one behaviour each."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agentstop.api.crd import crds
from tests.plugin.commands import Cli, Terminal
from tests.plugin.paper import EARLIER, EVENTS, STOP, STOPPED, Paper, stalled
from tests.support.clusters import Cluster
from tests.support.kube import TASKS, Object
from tests.support.waiting import PATIENCE, until

# stop


async def test_a_stop_that_is_not_waited_for(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running"})
    done = await cli("stop", "a", "-n", paper.namespace)
    assert (done.code, done.err) == (0, "")
    assert "the stop of a is requested" in done.out
    assert (await paper.get("a"))["spec"]["stopRequested"] is True


async def test_a_dry_run_of_one_changes_nothing(cli: Cli, paper: Paper) -> None:
    before = await paper.task("a", {"phase": "Running"})
    done = await cli("stop", "a", "--dry-run", "-n", paper.namespace)
    assert (done.code, "would be stopped" in done.out) == (0, True)
    assert await paper.get("a") == before


async def test_one_that_has_ended_is_stopped_as_asked(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Completed", "message": "All well"})
    done = await cli("stop", "a", "--wait", "-n", paper.namespace)
    assert (done.code, "had ended by itself: Completed (All well)" in done.out) == (0, True)


async def test_a_stop_that_is_stalled(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running"})
    waiting = cli("stop", "a", "--wait", "--timeout", "3s", "-n", paper.namespace)
    await until(lambda: _stop_requested(paper, "a"), PATIENCE, "the stop is requested")
    await paper.write(
        "a", phase="Stopping", stop=STOP, conditions=[stalled("NodeUnreachable", "node n does not answer")]
    )
    done = await waiting
    assert done.code == 4
    assert "held up: NodeUnreachable: node n does not answer" in done.err


async def _stop_requested(paper: Paper, name: str) -> bool:
    return bool((await paper.get(name))["spec"].get("stopRequested"))


async def test_nobody_takes_the_stop_up(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running"})
    done = await cli("stop", "a", "--timeout", "6s", "-n", paper.namespace)
    assert done.code == 4
    assert "no operator has taken it up yet" in done.err


async def test_more_than_one_is_not_stopped_without_a_yes(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running"})
    for words in (("--all",), ("a", "b"), ("-l", "x=y"), ("--agent", "z", "-A")):
        done = await cli("stop", *words, "-n", paper.namespace)
        assert (done.code, "add -y" in done.line) == (2, True)
    assert not await paper.orders()


async def test_a_terminal_asks_before_it_is_more_than_one(cli: Cli, paper: Paper, tmp_path: Path) -> None:
    for name in ("a", "b"):
        await paper.task(name, {"phase": "Running"}, labels={"team": "x"})
    terminal = await Terminal.start(cli, tmp_path, "stop", "-l", "team=x", "-n", paper.namespace)
    await terminal.shows(f"Stop 2 tasks with team=x in namespace {paper.namespace}? [y/N]")
    terminal.type("n\n")
    assert await terminal.ended() == 1
    assert not await paper.orders()


async def test_selectors_make_one_order(cli: Cli, paper: Paper) -> None:
    words = ("-l", "team=x,tier!=test", "--agent", "b", "--agent", "a", "--grace", "2m", "--reason", "Incident")
    done = await cli("stop", *words, "-y", "-n", paper.namespace, "-o", "name")
    assert done.code == 0, done.err
    (order,) = await paper.orders()
    assert done.out.strip() == f"stoporder.agentstop.dev/{order['metadata']['name']}"
    assert order["spec"] == {
        "selector": {
            "matchLabels": {"team": "x"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["test"]}],
        },
        "agents": ["a", "b"],
        "reason": "Incident",
        "gracePeriodSeconds": 120,
        "hold": False,
        "freeze": False,
        "drill": False,
        "ttlSecondsAfterFinished": 604_800,
    }


async def test_an_order_is_followed_to_its_end(cli: Cli, paper: Paper) -> None:
    waiting = cli("stop", "--all", "-y", "--wait", "-n", paper.namespace)

    async def made() -> bool:
        return bool(await paper.orders())

    await until(made, PATIENCE, "an order")
    name = (await paper.orders())[0]["metadata"]["name"]
    begun: Object = {"matched": 812, "startedAt": EARLIER}
    await paper.write_order(name, phase="Stopping", stopping=400, stopped={"graceful": 412}, **begun)
    counts = {"graceful": 790, "killed": 14, "notStarted": 5, "other": 3}
    ended: Object = {"signalSeconds": 1.9, "haltSeconds": 12.4, "alreadyFinished": 40}
    await paper.write_order(name, phase="Complete", stopping=0, stopped=counts, **begun, **ended)
    done = await waiting
    assert done.code == 0, done.err
    assert "812 tasks stopped in 12s: 790 graceful, 14 killed, 5 not started, 3 other" in done.out
    assert "40 tasks had ended before" in done.out


async def test_a_name_that_is_not_there_does_not_save_the_others(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running"})
    done = await cli("stop", "a", "nix", "-y", "-n", paper.namespace)
    assert (done.code, "there is no task 'nix'" in done.err) == (6, True)
    assert len(await paper.orders()) == 1


async def test_nothing_is_made_if_no_name_is_there(cli: Cli, paper: Paper) -> None:
    done = await cli("stop", "nix", "nox", "-y", "-n", paper.namespace)
    assert done.code == 6
    assert not await paper.orders()


# errors


async def test_a_name_is_guessed(cli: Cli, paper: Paper) -> None:
    await paper.task("research-42")
    done = await cli("stop", "reserch-42", "-n", paper.namespace)
    assert (done.code, done.line.endswith("Did you mean research-42?")) == (6, True)


async def test_the_right_namespace_is_named(cli: Cli, paper: Paper) -> None:
    name = f"only-{paper.namespace}"
    await paper.task(name)
    done = await cli("stop", name, "-n", "default")
    assert (done.code, done.line.endswith(f"add -n {paper.namespace}")) == (6, True)


async def test_rules_of_the_api_are_told_in_their_words(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running"})
    done = await cli("stop", "a", "-n", paper.namespace, "--reason", "two words")
    assert (done.code, "CamelCase" in done.line) == (1, True)


async def test_without_the_definitions(tmp_path: Path) -> None:
    from tests.support import clusters, definitions

    async with clusters.playground(tmp_path, crds=False) as cluster:
        cli = Cli(cluster.kubeconfig)
        done, checked = await asyncio.gather(cli("stop", "a"), cli("check"))
        all_but_usage = [each for each in crds().values() if each["spec"]["names"]["kind"] != "TaskUsage"]
        await definitions.install(cluster.kube, all_but_usage)
        without = await cli("check")
    assert (done.code, "agentstop crds | kubectl apply -f -" in done.line) == (1, True)
    assert (checked.code, "is not there" in checked.out) == (1, True)
    # A cluster may do without this one.
    assert (without.code, "- taskusages.agentstop.dev" in without.out) == (0, True), without.out
    assert "so that budgets have no effect" in without.out


async def test_an_api_server_that_is_not_there(bare: Cluster) -> None:
    done = await Cli(bare.kubeconfig)("stop", "a", "--server", "http://127.0.0.1:1")
    assert (done.code, done.line.startswith("cannot reach the API server http://127.0.0.1:1")) == (1, True)


async def test_a_token_that_is_not_known(cli: Cli, bare: Cluster) -> None:
    # The playground takes its token as a part of the path, too.
    server = urlsplit(bare.kube.url)
    done = await cli("list", "--server", f"{server.scheme}://{server.netloc}", "--token", "wrong")
    assert (done.code, "log in again" in done.line) == (5, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("stop",), "say which tasks"),
        (("stop", "a", "--all"), "not both"),
        (("stop", "a", "-A"), "-n NAMESPACE"),
        (("stop", "--all", "-l", "x=y"), "--all is every task"),
        (("stop", "a", "--now", "--grace", "5s"), "give one of them"),
        (("stop", "a", "--grace", "0"), "the least is 1s"),
        (("stop", "-l", "a b", "-y"), "no label selector"),
        (("stpo", "a"), "did you mean stop?"),
        (("order", "create", "x", "--all", "--namespace-selector", "a=b"), "is for -A"),
        (("list", "--since", "soon"), "write it as 10s"),
    ],
)
async def test_wrong_usage(cli: Cli, words: tuple[str, ...], says: str) -> None:
    done = await cli(*words)
    assert done.code == 2
    assert says in done.line
    assert "--help" in done.line


# list


async def test_the_list(cli: Cli, paper: Paper) -> None:
    await paper.task("a", STOPPED, agent="researcher")
    await paper.task("b", {"phase": "Running", "startedAt": EARLIER})
    held = stalled("NodeUnreachable", "...")
    await paper.task("c", {"phase": "Stopping", "stop": STOP, "conditions": [held]}, stopRequested=True)
    done = await cli("list", "-n", paper.namespace)
    head, *rows = [line.split("   ") for line in done.out.splitlines()]
    assert [cell.strip() for cell in head if cell] == [
        "NAME",
        "AGENT",
        "PHASE",
        "VERDICT",
        "STOPPED-BY",
        "TOOK",
        "RAN",
        "AGE",
    ]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0][:7] == ["a", "researcher", "Stopped", "Graceful", "jane@example.com", "4.5s", "4m4s"]
    assert [row[2] for row in cells] == ["Stopped", "Running", "Stopping, held up"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--running",), "bc"),
        (("--stopped-by", "jane@example.com"), "ac"),
        (("--stopped-by", "Deadline"), "d"),
        (("--agent", "x"), "a"),
        (("-l", "team=t"), "b"),
        (("--since", "100w"), "abcd"),
        (("--since", "1s"), ""),
        (("a", "d"), "ad"),
    ],
)
async def test_the_list_can_be_narrowed(cli: Cli, paper: Paper, words: tuple[str, ...], names: str) -> None:
    await paper.task("a", STOPPED, agent="x")
    await paper.task("b", {"phase": "Running", "startedAt": EARLIER}, labels={"team": "t"})
    await paper.task("c", {"phase": "Stopping", "stop": STOP})
    deadline = {**STOPPED["stop"], "source": "Deadline", "requestedBy": None}
    await paper.task("d", {**STOPPED, "stop": deadline})
    done = await cli("list", *words, "-n", paper.namespace, "-o", "name")
    assert done.out.split() == [f"agenttask.agentstop.dev/{name}" for name in names]


async def test_json_is_a_list_of_what_the_api_server_has(cli: Cli, paper: Paper) -> None:
    made = await paper.task("a", STOPPED)
    done = await cli("list", "-n", paper.namespace, "-o", "json")
    assert done.json() == {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [made]}
    single = await cli("get", "a", "-n", paper.namespace, "-o", "json")
    assert single.json() == made


async def test_a_watch_shows_what_changes(cli: Cli, paper: Paper, tmp_path: Path) -> None:
    await paper.task("a", {"phase": "Running"})
    terminal = await Terminal.start(cli, tmp_path, "list", "-w", "-n", paper.namespace, NO_COLOR="1")
    await terminal.shows("Running")
    await paper.write("a", phase="Stopping", stop=STOP)
    await terminal.shows("Stopping")
    terminal.interrupt()
    assert await terminal.ended() == 0
    assert "\x1b" not in terminal.text()


async def test_colours_are_for_terminals(cli: Cli, paper: Paper, tmp_path: Path) -> None:
    await paper.task("a", {"phase": "Running"})
    terminal = await Terminal.start(cli, tmp_path, "list", "-n", paper.namespace)
    assert await terminal.ended() == 0
    assert "\x1b[32mRunning" in terminal.text()
    assert "\x1b" not in (await cli("list", "-n", paper.namespace)).out


# get and why


async def test_the_tree(cli: Cli, paper: Paper) -> None:
    await paper.task("p", {"phase": "Running"})
    await paper.task("a", {**STOPPED, "children": {"total": 1, "active": 0}}, parentRef={"name": "p"})
    await paper.task("k", {"phase": "Completed"}, parentRef={"name": "a"})
    done = await cli("get", "a", "-n", paper.namespace)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("p  Running")
    assert lines[1].strip(" └─").startswith("a  Stopped Graceful")
    for words in ("k  Completed", "jane@example.com", "RunawayCost: spent 40 USD", "exit code 0", "on node node-7"):
        assert words in done.out
    story = done.out[done.out.index("time line") :]
    places = [story.index(words) for words in ("accepted", "SIGTERM", "a/agent ended with exit code 0", "proof")]
    assert places == sorted(places)


async def test_why_it_stopped(cli: Cli, paper: Paper) -> None:
    await paper.task("a", STOPPED)
    done = await cli("why", "a", "-n", paper.namespace)
    assert done.out.splitlines()[0] == "a was stopped by jane@example.com"
    for words in ("they said: RunawayCost: spent 40 USD", "a/agent on node node-7 ended with exit code 0"):
        assert words in done.out


async def test_what_holds_it_up(cli: Cli, paper: Paper) -> None:
    held = stalled("NodeUnreachable", "node-7 does not answer")
    await paper.task("a", {**STOPPED, "phase": "Stopping", "stop": STOP, "finishedAt": None, "conditions": [held]})
    done = await cli("why", "a", "-n", paper.namespace, "-o", "json")
    found = done.json()
    assert found["heldUp"] == "NodeUnreachable: node-7 does not answer"
    assert "bring node node-7 back" in found["advice"][0]


async def test_what_ended_by_itself_was_not_stopped(cli: Cli, paper: Paper) -> None:
    made = await paper.task("a", {"phase": "Failed", "reason": "OOMKilled", "message": "out of memory"})
    event = {
        "metadata": {"name": "e1"},
        "eventTime": EARLIER,
        "reportingController": "t",
        "reportingInstance": "t",
        "action": "Observe",
        "type": "Warning",
        "reason": "OOMKilled",
        "note": "the kernel says so",
        "regarding": {"kind": "AgentTask", "name": "a", "namespace": paper.namespace, "uid": made["metadata"]["uid"]},
    }
    await paper.kube.create(EVENTS, paper.namespace, event)
    done = await cli("why", "a", "-n", paper.namespace)
    for words in ("nobody stopped a", "OOMKilled: out of memory", "Event OOMKilled: the kernel says so"):
        assert words in done.out


async def test_a_stop_that_no_operator_has_seen(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running"})
    await paper.kube.merge(TASKS, paper.namespace, "a", {"spec": {"stopRequested": True}})
    done = await cli("why", "a", "-n", paper.namespace)
    assert "no operator has accepted it" in done.out
    assert f"agentstop check -n {paper.namespace}" in done.out


# orders


async def test_orders_are_listed_and_shown(cli: Cli, paper: Paper) -> None:
    await paper.order("incident", hold=True, reason="SecurityIncident", agents=["x"])
    listed = [{"namespace": paper.namespace, "name": "b", "reason": "NodeUnreachable", "message": "node n"}]
    await paper.write_order("incident", phase="Stopping", matched=9, stopping=1, stalled=listed, stalledCount=1)
    shown, one = await asyncio.gather(
        cli("order", "list", "-n", paper.namespace), cli("order", "get", "incident", "-n", paper.namespace)
    )
    assert "SecurityIncident" in shown.out
    for words in ("StopOrder incident", "of agent x", "matched     9", "NodeUnreachable"):
        assert words in one.out


async def test_an_order_for_the_cluster(cli: Cli, bare: Cluster) -> None:
    from tests.plugin.paper import CLUSTER_ORDERS

    words = ("--all", "-A", "--namespace-selector", "tier=agents", "--hold", "-y", "--ttl", "1h")
    made = await cli("order", "create", "everything", *words)
    assert made.code == 0, made.err
    order = await bare.kube.get(CLUSTER_ORDERS, "", "everything")
    assert order["spec"]["namespaceSelector"] == {"matchLabels": {"tier": "agents"}}
    assert (order["spec"]["hold"], order["spec"]["ttlSecondsAfterFinished"]) == (True, 3600)
    lifted = await cli("order", "lift", "everything")
    assert (lifted.code, "ClusterStopOrder everything is lifted" in lifted.out) == (0, True)
    assert (await bare.kube.get(CLUSTER_ORDERS, "", "everything"))["spec"]["hold"] is False


async def test_a_drill_is_reported(cli: Cli, paper: Paper) -> None:
    waiting = cli("order", "drill", "rehearsal", "--all", "--wait", "-n", paper.namespace)

    async def made() -> bool:
        return bool(await paper.orders())

    await until(made, PATIENCE, "an order")
    report = {
        "running": 5,
        "waiting": 2,
        "longestGraceSeconds": 30,
        "groups": [{"namespace": paper.namespace, "agent": "x", "tasks": 7}],
        "groupCount": 1,
        "problems": [{"namespace": paper.namespace, "name": "b", "reason": "StopForbidden", "message": "no right"}],
        "problemCount": 1,
    }
    await paper.write_order("rehearsal", phase="Drilled", matched=7, drill=report, startedAt=EARLIER)
    done = await waiting
    assert done.code == 0, done.err
    for words in (
        "7 tasks: 5 that run, 2 that wait",
        "after 30s at the latest",
        "StopForbidden",
        "nothing was stopped",
    ):
        assert words in done.out


async def test_an_order_that_is_not_there(cli: Cli, paper: Paper) -> None:
    await paper.order("incident-1")
    done = await cli("order", "get", "incident-2", "-n", paper.namespace)
    assert (done.code, done.line.endswith("Did you mean incident-1?")) == (6, True)


# check


async def test_check_says_that_nobody_acts(cli: Cli, paper: Paper) -> None:
    await paper.task("a")
    found = (await cli("check", "-n", paper.namespace, "-o", "json")).json()["findings"]
    by_topic = {
        topic: [each for each in found if each["topic"] == topic] for topic in ("definitions", "operator", "rights")
    }
    assert [each["result"] for each in by_topic["definitions"]] == ["ok"] * 6
    assert [each["result"] for each in by_topic["rights"]] == ["ok"] * 8
    assert by_topic["operator"][0]["result"] == "unknown"

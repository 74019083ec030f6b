"""`agentstop run` as a program: how it starts, waits, fails and ends."""

import asyncio
import copy
import json
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentstop.api.definitions import definitions
from tests.support import agents, clusters
from tests.support.clusters import Cluster, install_crds
from tests.support.definitions import install
from tests.support.laws import exit_code, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import MODULE, Operator
from tests.support.programs import Program, free_port
from tests.support.waiting import PATIENCE, until

MANIFEST = "kubectl apply -f crds/"


async def outcome(tmp_path: Path, *arguments: str, kubeconfig: str) -> tuple[int, str]:
    program = await Program.fork(MODULE, arguments, tmp_path / "out.log", {"KUBECONFIG": kubeconfig})
    try:
        return await program.ended(20), program.text()
    finally:
        await program.end()


def is_one_line_for_people(text: str) -> bool:
    return text.startswith("agentstop: ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A playground that does not know our kinds yet."""
    async with clusters.playground(tmp_path, crds=False) as cluster:
        yield cluster


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no kubeconfig at"),
        ("", "cannot be used"),
        ("{not: [yaml", "cannot be used"),
        ("just words", "cannot be used"),
        ("apiVersion: v1\nkind: Config\ncurrent-context: gone\n", "cannot be used"),
    ],
    ids=["missing", "empty", "broken", "no mapping", "no such context"],
)
async def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    code, text = await outcome(tmp_path, "run", kubeconfig=str(path))
    assert code == 1
    assert is_one_line_for_people(text), text
    assert says in text
    assert str(path) in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
async def test_a_kubeconfig_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("{}", encoding="utf-8")
    path.chmod(0)
    code, text = await outcome(tmp_path, "run", kubeconfig=str(path))
    assert (code, is_one_line_for_people(text)) == (1, True), text


async def test_a_kubeconfig_that_is_a_folder(tmp_path: Path) -> None:
    code, text = await outcome(tmp_path, "run", kubeconfig=str(tmp_path))
    assert (code, is_one_line_for_people(text)) == (1, True), text


@pytest.mark.parametrize("option", ["--health-port", "--metrics-port"])
async def test_a_port_that_is_in_use(bare: Cluster, tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, text = await outcome(tmp_path, "run", option, port, kubeconfig=str(bare.kubeconfig))
    assert code == 1
    assert is_one_line_for_people(text), text
    assert f"127.0.0.1:{port}" in text


@pytest.mark.parametrize("arguments", [["--health-port", "0"], ["--health-port", "x"], ["--log-format", "xml"]])
async def test_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    code, text = await outcome(tmp_path, "run", *arguments, kubeconfig="unused")
    assert code == 2
    assert arguments[0] in text
    assert "Traceback" not in text


async def test_the_definition_is_waited_for(bare: Cluster) -> None:
    operator = await Operator.start(bare, wait=False)
    try:
        await until(lambda: MANIFEST in operator.program.text(), PATIENCE, "told how to install the definition")
        assert await operator.probe("/healthz") == 200
        assert await operator.probe("/readyz") == 503
        await install_crds(bare.kube)
        ns = Namespace(bare, f"t-{secrets.token_hex(4)}")
        await ns.open()
        await operator.ready()
        await ns.create_task("a", agents.template(agents.graceful()))
        await ns.running("a")
        await ns.stop("a")
        task = await ns.ended("a")
        assert (stop_of(task)["verdict"], exit_code(task)) == ("Graceful", 0)
        await ns.close()
        assert operator.program.text().count(MANIFEST) == 1
    finally:
        assert await operator.program.end() == 0
    assert not operator.mistakes()


async def test_definitions_of_another_version_are_named_in_its_log(bare: Cluster) -> None:
    found = copy.deepcopy(definitions())
    (version,) = found["agenttasks.agentstop.dev"]["spec"]["versions"]
    del version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["gracePeriodSeconds"]
    await install(bare.kube, found.values())
    operator = await Operator.start(bare)
    says = "agenttasks.agentstop.dev is another version's, which lacks status.gracePeriodSeconds"
    try:
        await until(lambda: says in operator.program.text(), PATIENCE, "told which definition lacks what")
        (line,) = [each for each in operator.program.text().splitlines() if "another version" in each]
        assert "WARNING" in line
        assert line.endswith("install them: agentstop crds | kubectl apply -f -")
        assert "stoporders" not in line
    finally:
        assert await operator.program.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_while_it_waits_for_the_definition(bare: Cluster, number: signal.Signals) -> None:
    operator = await Operator.start(bare, wait=False)
    await until(lambda: MANIFEST in operator.program.text(), PATIENCE, "waiting")
    operator.program.signal(number)
    assert await operator.program.ended() == 0
    assert not operator.mistakes()


async def test_it_ends_soon_after_sigterm_even_if_asked_twice(bare: Cluster) -> None:
    await install_crds(bare.kube)
    operator = await Operator.start(bare)
    operator.program.signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    operator.program.signal(signal.SIGTERM)
    assert await operator.program.ended() == 0
    assert not operator.mistakes()


async def test_it_ends_soon_after_sigterm_with_the_api_server_away(bare: Cluster) -> None:
    await install_crds(bare.kube)
    operator = await Operator.start(bare)
    ns = Namespace(bare, f"t-{secrets.token_hex(4)}")
    await ns.open()
    await ns.create_task("a", agents.template(agents.ending(0)))
    await ns.ended("a")
    with bare.halted():
        operator.program.signal(signal.SIGTERM)
        assert await operator.program.ended() == 0
    await ns.close()


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.2, 0.5])
async def test_it_ends_soon_after_sigterm_while_it_is_starting(bare: Cluster, moment: float) -> None:
    await install_crds(bare.kube)
    operator = await Operator.start(bare, wait=False)
    await until(operator.listens, PATIENCE, "listening")
    await asyncio.sleep(moment)
    operator.program.signal(signal.SIGTERM)
    assert await operator.program.ended() == 0
    assert not operator.mistakes()


async def test_an_api_server_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    path = tmp_path / "kubeconfig"
    path.write_text(
        f"apiVersion: v1\nkind: Config\ncurrent-context: x\n"
        f"clusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n"
        f"contexts: [{{name: x, context: {{cluster: x, user: x}}}}]\nusers: [{{name: x, user: {{}}}}]\n",
        encoding="utf-8",
    )
    program = await Program.fork(MODULE, ["run"], tmp_path / "out.log", {"KUBECONFIG": str(path)})
    try:
        await until(lambda: "waiting" in program.text(), 20, "waiting")
        assert program.running
        assert "cannot be reached" in program.text()
        assert "Traceback" not in program.text()
    finally:
        assert await program.end() == 0


@pytest.mark.parametrize("more", [[], ["-v"]], ids=["short", "verbose"])
async def test_logs_are_json_where_they_are_asked_for(bare: Cluster, tmp_path: Path, more: list[str]) -> None:
    await install_crds(bare.kube)
    log = tmp_path / "json.log"
    arguments = ["run", "--log-format", "json", *more]
    program = await Program.fork(MODULE, arguments, log, {"KUBECONFIG": str(bare.kubeconfig)})
    await until(lambda: '"message": "ready' in program.text(), 20, "ready")
    ns = Namespace(bare, f"t-{secrets.token_hex(4)}")
    await ns.open()
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.close()
    assert await program.end() == 0
    for line in program.text().splitlines():
        assert {"time", "level", "message"} <= set(json.loads(line))

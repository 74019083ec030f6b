"""`agentstop demo`, played to its end and broken off."""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from .verbs import ask, of, run, running, said, until

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NOT_SERVED = tuple(f"{DEFINITIONS}/{each}" for each in ("sandboxes.agents.x-k8s.io", "taskusages.agentstop.dev"))


def rows(output: str) -> dict[str, list[str]]:
    """The cells of the table at the end, by task."""
    lines = output.partition("How they ended")[2].splitlines()
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return {row[0]: row[1:] for row in cells if len(row) == 7}


def check_ending(output: str) -> None:
    table = rows(output)
    assert table["researcher"][:5] == ["Stopped", "User", "true", "Graceful", "0"]
    assert table["deaf"][:5] == ["Stopped", "User", "true", "Killed", "137"]
    assert table["helper"][:5] == ["Stopped", "Tether", "false", "Graceful", "0"]
    assert table["quick"] == ["Completed", "-", "false", "-", "0", "-"]
    assert table["planner"][:5] == ["Stopped", "User", "true", "Graceful", "0"]
    for name in ("reader", "writer"):
        assert table[name][:5] == ["Stopped", "Parent", "true", "Graceful", "0"]
    assert re.search(r"\$ kill -9 \d+\n", output)
    assert re.search("    Task was .*Lease starter was not renewed by .* for 5 seconds\n", output)
    assert '{"active":0,"total":2}' in output
    for number in (1, 2, 3):
        assert table[f"crawler-{number}"][:5] == ["Stopped", "StopOrder", "true", "Graceful", "0"]
    assert '"graceful":3' in output


def check_freezes(output: str) -> None:
    """Of an agent that was frozen the next step is told, and of all of them that an order froze them."""
    alone, together = output.partition("(j)")[2].partition("(k)")[::2]
    (last,) = re.findall(r"step (\d+) was its last, and for 1 second nothing has followed", alone)
    assert f"it went on with step {int(last) + 1}, where it was" in alone
    assert len(re.findall("crawler-1 .*Paused (?:→|->) Running", alone)) == 1
    assert set(re.findall(r"(crawler-\d) .*(?:→|->) Paused ", together)) == {"crawler-1", "crawler-2", "crawler-3"}
    assert "    3\n" in together


def check_no_freezes(output: str) -> None:
    assert output.count("this operator asks none (--ask-nodes, node.enabled in the chart)") >= 2
    assert "skipped: A freeze takes the component on each node" in output


def check_sandbox_and_budget(output: str) -> None:
    assert rows(output)["coder"][:5] == ["Stopped", "User", "true", "Graceful", "0"]
    assert "    Suspended\n" in output
    assert rows(output)["talker"][:5] == ["Stopped", "Budget", "false", "Graceful", "0"]
    assert "    Task was stopped by its budget: 5.02 of 5.00 USD\n" in output


def test_it_plays(tmp_path: Path) -> None:
    ended = run(tmp_path, "demo")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    check_ending(ended.stdout)
    check_freezes(ended.stdout)
    check_sandbox_and_budget(ended.stdout)
    # Neither the path of the kubeconfig, which is this test's, nor the API server's words in (e) are of our making.
    ours = ended.stdout.partition("begin to work")[2].partition("(e)")[0]
    assert max(map(len, ours.splitlines())) < 80
    assert "$ kubectl apply -f examples/researcher.yaml" in ended.stdout
    assert "checkpoint written after" in ended.stdout
    assert "spec.stopRequested cannot be taken back" in ended.stdout
    assert "agenttask.agentstop.dev/researcher patched (no change)" in ended.stdout
    assert "All of it came out as it should" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert of(tmp_path) == {}
    assert list(tmp_path.glob("agentstop-demo-*")) == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl: the other test played without it")
def test_it_plays_without_kubectl(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    # What the node runs for the agents; kubectl may be in the same folder as it. The
    # interpreter itself: what PATH calls python3 may be a script that needs more of PATH.
    (tools / "python3").symlink_to(Path(sys.executable).resolve())
    ended = run(tmp_path, "demo", "--namespace", "elsewhere", PATH=str(tools))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    check_ending(ended.stdout)
    check_freezes(ended.stdout)
    check_sandbox_and_budget(ended.stdout)
    assert "kubectl is not on PATH" in ended.stdout
    assert "$ kubectl -n elsewhere logs researcher --tail=3" in ended.stdout
    assert "spec.stopRequested cannot be taken back" in ended.stdout
    assert of(tmp_path) == {}


def test_what_a_cluster_does_not_serve_is_skipped(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with running(tmp_path, "playground", "--kubeconfig", str(kubeconfig)):
        until(kubeconfig.exists, "the kubeconfig")
        for where in NOT_SERVED:
            ask(kubeconfig, where, method="DELETE")
        until(lambda: not any(ask(kubeconfig, where) for where in NOT_SERVED), "the end of the definitions")
        ended = run(tmp_path, "demo", "--kubeconfig", str(kubeconfig))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    check_ending(ended.stdout)
    check_no_freezes(ended.stdout)
    assert "coder" not in ended.stdout
    assert "talker.yaml" not in ended.stdout
    assert "the operator runs here, for this namespace alone" in ended.stdout
    assert "skipped: the cluster does not serve Sandbox of agents.x-k8s.io/v1beta1" in ended.stdout
    assert "skipped: the cluster does not serve TaskUsage of agentstop.dev/v1alpha1" in ended.stdout


def test_an_operator_that_is_there_plays_the_stops(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with running(tmp_path, "playground", "--with-operator", "--kubeconfig", str(kubeconfig)):
        until(kubeconfig.exists, "the kubeconfig")
        ended = run(tmp_path, "demo", "--kubeconfig", str(kubeconfig))
        orders = ask(kubeconfig, "/apis/agentstop.dev/v1alpha1/stoporders")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    check_ending(ended.stdout)
    check_no_freezes(ended.stdout)
    assert "an operator serves this namespace already" in ended.stdout
    assert "agentstop run" not in ended.stdout
    # That which asked whether an operator is there has gone; the story's own goes with its namespace.
    assert {order["metadata"]["name"] for order in orders["items"]} <= {"look-first"}


def test_it_plays_on_a_cluster(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kubeconfig = request.config.getoption("--kubeconfig")
    if kubeconfig is None:
        pytest.skip("no --kubeconfig FILE was given")
    ended = run(tmp_path, "demo", "--kubeconfig", str(kubeconfig))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    check_ending(ended.stdout)
    (namespace,) = re.findall(r"namespace/(\S+) created", ended.stdout)
    assert f"$ kubectl delete namespace {namespace}" in ended.stdout
    assert of(tmp_path) == {}


def test_a_namespace_that_exists_is_left_alone(tmp_path: Path) -> None:
    ended = run(tmp_path, "demo", "--namespace", "kube-public")
    assert ended.returncode == 1
    assert "agentstop: namespace kube-public exists already" in ended.stderr
    assert "delete namespace" not in ended.stdout
    assert of(tmp_path) == {}


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "demo") as process:
        until(lambda: "(b)" in said(tmp_path), "the second stop")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "Traceback" not in said(tmp_path)
    assert of(tmp_path) == {}
    assert list(tmp_path.glob("agentstop-demo-*")) == []


def test_sigkill_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path, "demo") as process:
        until(lambda: "logs researcher" in said(tmp_path), "agents at work")
        process.kill()
        process.wait(60)
    until(lambda: not of(tmp_path), "the end of all processes")


def test_an_operator_that_ends_is_a_failure_that_is_told(tmp_path: Path) -> None:
    with running(tmp_path, "demo") as process:
        until(lambda: "(b)" in said(tmp_path), "the second stop")
        (operator,) = (pid for pid, words in of(tmp_path).items() if "run" in words)
        os.kill(operator, signal.SIGKILL)
        assert process.wait(60) == 1
    assert "the operator ended by itself with exit code -9" in said(tmp_path)
    (log,) = tmp_path.glob("agentstop-demo-*/operator.log")
    assert f"the operator's log is {log}" in said(tmp_path)
    assert "All of it came out" not in said(tmp_path)
    assert of(tmp_path) == {}


def test_a_kubeconfig_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    ended = run(tmp_path, "demo", "--kubeconfig", str(tmp_path / "none"))
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [f"agentstop: there is no kubeconfig {tmp_path / 'none'}"]

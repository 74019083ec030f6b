"""`agentstop playground`: how it begins, how it ends, and what is left."""

import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from agentstop_playground.kubeconfig_file import MARK

from .verbs import ROOT, ask, environment, of, run, running, said, until


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


def run_deaf(kubeconfig: Path) -> None:
    """Run an agent that ignores SIGTERM as a pod, and wait until it does."""
    task = yaml.safe_load((ROOT / "examples" / "deaf.yaml").read_text())
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": task["metadata"], **task["spec"]["podTemplate"]}
    ask(kubeconfig, "/api/v1/namespaces/default/pods", pod)

    def is_running() -> bool:
        status = ask(kubeconfig, "/api/v1/namespaces/default/pods/deaf").get("status", {})
        return bool(status.get("phase") == "Running")

    until(is_running, "a running pod")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_everything_in_it(tmp_path: Path, kubeconfig: Path, number: signal.Signals) -> None:
    with running(tmp_path, "playground", "--kubeconfig", str(kubeconfig)) as process:
        until(kubeconfig.exists, "the kubeconfig")
        assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
        assert ask(kubeconfig, "/apis/agentstop.dev/v1alpha1")["kind"] == "APIResourceList"
        run_deaf(kubeconfig)
        process.send_signal(number)
        assert process.wait(60) == 0
    assert not kubeconfig.exists()
    assert of(tmp_path) == {}
    assert f"export KUBECONFIG={kubeconfig}" in said(tmp_path)
    assert "Images are not pulled" in said(tmp_path)
    assert "--field-manager=agentstop" in said(tmp_path)


def test_sigkill_leaves_no_process(tmp_path: Path, kubeconfig: Path) -> None:
    with running(tmp_path, "playground", "--with-operator", "--kubeconfig", str(kubeconfig)) as process:
        until(kubeconfig.exists, "the kubeconfig")
        run_deaf(kubeconfig)
        until(lambda: any("agentstop.cli.child_main" in words for words in of(tmp_path).values()), "the operator")
        process.kill()
        process.wait(60)
    until(lambda: not of(tmp_path), "the end of all processes")


def test_the_operator_beside_it_works(tmp_path: Path, kubeconfig: Path) -> None:
    tasks = "/apis/agentstop.dev/v1alpha1/namespaces/default/agenttasks"
    with running(tmp_path, "playground", "--with-operator", "--kubeconfig", str(kubeconfig)) as process:
        until(kubeconfig.exists, "the kubeconfig")
        ask(kubeconfig, tasks, yaml.safe_load((ROOT / "examples" / "quick.yaml").read_text()))
        until(
            lambda: ask(kubeconfig, f"{tasks}/quick").get("status", {}).get("phase") == "Completed", "a completed task"
        )
        process.terminate()
        assert process.wait(60) == 0
    assert of(tmp_path) == {}


def test_its_node_answers_where_it_is_to(tmp_path: Path, kubeconfig: Path) -> None:
    uid = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
    controls = "/apis/agentstop.dev/v1alpha1/namespaces/default/podcontrols"
    spec = {"nodeName": "playground", "podUID": uid, "taskName": "nobody", "state": "Frozen"}
    control = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "PodControl", "metadata": {"name": uid}, "spec": spec}
    with running(tmp_path, "playground", "--node-component", "--kubeconfig", str(kubeconfig)) as process:
        until(kubeconfig.exists, "the kubeconfig")
        ask(kubeconfig, controls, control)

        def reasons() -> list[str]:
            status = ask(kubeconfig, f"{controls}/{uid}")["status"]
            return [each["reason"] for each in status.get("conditions", ())]

        until(lambda: reasons() == ["TaskNotFound"], "an answer")
        process.terminate()
        assert process.wait(60) == 0
    assert "agentstop run --ask-nodes" in said(tmp_path)


def shown(browser: urllib.request.OpenerDirector, address: str) -> str:
    """Return what a browser is shown, or nothing where the page cannot be made at the moment."""
    try:
        with browser.open(address, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return ""


def test_the_page_beside_it_lets_a_browser_in_and_ends_with_it(tmp_path: Path, kubeconfig: Path) -> None:
    with running(tmp_path, "playground", "--with-operator", "--ui", "--kubeconfig", str(kubeconfig)) as process:
        until(lambda: "/?token=" in said(tmp_path), "the address of the page")
        address = next(line for line in said(tmp_path).splitlines() if line.startswith("http://127.0.0.1:"))
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        shown(browser, address)  # the token counts once
        page = address.partition("?")[0]
        until(lambda: "There are no tasks yet" in shown(browser, page), "the page without tasks")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert of(tmp_path) == {}


def test_a_kubeconfig_of_somebody_else_is_left_alone(tmp_path: Path, kubeconfig: Path) -> None:
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    ended = run(tmp_path, "playground", "--kubeconfig", str(kubeconfig))
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"agentstop: cannot write the kubeconfig {kubeconfig}: it exists and is not a playground's;"
        " choose another with --kubeconfig"
    ]
    assert kubeconfig.read_text() == "apiVersion: v1\nkind: Config\n"


def test_the_kubeconfig_of_a_running_playground_is_left_alone(tmp_path: Path, kubeconfig: Path) -> None:
    with running(tmp_path, "playground", "--kubeconfig", str(kubeconfig)):
        until(kubeconfig.exists, "the kubeconfig")
        text = kubeconfig.read_text()
        ended = run(tmp_path, "playground", "--kubeconfig", str(kubeconfig))
        assert ended.returncode == 1
        assert "another playground that still runs wrote it" in ended.stderr
        assert kubeconfig.read_text() == text


def test_a_kubeconfig_that_was_left_behind_is_replaced(tmp_path: Path, kubeconfig: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    kubeconfig.write_text(MARK + yaml.safe_dump({"clusters": [{"cluster": {"server": f"http://127.0.0.1:{port}/x"}}]}))
    with running(tmp_path, "playground", "--kubeconfig", str(kubeconfig)):
        until(lambda: "Ctrl-C ends" in said(tmp_path), "the greeting")
        assert ask(kubeconfig, "/version")["major"] == "1"


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path, kubeconfig: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(tmp_path, "playground", "--kubeconfig", str(kubeconfig), "--port", str(port))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line
    assert "Address already in use" in line
    assert not kubeconfig.exists()


@pytest.mark.parametrize(
    ("words", "missing", "said"),
    [
        (["playground"], "agentstop_playground", "the playground needs agentstop_playground"),
        (["playground"], "cel_expr_python", "the playground needs cel_expr_python"),
        (["demo"], "agentstop_playground", "the demo without --kubeconfig needs agentstop_playground"),
        (["demo", "--kubeconfig", "none"], "rich", "the demo needs rich"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, words: list[str], missing: str, said: str) -> None:
    ended = run_without(tmp_path, missing, *words)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"agentstop: {said}, which is not installed: pip install 'agentstop[playground]'\n"


def test_on_a_cluster_the_demo_needs_no_playground(tmp_path: Path) -> None:
    ended = run_without(tmp_path, "agentstop_playground", "demo", "--kubeconfig", "none")
    assert ended.stderr == f"agentstop: there is no kubeconfig {tmp_path / 'none'}\n"


def test_help_and_the_operator_need_no_playground(tmp_path: Path) -> None:
    for words in (["--help"], ["demo", "--help"], ["playground", "--help"], ["crds"]):
        ended = run_without(tmp_path, "agentstop_playground", *words)
        assert (ended.returncode, ended.stderr) == (0, ""), words


def run_without(folder: Path, module: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a verb where a module is not installed."""
    script = (
        f"import sys; sys.modules[{module!r}] = None\nfrom agentstop.cli.main import main; sys.exit(main({words!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

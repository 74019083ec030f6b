"""What is imported: a person waits for a stop, and the operator's image has neither click nor rich."""

import subprocess
import sys

import pytest

from tests.plugin.commands import environment

RUN = (
    "import sys; sys.argv[1:] = {words!r}; from {module} import main; code = main(); print('\\n', *sorted(sys.modules))"
)


def modules_of(module: str, *words: str) -> set[str]:
    code = RUN.format(words=list(words), module=module)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment("/nowhere"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("agentstop.cli.main", ("stop", "a")),
        ("agentstop.cli.main", ("list",)),
        ("agentstop.cli.complete", ("stop", "")),
    ],
)
def test_a_stop_and_a_completion_import_little(module: str, words: tuple[str, ...]) -> None:
    heavy = {"kopf", "kubernetes", "pydantic", "aiohttp", "asyncio", "rich", "urllib3", "requests"}
    assert not modules_of(module, *words) & heavy


@pytest.mark.parametrize("module", ["agentstop.cli.complete", "agentstop.cli.main"])
def test_what_asks_no_api_server_imports_nothing_that_does(module: str) -> None:
    words = ("sto",) if module.endswith("complete") else ("stop", "--help")
    assert not modules_of(module, *words) & {"http", "ssl", "socket", "email"}


def test_what_serves_the_page_is_imported_once_it_is_served() -> None:
    assert not modules_of("agentstop.cli.main", "ui", "--help") & {"kubernetes", "aiohttp", "asyncio", "jinja2"}


WITHOUT = """
import sys
sys.modules["click"] = sys.modules["rich"] = None
from agentstop.cli.{module} import main
sys.exit(main({words!r}))
"""


def without_the_libraries(module: str, *words: str) -> "subprocess.CompletedProcess[str]":
    code = WITHOUT.format(module=module, words=list(words))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_the_operators_verbs_need_neither() -> None:
    assert "CustomResourceDefinition" in without_the_libraries("main", "crds").stdout
    shown = without_the_libraries("main", "run", "--help")
    assert (shown.returncode, "--health-port" in shown.stdout) == (0, True)


def test_the_others_say_what_to_install() -> None:
    done = without_the_libraries("main", "stop", "a")
    assert (done.returncode, done.stderr) == (
        1,
        "agentstop: stop needs click, which is not installed: pip install 'agentstop[cli]'\n",
    )


def test_completion_without_them_is_silent() -> None:
    assert without_the_libraries("complete", "").stdout == ":4\n"

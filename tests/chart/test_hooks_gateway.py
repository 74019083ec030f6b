"""`agentstop try --gateway`: the task is stopped through a gateway that plays a part."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agentstop.cli import main, smoke_gateway
from agentstop.client.credentials import Credentials
from tests.gateway.test_tls import certificate

from .test_hooks import RUNNING, STOPPED, Part, part

__all__ = ["part"]

UID = "6f1b2c3d-0000-4000-8000-000000000001"
TOKEN = "Bearer of-the-pod"


class Playing:
    """A gateway that answers as a list says, and then with the last answer again and again."""

    def __init__(self) -> None:
        self.stops: list[tuple[int, str]] = [(200, '{"status": "executing"}')]
        self.shows: list[tuple[int, str]] = [(200, '{"status": "stopped"}')]
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = ""

    @contextmanager
    def served(self, tls: tuple[Path, Path] | None = None) -> Iterator["Playing"]:
        """Serve on loopback."""
        playing = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._answer(playing.stops)

            def do_GET(self) -> None:
                self._answer(playing.shows)

            def _answer(self, answers: list[tuple[int, str]]) -> None:
                playing.asked.append((self.command, self.path, self.headers.get("Authorization")))
                code, text = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def there(part: Part, monkeypatch: pytest.MonkeyPatch) -> Part:
    monkeypatch.setattr(smoke_gateway, "PAUSE_SECONDS", 0)
    part.made = {"uid": UID}
    part.credentials = Credentials(authorization=TOKEN)
    part.statuses = [RUNNING, STOPPED]
    return part


def try_it(url: str, *options: str, timeout: float = 5) -> int:
    given = ["try", "-n", "here", "--task", '{"kind": "AgentTask"}', "--timeout", str(timeout), "--gateway", url]
    return main.main([*given, *options])


def test_the_task_is_stopped_through_the_gateway_alone(there: Part, capsys: pytest.CaptureFixture[str]) -> None:
    with Playing().served() as gateway:
        assert try_it(f"{gateway.url}/") == 0
    assert gateway.asked == [
        ("POST", f"/xpander/v1/tasks/{UID}/stop", TOKEN),
        ("GET", f"/xpander/v1/tasks/{UID}", TOKEN),
    ]
    assert [each[0] for each in there.asked] == ["create", "delete"]
    assert capsys.readouterr().out.startswith(
        "task agentstop-try-x was stopped in 0.2 s, verdict Graceful, through the gateway http://127.0.0.1:"
    )


def test_a_gateway_that_is_not_there_yet_is_waited_for(there: Part) -> None:
    playing = Playing()
    playing.stops = [(503, "not yet"), (200, "{}")]
    playing.shows = [(200, '{"status": "executing"}'), (200, '{"status": "stopped"}')]
    with playing.served() as gateway:
        assert try_it(gateway.url) == 0
    assert [each[0] for each in gateway.asked] == ["POST", "POST", "GET", "GET"]


@pytest.mark.parametrize(
    ("stop", "show", "said"),
    [
        ((403, '{"detail": "no\n  way"}'), (200, ""), 'did not stop the task: it answered 403: {"detail": "no way"}'),
        ((503, "away"), (200, ""), "did not stop the task: it answered 503: away"),
        ((200, "{}"), (200, '{"status": "executing"}'), "does not call the task stopped: it answered 200: "),
        ((200, "{}"), (200, "<html>"), "does not call the task stopped: it answered 200: <html>"),
    ],
    ids=str,
)
def test_what_it_does_instead_is_told(
    stop: tuple[int, str], show: tuple[int, str], said: str, there: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    playing = Playing()
    playing.stops, playing.shows = [stop], [show]
    with playing.served() as gateway:
        assert try_it(gateway.url, timeout=0) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"agentstop: the gateway {gateway.url} ")
    assert said in errors
    assert errors.count("\n") == 1
    assert there.asked[-1][0] == "delete"


def test_a_gateway_that_is_away_is_named(there: Part, capsys: pytest.CaptureFixture[str]) -> None:
    with Playing().served() as gateway:
        pass
    assert try_it(gateway.url, timeout=0) == 1
    assert "Connection refused" in capsys.readouterr().err


async def test_it_has_to_show_its_very_certificate(
    there: Part, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, other = await certificate(tmp_path, "shown"), await certificate(tmp_path, "other")
    chain = tmp_path / "chain.crt"
    chain.write_text(shown[0].read_text() + other[0].read_text())
    with Playing().served(shown) as gateway:
        assert try_it(gateway.url, "--gateway-certificate", str(chain)) == 0
        for options in (("--gateway-certificate", str(other[0])), ()):
            there.statuses = [RUNNING]
            assert try_it(gateway.url, *options, timeout=0) == 1
            assert "certificate verify failed" in capsys.readouterr().err
        assert len(gateway.asked) == 2
    # What the other one has issued, or is, does not do: only the first certificate of the file counts.
    with Playing().served(other) as gateway:
        there.statuses = [RUNNING]
        assert try_it(gateway.url, "--gateway-certificate", str(chain), timeout=0) == 1
        assert not gateway.asked


def test_a_certificate_that_is_none_is_said_so(there: Part, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tls.crt"
    path.write_text("nothing")
    assert try_it("https://127.0.0.1:1", "--gateway-certificate", str(path)) == 1
    assert capsys.readouterr().err.startswith(f"agentstop: {path} cannot be used: ")
    assert there.asked == []

"""What is shown to the API server on the requests of the page, while credentials expire, are refused, or fail."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agentstop.client.authorization import PAUSE_SECONDS, Authorization
from agentstop.client.client import Api
from agentstop.client.config import Target
from agentstop.client.errors import ApiError, ConfigError

PLUG_IN = """#!/bin/sh
echo >> {runs}
test -e {token} || exit 1
echo '{{"status": {{"token": "'"$(cat {token})"'"{more}}}}}'
"""
EXPIRED = ', "expirationTimestamp": "2020-01-01T00:00:00Z"'


class Stand:
    """A credential plug-in that prints what is in a file and fails without one, and who asks it."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.runs, self.token, self.now = folder / "runs", folder / "token", 0.0
        self.said: list[str] = []
        plug_in = folder / "plug-in"
        plug_in.write_text(PLUG_IN.format(runs=self.runs, token=self.token, more=more))
        plug_in.chmod(0o755)
        self.token.write_text("old")
        user = {"exec": {"command": str(plug_in), "interactiveMode": "Never"}}
        self.api = Api(Target("https://example", "default", "test", user=user))

    def open(self) -> Authorization:
        return Authorization(self.api, self.said.append, lambda: self.now)

    def asked(self) -> int:
        """How often the plug-in has run since this was called last."""
        number = self.runs.stat().st_size if self.runs.exists() else 0
        self.runs.unlink(missing_ok=True)
        return number


def test_a_plug_in_that_fails_is_left_alone_for_a_while_and_told_of_once(tmp_path: Path) -> None:
    stand = Stand(tmp_path, EXPIRED)
    shown = stand.open()
    assert (shown.current(), stand.asked()) == ("Bearer old", 2)
    stand.token.unlink()
    for _ in range(3):
        # Its last word counts on.
        assert [shown.current() for _ in range(10)] == ["Bearer old"] * 10
        assert stand.asked() == 1
        stand.now += PAUSE_SECONDS
    (said,) = stand.said
    assert "failed with exit code 1" in said
    stand.token.write_text("new")
    assert (shown.current(), stand.asked()) == ("Bearer new", 1)
    stand.token.unlink()
    shown.current()
    assert stand.said == [said] * 2


def test_what_was_refused_is_shown_no_more_once_there_is_another_one(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    shown = stand.open()
    stand.token.write_text("new")
    assert (shown.current(), stand.asked()) == ("Bearer old", 1)
    # Ten requests that were on their way are refused together.
    assert [shown.renew("Bearer old") for _ in range(10)] == [True] * 10
    assert (shown.current(), stand.asked(), stand.said) == ("Bearer new", 1, [])


def test_a_plug_in_whose_tokens_are_refused_all_is_not_asked_for_each_request(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    shown = stand.open()
    stand.asked()
    for _ in range(3):
        assert [shown.renew("Bearer old") for _ in range(10)] == [False] * 10
        assert stand.asked() == 1
        stand.now += PAUSE_SECONDS
    stand.token.unlink()
    assert (shown.renew("Bearer old"), shown.current(), stand.asked()) == (False, "Bearer old", 1)
    assert len(stand.said) == 1


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """An API server that takes the token "new" alone."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["Authorization"] == "Bearer new" else 401)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def test_the_plugins_own_request_is_sent_once_more_with_what_is_in_the_file_by_now(
    tmp_path: Path, server: HTTPServer
) -> None:
    token = tmp_path / "token"
    url = f"http://127.0.0.1:{server.server_port}"
    api = Api(Target(url, "default", "test", user={"tokenFile": str(token)}))
    token.write_text("old")
    with pytest.raises(ApiError) as caught:
        api.get("/x")
    assert (caught.value.code, api.credentials.authorization) == (401, "Bearer old")
    token.write_text("new")
    assert api.get("/x") == {}


def test_a_token_of_the_kubeconfig_is_what_it_is(tmp_path: Path) -> None:
    shown = Authorization(Api(Target("https://example", "default", "test", user={"token": "t"})), lambda _: None)
    assert (shown.renew("Bearer t"), shown.current()) == (False, "Bearer t")


def test_without_credentials_at_the_start_nothing_begins(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.token.unlink()
    with pytest.raises(ConfigError, match="failed"):
        stand.open()

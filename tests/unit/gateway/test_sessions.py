"""Sessions of browsers: who gets one, what it is good for, and what other sites can do with it."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient

from agentstop.gateway.cookies import COOKIE, LOOPBACK_COOKIE, MAX_CREDENTIAL
from agentstop.gateway.dialect import Call, Dialect, Route
from agentstop.gateway.errors import GatewayError
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.keys import NO_KEYS, make_key, read_keys
from agentstop.gateway.sessions import ROUTES

from .serving import WRONG_TOKEN, serving

TOKEN = "eyJhbGciOi.J9_-+/=="
OURS = {"Sec-Fetch-Site": "same-origin"}
HTTPS = {"Host": "agentstop.example.com"}
"""As TLS that ends in front of the gateway has it."""

Client = TestClient[Any, Any]
Headers = Mapping[str, str]


async def who(call: Call) -> web.StreamResponse:
    return web.Response(text=call.caller.name)


def render(error: GatewayError, _: Call) -> web.Response:
    return web.Response(status=error.code, text=error.message)


ASKING = (Route("GET", "/who", who), Route("POST", "/who", who), Route("DELETE", "/who", who))
PAGE = Dialect(name="page", prefix="", routes=(*ROUTES, *ASKING), render=render, browsers=True)
VENDOR = Dialect(name="vendor", prefix="/vendor", routes=ASKING, render=render)


class Keys:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.key, self._entry = make_key("ci", "jane")
        self.path.write_text(yaml.safe_dump({"keys": [self._entry.model_dump(mode="json")]}))
        self.file = WatchedFile(path, read_keys, NO_KEYS)

    def revoke(self) -> None:
        self.path.write_text("keys: []")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.yaml")


@pytest.fixture
async def client(keys: Keys) -> AsyncIterator[Client]:
    async with serving(PAGE, others=[VENDOR], keys=keys.file, headers={}) as client:
        yield client


async def log_in(client: Client, credential: str, headers: Headers = OURS, **more: str) -> Any:
    form = {"credential": credential, **more}
    return await client.post("/login", data=form, headers=headers, allow_redirects=False)


def cookie_of(answer: Any) -> dict[str, str]:
    """Return what a browser sends back."""
    (morsel,) = answer.cookies.values()
    return {"Cookie": f"{morsel.key}={morsel.coded_value}"}


async def test_a_key_or_a_token_begins_a_session(client: Client, keys: Keys) -> None:
    for credential, name in ((keys.key, "ci"), (f" {TOKEN}\n", "token")):
        answer = await log_in(client, credential)
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        for method in ("GET", "POST", "DELETE"):
            said = await client.request(method, "/who", headers={**OURS, **cookie_of(answer)})
            assert (said.status, await said.text()) == (200, name)


async def test_no_script_and_no_other_site_gets_at_the_cookie(client: Client, keys: Keys) -> None:
    for headers, name, secure in (({}, LOOPBACK_COOKIE, ""), (HTTPS, COOKIE, True)):
        (morsel,) = (await log_in(client, keys.key, {**OURS, **headers})).cookies.values()
        assert (morsel.key, morsel["httponly"], morsel["samesite"]) == (name, True, "Strict")
        assert (morsel["secure"], morsel["path"], morsel["domain"]) == (secure, "/", "")
        assert 0 < int(morsel["max-age"]) <= 86_400


async def test_a_name_of_loopback_with_tls_in_front_is_not_loopback(client: Client, keys: Keys) -> None:
    """A proxy may call the gateway by 127.0.0.1."""
    answer = await log_in(client, keys.key, {**OURS, "Origin": "https://agentstop.example.com"})
    assert list(answer.cookies) == [COOKIE]
    assert (await client.get("/who", headers=cookie_of(answer))).status == 200


async def test_plain_http_is_told_to_whoever_logs_in(client: Client, keys: Keys) -> None:
    answer = await log_in(client, keys.key, {"Host": "gateway.lan:8090", "Origin": "http://gateway.lan:8090"})
    assert (answer.status, "https://" in await answer.text(), len(answer.cookies)) == (403, True, 0)


async def test_a_cookie_of_plain_http_counts_on_loopback_alone(client: Client, keys: Keys) -> None:
    sent = {"Cookie": f"{LOOPBACK_COOKIE}={keys.key}"}
    for host, code in (("localhost:8090", 200), ("127.8.8.8", 200), ("[::1]:8090", 200), ("rebound.example", 401)):
        assert (await client.get("/who", headers={**sent, "Host": host})).status == code, host


async def test_a_session_is_for_pages_and_not_for_other_dialects(client: Client, keys: Keys) -> None:
    sent = {**OURS, **cookie_of(await log_in(client, keys.key))}
    for method in ("GET", "POST"):
        assert (await client.request(method, "/vendor/who", headers=sent)).status == 401
        assert (await client.request(method, "/vendor/who", headers={"x-api-key": keys.key})).status == 200


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "http://gateway:8090", "Host": "gateway:8090"}, True),
        ({"Origin": "https://Gateway", "Host": "gateway"}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://gateway", "Host": "gateway"}, False),
        ({"Origin": "null", "Host": "gateway"}, False),
        ({"Origin": "http://evil.example", "Host": "gateway"}, False),
        ({"Origin": "http://gateway:8091", "Host": "gateway:8090"}, False),
        ({"Origin": "http://gateway.evil.example", "Host": "gateway"}, False),
        ({"Origin": "file://gateway", "Host": "gateway"}, False),
        ({"Origin": "", "Host": "gateway"}, False),
        ({"Origin": "http://[", "Host": "gateway"}, False),
    ],
)
async def test_only_our_own_pages_change_something(client: Client, keys: Keys, headers: Headers, allowed: bool) -> None:
    sent = {**headers, "Cookie": f"{COOKIE}={keys.key}"}
    for method in ("POST", "DELETE"):
        assert (await client.request(method, "/who", headers=sent)).status == (200 if allowed else 403)
    assert (await client.get("/who", headers=sent)).status == 200
    ended = await client.post("/logout", headers=sent, allow_redirects=False)
    assert ended.status == (303 if allowed else 403)
    # Who sends a key besides is no page that somebody was led to.
    assert (await client.post("/who", headers={**sent, "x-api-key": keys.key})).status == 200


async def test_nobody_is_logged_in_from_elsewhere(client: Client, keys: Keys) -> None:
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        answer = await log_in(client, keys.key, headers)
        assert (answer.status, len(answer.cookies)) == (403, 0)


@pytest.mark.parametrize("credential", ["", " ", "agentstop_wrong", WRONG_TOKEN, "a b", 'a"b', "é", "a;b", "a" * 3801])
async def test_what_is_no_key_and_no_token_begins_nothing(client: Client, credential: str) -> None:
    answer = await log_in(client, credential)
    assert (400 <= answer.status < 500, len(answer.cookies)) == (True, 0)


async def test_the_longest_credential_comes_back(client: Client) -> None:
    answer = await log_in(client, "a" * MAX_CREDENTIAL)
    assert len(answer.headers["Set-Cookie"]) <= 4096
    assert (await client.get("/who", headers=cookie_of(answer))).status == 200


@pytest.mark.parametrize("body", [b"\xff", b"credential=a&credential=b", b"&".join(b"%d=" % n for n in range(99))])
async def test_a_body_that_is_no_form_is_refused(client: Client, body: bytes) -> None:
    headers = {**OURS, "Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post("/login", data=body, headers=headers, allow_redirects=False)).status == 422


async def test_wrong_ones_are_slowed_down(client: Client, keys: Keys) -> None:
    codes = [(await log_in(client, f"agentstop_{number}")).status for number in range(8)]
    assert codes == [401] * 6 + [429] * 2
    answer = await log_in(client, "made-up-token")
    assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert (await log_in(client, keys.key)).status == 303


async def test_a_session_ends_with_its_key(client: Client, keys: Keys) -> None:
    sent = cookie_of(await log_in(client, keys.key))
    keys.revoke()
    answer = await client.get("/who", headers=sent)
    assert answer.status == 401
    (dropped,) = answer.cookies.values()
    assert (dropped.key, dropped.value, dropped["max-age"]) == (LOOPBACK_COOKIE, "", "0")


async def test_who_has_no_session_is_told_nothing_of_cookies(client: Client) -> None:
    answer = await client.get("/who")
    assert (answer.status, "Set-Cookie" in answer.headers) == (401, False)


async def test_logging_out_ends_it(client: Client, keys: Keys) -> None:
    for host in ({}, HTTPS):
        sent = {**OURS, **host, **cookie_of(await log_in(client, keys.key, {**OURS, **host}))}
        answer = await client.post("/logout", headers=sent, allow_redirects=False)
        (dropped,) = answer.cookies.values()
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        assert (sent["Cookie"].startswith(f"{dropped.key}="), dropped["max-age"]) == (True, "0")
        assert bool(dropped["secure"]) is bool(host)  # a browser takes it not back otherwise


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("/tasks/1?q=a", "/tasks/1?q=a"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: a=b", "/"),
    ],
)
async def test_a_login_leads_to_no_other_place(client: Client, keys: Keys, path: str, leads: str) -> None:
    answer = await log_in(client, keys.key, next=path)
    assert (answer.status, answer.headers["Location"]) == (303, leads)
    assert set(answer.cookies) == {LOOPBACK_COOKIE}

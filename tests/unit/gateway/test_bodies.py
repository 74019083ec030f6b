"""What is no body, however it is written."""

import json

import pytest

from agentstop.gateway.bodies import MAX_BODY_DEPTH, parse_object
from agentstop.gateway.errors import GatewayError, InvalidError, NoJsonError, TooLargeError
from agentstop.gateway.hosts import host_of, read_hosts


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}"])
def test_nothing_is_an_empty_object(body: bytes) -> None:
    assert parse_object(body) == {}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"null", InvalidError),
        (b"3", InvalidError),
        (b'"x"', InvalidError),
        (b"[{}]", InvalidError),
        (b"{", NoJsonError),
        (b"{} {}", NoJsonError),
        (b"\xff\xfe", NoJsonError),
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', InvalidError),
        (b'{"a": Infinity}', InvalidError),
        (b'{"a": ' + b"9" * 5000 + b"}", NoJsonError),
        (b'{"a": ' * 100_000, TooLargeError),
    ],
)
def test_anything_else_is_refused(body: bytes, kind: type[GatewayError]) -> None:
    with pytest.raises(kind) as caught:
        parse_object(body)
    assert caught.type is kind


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def test_so_deep_and_no_deeper() -> None:
    assert json.loads(nested(MAX_BODY_DEPTH)) == parse_object(nested(MAX_BODY_DEPTH))
    with pytest.raises(TooLargeError):
        parse_object(nested(MAX_BODY_DEPTH + 1))


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("api.xpander.ai", "api.xpander.ai"),
        ("API.xpander.ai:443", "api.xpander.ai"),
        ("api.xpander.ai.", "api.xpander.ai"),
        ("[::1]:8090", "::1"),
        ("", ""),
    ],
)
def test_a_host_is_its_name_alone(header: str, host: str) -> None:
    assert host_of(header) == host


def test_hosts_name_dialects_that_there_are() -> None:
    assert read_hosts("hosts: {API.xpander.ai: xpander}", ["xpander"]) == {"api.xpander.ai": "xpander"}
    for text, problem in (
        ("hosts: {api.xpander.ai: nobody}", "there is no dialect nobody"),
        ("hosts: {'a b': xpander}", "is no host name"),
        ("hosts: [", "no YAML"),
        ("host: {}", "host"),
    ):
        with pytest.raises(ValueError, match=problem):
            read_hosts(text, ["xpander"])

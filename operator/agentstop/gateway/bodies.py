"""Bodies of requests, which anybody may have written: bounded, and without what two readers could read differently."""

import asyncio
import json
from typing import Any, Final

from aiohttp import web

from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.errors import InvalidError, NoJsonError, SlowClientError, TooLargeError

MAX_BODY_BYTES: Final = 1024 * 1024
"""A worker of xpander's sends its whole record, with the agent's result in it."""

MAX_BODY_DEPTH: Final = 64
BODY_SECONDS: Final = 10.0
"""So long a client has to send a body."""


async def read_body(request: web.BaseRequest, most: int = MAX_BODY_BYTES) -> bytes:
    """Return the body of a request, unpacked. Raises TooLargeError, SlowClientError, InvalidError."""
    if not request.body_exists:
        return b""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most:
                    raise TooLargeError(f"the body has more than {most} bytes")
            return bytes(body)
    except web.RequestPayloadError:
        raise InvalidError("the body is not packed as its headers say", where=("body",)) from None
    except TimeoutError:
        raise SlowClientError(f"the body did not come within {BODY_SECONDS:.0f} seconds") from None


def parse_object(body: bytes) -> JsonObject:
    """Return the JSON object that a body is; an empty body is an empty one.

    Raises NoJsonError, InvalidError, TooLargeError. What the API server sends has to be read whatever is in it; this is
    refused where it is not as it must be.
    """
    if not body.strip():
        return {}
    try:
        found = json.loads(body, object_pairs_hook=_unique, parse_constant=_refused)
    except RecursionError:
        raise _too_deep() from None
    except InvalidError:
        raise
    except ValueError:
        raise NoJsonError("the body is no JSON", where=("body",)) from None
    if not isinstance(found, dict):
        raise InvalidError("the body is no JSON object", where=("body",))
    level: list[Any] = [found]
    for _ in range(MAX_BODY_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return found
    raise _too_deep()


def _too_deep() -> TooLargeError:
    return TooLargeError(f"the body is nested more than {MAX_BODY_DEPTH} levels deep")


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidError("the body has a key twice", where=("body",))
    return found


def _refused(word: str) -> None:
    raise InvalidError(f"the body has {word}, which is no JSON", where=("body",))

"""The form of answers."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

from agentstop.api.meta import Model
from agentstop.gateway.dialect import Call

NONE: Final[Mapping[str, str]] = MappingProxyType({})


def answer(model: Model, status: int = 200, headers: Mapping[str, str] = NONE) -> web.Response:
    """Return a model as JSON."""
    body = json.dumps(model.wire()).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def location(call: Call, ending: str, own: str) -> str:
    """Return the path of what this request has changed: that of the request, with another ending."""
    return call.request.rel_url.raw_path.removesuffix(ending) + own


def applied(seconds: float | None) -> dict[str, str]:
    """Return the header that says which preference counted."""
    return {"Preference-Applied": f"wait={seconds:.0f}"} if seconds is not None else {}

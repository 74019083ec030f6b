"""The agent card: what speaks A2A here, where, and with which keys. In one for both versions, which share no name.

Source: https://a2a-protocol.org/v1.0.0/specification/#441-agentcard
"""

import re
from typing import Final

from aiohttp import web

from agentstop import __version__
from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.callers import API_KEY_HEADER
from agentstop.gateway.dialect import Call, Route
from agentstop.gateway.errors import InvalidError

PATH: Final = "/.well-known/agent-card.json"

_HOST: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


async def show(call: Call) -> web.StreamResponse:
    """GET /.well-known/agent-card.json, for anybody: there is nothing of any task in it."""
    return web.json_response(card(_base(call)))


def card(base: str) -> JsonObject:
    """Return the card of a gateway whose A2A is below a URL."""
    transports = ("JSONRPC", "HTTP+JSON")
    schemes = ("apiKey", "bearer")
    interfaces = [
        {"url": base, "protocolBinding": transport, "protocolVersion": version}
        for version in ("1.0", "0.3")
        for transport in transports
    ]
    return {
        "name": "agentstop",
        "description": "Stops AI-agent work on Kubernetes, and says canceled once that is proven.",
        "version": __version__,
        "supportedInterfaces": interfaces,
        "capabilities": {"streaming": True, "pushNotifications": False, "extendedAgentCard": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [
            {
                "id": "stop",
                "name": "Stop a task",
                "description": "Cancel a task by its id; its processes are gone once it is canceled.",
                "tags": ["stop", "cancel", "kubernetes"],
            }
        ],
        "securitySchemes": {
            "apiKey": {
                "apiKeySecurityScheme": {"location": "header", "name": API_KEY_HEADER},
                "type": "apiKey",
                "in": "header",
                "name": API_KEY_HEADER,
            },
            "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}, "type": "http", "scheme": "Bearer"},
        },
        "securityRequirements": [{"schemes": {name: {"list": []}}} for name in schemes],
        # Version 0.3
        "protocolVersion": "0.3.0",
        "url": base,
        "preferredTransport": transports[0],
        "additionalInterfaces": [{"url": base, "transport": each} for each in transports],
        "security": [{name: []} for name in schemes],
    }


def _base(call: Call) -> str:
    """Return the URL below which the client has found us. Raises InvalidError where its host is none."""
    host = call.request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        raise InvalidError("Host: this is no host", where=("header", "Host"))
    # A proxy may have ended TLS: the key that a client sends next is not to go out in the clear.
    forwarded = call.request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    scheme = "https" if call.request.secure or forwarded == "https" else "http"
    return f"{scheme}://{host}{call.request.rel_url.raw_path.removesuffix(PATH)}"


ROUTES: Final = (Route("GET", PATH, show, public=True),)

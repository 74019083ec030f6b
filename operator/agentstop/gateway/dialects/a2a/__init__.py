"""A2A, the Agent2Agent protocol: versions 1.0 and 0.3, as HTTP+JSON and as JSON-RPC."""

from typing import Final

from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects.a2a import card, rest, rpc
from agentstop.gateway.dialects.a2a.errors import render

DIALECT: Final = Dialect(name="a2a", prefix="/a2a", routes=(*card.ROUTES, *rpc.ROUTES, *rest.ROUTES), render=render)

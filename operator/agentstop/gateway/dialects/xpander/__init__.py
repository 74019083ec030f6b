"""xpander: its REST API, and what its SDK sends."""

from typing import Final

from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects.xpander import rest, sdk
from agentstop.gateway.dialects.xpander.requests import render

DIALECT: Final = Dialect(name="xpander", prefix="/xpander", routes=(*rest.ROUTES, *sdk.ROUTES), render=render)

"""Blackbox: the API of its cloud, and the newer one of its agents."""

from typing import Final

from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects.blackbox import agent, cloud
from agentstop.gateway.dialects.blackbox.requests import render

DIALECT: Final = Dialect(name="blackbox", prefix="/blackbox", routes=(*cloud.ROUTES, *agent.ROUTES), render=render)

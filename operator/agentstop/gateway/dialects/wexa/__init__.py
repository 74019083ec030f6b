"""Wexa: its API for tasks and executions, as its SDK and its documents have it."""

from typing import Final

from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects.wexa import executions, tasks
from agentstop.gateway.dialects.wexa.ids import task_id
from agentstop.gateway.dialects.wexa.requests import render

DIALECT: Final = Dialect(
    name="wexa", prefix="/wexa", routes=(*tasks.ROUTES, *executions.ROUTES), render=render, alias=task_id
)

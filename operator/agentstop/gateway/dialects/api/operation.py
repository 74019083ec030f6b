"""One operation of the API: what its route is made of, and its description."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from agentstop.gateway.dialect import Handler, Route
from agentstop.gateway.dialects.api.requests import DryRunQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method and a path, and all that a client has to know of them."""

    name: str
    """Its operationId."""
    summary: str
    """What it does, in one sentence."""
    method: str
    path: str
    handler: Handler
    query: type[BaseModel]
    """The query's parameters."""
    body: type[BaseModel] | None = None
    """What is sent, where something is."""
    body_required: bool = False
    """Whether an empty body is none."""
    answers: Mapping[int, type[BaseModel] | None] = field(default_factory=dict)
    """What is answered, by status, where it succeeds; None is a stream of events."""
    waits: bool = False
    """Whether the answer waits for a proof, and `Prefer: wait=N` counts."""

    @property
    def route(self) -> Route:
        """Its route."""
        return Route(self.method, self.path, self.handler)


def posted(
    name: str,
    path: str,
    handler: Handler,
    body: type[BaseModel],
    answer: type[BaseModel],
    summary: str,
    *,
    makes: bool = False,
) -> Operation:
    """Return an operation that changes something and waits for the proof; `makes` is whether it makes an object."""
    codes = (200, 201, 202) if makes else (200, 202)
    return Operation(
        name=name,
        summary=summary,
        method="POST",
        path=path,
        handler=handler,
        query=DryRunQuery,
        body=body,
        body_required=makes,
        answers=dict.fromkeys(codes, answer),
        waits=True,
    )

"""One operation of the API: what its route is made of, and its description."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from agentstop.gateway.dialect import Handler, Route


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

"""What every page is made of."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from agentstop.gateway.dialect import Call
from agentstop.gateway.page.rendering import Part
from agentstop.gateway.page.rights import Rights


@dataclass(slots=True)
class Shown:
    """What a page shows."""

    parts: dict[str, Part] = field(default_factory=dict)
    """By the ids of their elements."""
    rows: dict[str, Part] | None = None
    """Rows of the page's table, in their order, by their ids; None where it has none."""


class View(ABC):
    """A page, for one caller."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._rights = Rights(call)

    @property
    def title(self) -> str:
        """What the page is called, once it was shown; empty for the start page."""
        return ""

    @property
    def period(self) -> float:
        """For how many seconds what it shows stays true where nothing changes."""
        return math.inf

    @property
    def query(self) -> Any:
        """What its form was filled in with; None where it has none."""
        return None

    @abstractmethod
    async def show(self) -> Shown:
        """Return it as it is now. Raises GatewayError."""

"""Which dialects there are."""

from typing import Final

from agentstop.gateway import page
from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects import a2a, api, blackbox, hooks, maia, wexa, xpander

DIALECTS: Final[tuple[Dialect, ...]] = (
    page.DIALECT,
    api.DIALECT,
    hooks.DIALECT,
    xpander.DIALECT,
    wexa.DIALECT,
    maia.DIALECT,
    blackbox.DIALECT,
    a2a.DIALECT,
)

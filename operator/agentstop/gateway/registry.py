"""Which dialects there are."""

from typing import Final

from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects import a2a, blackbox, maia, wexa, xpander

DIALECTS: Final[tuple[Dialect, ...]] = (
    xpander.DIALECT,
    wexa.DIALECT,
    maia.DIALECT,
    blackbox.DIALECT,
    a2a.DIALECT,
)

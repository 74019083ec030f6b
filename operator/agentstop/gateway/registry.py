"""Which dialects there are."""

from typing import Final

from agentstop.gateway import page
from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects import a2a, api, blackbox, hooks, litellm, maia, otlp, wexa, xpander

DIALECTS: Final[tuple[Dialect, ...]] = (
    page.DIALECT,
    api.DIALECT,
    hooks.DIALECT,
    otlp.DIALECT,
    litellm.DIALECT,
    xpander.DIALECT,
    wexa.DIALECT,
    maia.DIALECT,
    blackbox.DIALECT,
    a2a.DIALECT,
)

"""Templates, static files, and the headers that keep a browser from doing more than the page asks for."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from agentstop import __version__
from agentstop.gateway.dialect import Call
from agentstop.gateway.errors import NoSuchPageError
from agentstop.words.durations import clock, date_and_clock, spell
from agentstop.words.tasks import clean

_TYPES: Final = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

_STATIC: Final[Mapping[str, bytes]] = {
    each.name: each.read_bytes()
    for each in sorted((files(__package__) / "static").iterdir(), key=lambda each: each.name)
    if each.name.rpartition(".")[2] in _TYPES
}

STATIC_PREFIX: Final = f"/static/{hashlib.sha256(b''.join(_STATIC.values())).hexdigest()[:16]}"
"""Where the static files of just this version are: a browser may keep them for good."""

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types agentstop",
    )
)
"""Nothing from anywhere else, nothing inline, and no text becomes markup but what the gateway's templates have made.

Source: https://www.w3.org/TR/CSP3/, https://www.w3.org/TR/trusted-types/
"""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer, a browser would send a form of ours with the origin "null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a page that is replaced as a whole."""

    html: Markup
    mark: str
    """The same where the HTML is the same."""


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("agentstop.gateway.page"),
        autoescape=True,  # whatever a task says is text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"clean": clean, "spell": spell, "clock": clock, "when": date_and_clock, "epoch": epoch}
    environment.globals |= {"static": STATIC_PREFIX, "version": __version__}
    return environment


def epoch(at: datetime) -> int:
    """Return a moment in milliseconds since 1970, as browsers count."""
    return round(at.timestamp() * 1000)


_ENVIRONMENT: Final = _environment()


def part(template: str, **context: Any) -> Part:
    """Return a part, made from a template."""
    html = _ENVIRONMENT.get_template(template).render(context)
    return Part(Markup(html), hashlib.blake2s(html.encode(), digest_size=8).hexdigest())  # noqa: S704  # it is escaped


def document(template: str, *, status: int = 200, **context: Any) -> web.Response:
    """Return a whole page."""
    now = datetime.now(UTC)
    html = _ENVIRONMENT.get_template(template).render(context, now=now)
    return web.Response(status=status, text=html, content_type="text/html", headers=HEADERS)


async def static_file(call: Call) -> web.StreamResponse:
    """GET /static/{digest}/{name}."""
    name = call.params["name"]
    if name not in _STATIC or not call.request.rel_url.raw_path.startswith(f"{STATIC_PREFIX}/"):
        raise NoSuchPageError("there is no such file")
    headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(
        body=_STATIC[name], content_type=_TYPES[name.rpartition(".")[2]], charset="utf-8", headers=headers
    )

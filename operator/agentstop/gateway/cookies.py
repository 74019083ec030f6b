"""The cookie of a browser's session, and whether a request comes from a page of ours.

The cookie is the credential itself, an API key or a token: the gateway keeps nothing, any replica takes it, and it
counts for as long as the credential does. It is out of reach for scripts (HttpOnly), and other sites' pages can send
nothing with it (SameSite). Source: https://www.rfc-editor.org/rfc/rfc6265#section-4.1
"""

from ipaddress import ip_address
from typing import Final

from aiohttp import web

from agentstop.gateway.errors import ForbiddenError
from agentstop.gateway.hosts import host_of

COOKIE: Final = "__Host-agentstop"
"""A name that browsers take over TLS alone, and from this very host: none beside it can plant one.

Source: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis-22#section-4.1.3.2
"""

LOOPBACK_COOKIE: Final = "agentstop"
"""Its name where there is no TLS, which only loopback may go without."""

SESSION_SECONDS: Final = 43_200
"""How long a browser keeps it: a day's or a night's shift."""

MAX_CREDENTIAL: Final = 3800
"""So many characters a credential may have: browsers drop a cookie that has more than 4096 bytes in all."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""What changes nothing.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
"""


def credential_of(request: web.BaseRequest) -> str | None:
    """Return the credential in a request's cookie."""
    cookies = request.cookies
    return cookies.get(COOKIE) or (cookies.get(LOOPBACK_COOKIE) if is_plain_loopback(request) else None) or None


def keep(response: web.StreamResponse, request: web.BaseRequest, credential: str) -> None:
    """Have the browser keep a credential. It must consist of the characters of a token."""
    secure = not is_plain_loopback(request) or request.headers.get("Origin", "").startswith("https://")
    _set(response, COOKIE if secure else LOOPBACK_COOKIE, credential, SESSION_SECONDS)


def drop(response: web.StreamResponse, request: web.BaseRequest) -> None:
    """Have the browser forget it, if it has one."""
    for name in (COOKIE, LOOPBACK_COOKIE):
        if name in request.cookies:
            _set(response, name, "", 0)


def check_origin(request: web.BaseRequest) -> None:
    """Check that a page of ours sent a request, as only a browser can say it. Raises ForbiddenError.

    `Sec-Fetch-Site` is the browser's own word, which no page can set. A browser that is older than it, or has come by
    plain HTTP, says the origin of the page. SameSite alone does not do: other programs on this machine, and other hosts
    below the same domain, are of the same site.
    Source: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        ours = site == "same-origin"
    else:
        host = request.headers.get("Host", "").lower()
        ours = request.headers.get("Origin", "").lower() in {f"http://{host}", f"https://{host}"}
    if not ours:
        raise ForbiddenError("a session counts only for requests that the gateway's own pages send")


def check_confidential(request: web.BaseRequest) -> None:
    """Check that a browser would keep the cookie. Raises ForbiddenError where its page came by plain HTTP."""
    if not _by_https(request) and not is_plain_loopback(request):
        raise ForbiddenError("a browser keeps no session over plain HTTP: open this page with https://")


def is_plain_loopback(request: web.BaseRequest) -> bool:
    """Whether a request came without TLS, and by a name that leads nowhere but to the machine that sent it."""
    host = host_of(request.headers.get("Host", ""))
    return not request.secure and (host == "localhost" or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _by_https(request: web.BaseRequest) -> bool:
    """Whether the browser came by TLS, which may end before the gateway: so the page's origin counts, if it is said."""
    origin = request.headers.get("Origin", "")
    return request.secure or not origin.startswith("http://")


def _set(response: web.StreamResponse, name: str, value: str, seconds: int) -> None:
    response.set_cookie(name, value, max_age=seconds, path="/", secure=name == COOKIE, httponly=True, samesite="Strict")

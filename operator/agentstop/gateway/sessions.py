"""Sessions for browsers: a form takes an API key or a token, and the browser keeps it in a cookie.

A dialect for browsers has these routes among its own, and renders their errors as a page of its own.
"""

from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from agentstop.gateway import cookies
from agentstop.gateway.bodies import read_body
from agentstop.gateway.callers import TOKEN
from agentstop.gateway.cookies import MAX_CREDENTIAL
from agentstop.gateway.dialect import Call, Route
from agentstop.gateway.errors import InvalidError, TooLargeError, UnauthorizedError

MAX_FIELDS: Final = 8


async def log_in(call: Call) -> web.StreamResponse:
    """POST /login: take the form's `credential`, and lead to its `next`, a path of ours, or to the start page.

    Raises UnauthorizedError where nobody knows the credential, TooManyRequestsError where the address sent many such,
    ForbiddenError where no page of ours sent the form or the browser would keep no session, InvalidError.
    """
    cookies.check_origin(call.request)
    cookies.check_confidential(call.request)
    form = _fields(await read_body(call.request))
    credential = form.get("credential", "").strip()
    if not credential:
        raise UnauthorizedError("give an API key or a token")
    if len(credential) > MAX_CREDENTIAL:
        raise TooLargeError(f"a browser keeps at most {MAX_CREDENTIAL} characters: take an API key or a shorter token")
    if not TOKEN.fullmatch(credential):
        raise InvalidError("an API key or a token has letters, digits and -._~+/= only", where=("credential",))
    address = call.request.remote or ""
    await call.core.settle(call.core.callers.by_credential(credential, address), address)
    response = _lead_to(form.get("next", ""))
    cookies.keep(response, call.request, credential)
    return response


async def log_out(call: Call) -> web.StreamResponse:
    """POST /logout: end the session, whatever it is worth, and lead to the start page. Raises ForbiddenError."""
    cookies.check_origin(call.request)
    response = _lead_to("/")
    cookies.drop(response, call.request)
    return response


ROUTES: Final = (Route("POST", "/login", log_in, public=True), Route("POST", "/logout", log_out, public=True))


def _fields(body: bytes) -> dict[str, str]:
    """Return the fields of a form as browsers send one. Raises InvalidError."""
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise InvalidError("the body is no form", where=("body",)) from None
    if any(len(values) > 1 for values in found.values()):
        raise InvalidError("the form has a field twice", where=("body",))
    return {name: values[0] for name, values in found.items()}


def _lead_to(path: str) -> web.Response:
    """Return what leads to a path of ours; to the start page where it is none, as another host's would be."""
    # Browsers read a backslash as a slash, pass over control characters, and take what follows two slashes for a host.
    ours = path.startswith("/") and path.isascii() and path.isprintable() and not path.startswith(("//", "/\\"))
    return web.Response(status=303, headers={"Location": path if ours else "/"})

"""The page: all tasks as they are, and a button that stops them.

It shows, and changes nothing: what its buttons do is asked of our own API, with the session of whoever presses them.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from agentstop.gateway import sessions
from agentstop.gateway.cookies import credential_of
from agentstop.gateway.dialect import Call, Dialect, Route
from agentstop.gateway.errors import GatewayError, UnauthorizedError, UnavailableError
from agentstop.gateway.page import emergency, live, rendering
from agentstop.gateway.page.orders import OrderListView, OrderView
from agentstop.gateway.page.rights import Rights
from agentstop.gateway.page.task import TaskView
from agentstop.gateway.page.task_list import TaskListView
from agentstop.gateway.page.view import View

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


def _frame(call: Call, **context: Any) -> dict[str, Any]:
    """Return what every page is framed by."""
    path = call.request.rel_url
    return {
        "session": credential_of(call.request) is not None and _has_logout(call.dialect),
        "known": call.sender is not None,
        "path": path.path,
        "next": path.raw_path_qs,
        "live": "",
        "orders": False,
        **context,
    }


def _has_logout(dialect: Dialect) -> bool:
    """Whether there is a session to end: an owner's gateway has none."""
    return any(each.path == "/logout" for each in dialect.routes)


def _show(make: Callable[[Call], View], template: str) -> Handler:
    async def show(call: Call) -> web.StreamResponse:
        view = make(call)
        shown = await view.show()
        context = _frame(
            call,
            title=view.title,
            parts=shown.parts,
            rows=shown.rows or {},
            query=view.query,
            live=f"{call.request.rel_url.raw_path.rstrip('/')}/live",
            orders=await Rights(call).order(),
        )
        return rendering.document(template, **context)

    return show


def _follow(make: Callable[[Call], View]) -> Handler:
    async def follow(call: Call) -> web.StreamResponse:
        return await live.follow(call, make(call))

    return follow


async def _login(call: Call) -> web.StreamResponse:
    """GET /login."""
    return rendering.document(
        "login.html", **_frame(call, title="Log in", problem=None, next=call.query.get("next", "/"))
    )


def _pages() -> list[Route]:
    pages: tuple[tuple[str, Callable[[Call], View], str], ...] = (
        ("/", TaskListView, "list.html"),
        ("/tasks/{id}", TaskView, "task.html"),
        ("/orders", OrderListView, "orders.html"),
        ("/namespaces/{namespace}/stoporders/{name}", OrderView, "order.html"),
        ("/clusterstoporders/{name}", OrderView, "order.html"),
        ("/emergency", emergency.EmergencyView, "emergency.html"),
        ("/emergency/{namespace}/{name}", emergency.ConfirmView, "confirm.html"),
    )
    found = []
    for path, view, template in pages:
        found += [
            Route("GET", path, _show(view, template)),
            Route("GET", f"{path.rstrip('/')}/live", _follow(view)),
        ]
    # What is more special comes first: a path has one meaning.
    return sorted(found, key=lambda each: (each.path.count("{"), not each.path.endswith("/live")))


def render(error: GatewayError, call: Call) -> web.Response:
    """Return an error as a page for whoever reads one, as a line of text for all others."""
    request = call.request
    if "text/html" not in request.headers.get("Accept", ""):
        return web.Response(status=error.code, text=f"{error.message}\n")
    if isinstance(error, UnauthorizedError):
        sent = request.method == "POST" or credential_of(request) is not None
        problem = error.message if sent else None
        where = request.rel_url.raw_path_qs if request.method != "POST" else "/"
        context = _frame(call, title="Log in", problem=problem, next=where)
        return rendering.document("login.html", status=error.code, **context)
    title = HTTPStatus(error.code).phrase
    again = isinstance(error, UnavailableError)
    return rendering.document(
        "error.html", status=error.code, **_frame(call, title=title, message=error.message, again=again)
    )


DIALECT: Final = Dialect(
    name="page",
    prefix="",
    routes=(
        Route("GET", "/static/{digest}/{name}", rendering.static_file, public=True),
        Route("GET", "/login", _login, public=True),
        Route("GET", "/emergency/order", emergency.order),
        *sessions.ROUTES,
        *_pages(),
    ),
    render=render,
    browsers=True,
)

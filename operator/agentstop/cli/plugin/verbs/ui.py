"""`agentstop ui`: the gateway's page for oneself, with one's own kubeconfig."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from agentstop.cli.plugin.command import Verb
from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.names import TASK
from agentstop.cli.plugin.options import connection_options
from agentstop.cli.plugin.session import Session
from agentstop.client.errors import ApiError

if TYPE_CHECKING:
    from agentstop.client.client import Api


@click.command(cls=Verb, short_help="show all tasks in the browser, with a button that stops them")
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Listen on this port; a free one without it.",
)
@connection_options
@click.pass_obj
def ui(session: Session, no_browser: bool, port: int) -> int:
    """Shows all tasks in the browser, live, with a button that stops them.

    It serves the page on 127.0.0.1 alone, to one browser, and acts as you: what you may do with kubectl is what the
    buttons do. Without -n it shows all namespaces, or the context's own where you may not list the tasks of all.
    Ctrl-C ends it.
    """
    namespaces = _namespaces(session)
    # Imported here, so that the other verbs do not wait for what serves.
    import asyncio
    import logging

    from agentstop.client.authorization import Authorization
    from agentstop.cluster.connection import NoConnectionError, configuration_of
    from agentstop.gateway.owner import DIALECTS, Owner
    from agentstop.gateway.server import Options, Server, StartError

    logging.basicConfig(level=logging.WARNING, format="agentstop: %(message)s")
    api = session.api
    target = api.target
    acts_as = [("Impersonate-User", target.impersonate)] if target.impersonate else []
    acts_as += [("Impersonate-Group", each) for each in target.impersonate_groups]

    authorization = Authorization(api, lambda problem: click.echo(f"agentstop: {problem}", err=True))

    def ready(listening: int) -> None:
        address = f"http://127.0.0.1:{listening}/?token={owner.token}"
        click.echo(address)
        if not no_browser:
            click.echo(_opened(address), err=True)

    async def serve() -> None:
        await Server(Options(port=port, namespaces=namespaces), DIALECTS, owner).run()

    connect = partial(configuration_of, _kubeconfig(api), authorization.current)
    owner = Owner(connect, ready, acts_as, authorization.renew)
    try:
        asyncio.run(serve())
    except (NoConnectionError, StartError) as error:
        raise PluginError(str(error)) from error
    return Exit.OK


def _namespaces(session: Session) -> tuple[str, ...]:
    """Return the namespaces to show; none are all. Raises ApiError where the user may list no tasks there."""
    one = {"limit": "1"}
    if session.settings.namespace is None:
        try:
            session.api.page(TASK.path(None), one)
        except ApiError as error:
            if error.code != 403:
                raise
            click.echo(f"You may not list the tasks of all namespaces: this shows {session.namespace} alone.", err=True)
        else:
            return ()
    session.api.page(TASK.path(session.namespace), one)
    return (session.namespace,)


def _kubeconfig(api: "Api") -> Mapping[str, Any]:
    """Return a kubeconfig with the way to the API server, and the user's certificate if there is one."""
    import base64

    known = api.credentials
    user = {
        f"{name}-data": base64.b64encode(pem).decode()
        for name, pem in (("client-certificate", known.certificate), ("client-key", known.key))
        if pem
    }
    name = "ui"
    return {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {**api.target.cluster, "server": api.target.server}}],
        "users": [{"name": name, "user": user}],
    }


def _opened(address: str) -> str:
    """Open the browser, if there is one with windows; return what to say of it."""
    graphical = sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    if not graphical:
        return "There is no browser here: open this address in one on this machine. Ctrl-C ends the page."
    import threading
    import webbrowser

    # Some browsers are waited for until they end.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    return "Your browser opens the page. Ctrl-C ends it."

"""How to reach the API server: KUBECONFIG, the default kubeconfig, or the pod's service account."""

import asyncio
import os
import resource
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import config
from kubernetes.aio.client import Configuration

MAX_FILES: Final = 65_536

DEFAULT_KUBECONFIG: Final = "~/.kube/config"


class NoConnectionError(Exception):
    """No usable way to an API server is configured; the message says what to do about it."""


async def load_configuration() -> Configuration:
    """Return the client configuration.

    In a pod without KUBECONFIG it is the service account's; otherwise that of KUBECONFIG or of the default kubeconfig.
    Raises NoConnectionError where there is none, or where it cannot be read.
    Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """
    configuration = _plain()
    files = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    if not files and "KUBERNETES_SERVICE_HOST" in os.environ:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as error:
            raise NoConnectionError(f"the pod's service account cannot be used: {error}") from error
        return _through_proxy(configuration)
    where = os.pathsep.join(files) or DEFAULT_KUBECONFIG
    if not _any_exists(files or [DEFAULT_KUBECONFIG]):
        raise NoConnectionError(
            f"no kubeconfig at {where}: set KUBECONFIG to one, or start a playground with `agentstop playground`"
        )
    try:
        await config.load_kube_config(config_file=where, client_configuration=configuration)
    except Exception as error:
        # The loader lets errors of YAML, TLS, files and plug-ins through as they come.
        reason = " ".join(str(error).split())
        if not isinstance(error, config.ConfigException | OSError):
            reason = f"it is not a valid kubeconfig ({reason})"
        raise NoConnectionError(f"the kubeconfig {where} cannot be used: {reason}") from error
    return _through_proxy(configuration)


async def configuration_of(kubeconfig: Mapping[str, Any], authorization: Callable[[], str | None]) -> Configuration:
    """Return the client configuration for the current context of a kubeconfig that was read already.

    `authorization` is called in a thread before each request, and returns the header's value; credential plug-ins are
    its business. Raises NoConnectionError where the kubeconfig cannot be used.
    """

    async def refresh(current: Configuration) -> None:
        shown = await asyncio.to_thread(authorization)
        if shown is not None:
            current.api_key["BearerToken"] = shown

    configuration = _plain()
    try:
        await config.load_kube_config_from_dict(dict(kubeconfig), client_configuration=configuration)
    except Exception as error:
        # As above: errors come as they are.
        raise NoConnectionError(f"the kubeconfig cannot be used: {' '.join(str(error).split())}") from error
    # The client asks the hook only where there is something to refresh.
    await refresh(configuration)
    configuration.refresh_api_key_hook = refresh
    return _through_proxy(configuration)


def without_credentials(configuration: Configuration) -> Configuration:
    """Return what leads to the same API server as nobody: for requests with the token of somebody else.

    A client certificate would count before the token that a request brings, so none may be on the connection.
    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
    """
    bare = Configuration(host=configuration.host)
    for name in _WAY:
        setattr(bare, name, getattr(configuration, name))
    return bare


_WAY: Final = (
    "ssl_ca_cert",
    "ca_cert_data",
    "verify_ssl",
    "disable_strict_ssl_verification",
    "assert_hostname",
    "tls_server_name",
    "proxy",
    "proxy_headers",
    "client_session_kwargs",
)
"""What a configuration says of the way to the API server, and nothing of who goes it."""


def _plain() -> Configuration:
    configuration = Configuration()
    # With trust_env aiohttp reads .netrc and the environment anew, in a thread, for each single request.
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


def _through_proxy(configuration: Configuration) -> Configuration:
    """Use the proxy that the environment names for this API server, if it does and the kubeconfig names none."""
    server = urlsplit(configuration.host)
    if configuration.proxy is None and not proxy_bypass(server.hostname or ""):
        configuration.proxy = getproxies().get(server.scheme)
    return configuration


def _any_exists(names: list[str]) -> bool:
    return any(Path(name).expanduser().exists() for name in names)


def allow_many_connections() -> None:
    """Use as many files as the system allows: all that is followed or served takes a connection, and so does a stop."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MAX_FILES)), hard))

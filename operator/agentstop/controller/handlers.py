"""kopf's handlers, for orders and namespaces: they hand events on, and do nothing else.

They are `on.event` handlers alone and never fill `patch`: kopf would apply it, and make later events wait for the echo.
Their errors are never retried by kopf; what must be retried goes through our own queue.
"""

from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client import Configuration

from agentstop.api.meta import GROUP, VERSION
from agentstop.api.order import CLUSTER_ORDER_KIND, CLUSTER_ORDER_PLURAL, ORDER_KIND, ORDER_PLURAL
from agentstop.cluster.connection import load_configuration
from agentstop.controller.answers import Answers
from agentstop.controller.metrics import Metrics
from agentstop.controller.stop_order_handler import StopOrderHandler
from agentstop.controller.watch_health import WatchHealth
from agentstop.timings import TIMINGS, Timings


def build_registry(
    orders: StopOrderHandler, metrics: Metrics, *, everywhere: bool, timings: Timings = TIMINGS
) -> kopf.OperatorRegistry:
    """Return kopf's registry with our handlers.

    `everywhere` is whether all namespaces are served: only then anything outside of namespaces is looked at.
    """
    registry = kopf.OperatorRegistry()
    sessions = Sessions(metrics.watch_health, timings)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return sessions.session(await connection_info(await load_configuration()))

    @kopf.on.event(GROUP, VERSION, ORDER_PLURAL, registry=registry)
    async def on_order(type: str | None, event: Any, **_: Any) -> None:  # noqa: A002  (kopf's name)
        metrics.heard(ORDER_KIND)
        orders.order(type, event["object"])

    if everywhere:

        @kopf.on.event(GROUP, VERSION, CLUSTER_ORDER_PLURAL, registry=registry)
        async def on_cluster_order(type: str | None, event: Any, **_: Any) -> None:  # noqa: A002  (kopf's name)
            metrics.heard(CLUSTER_ORDER_KIND)
            orders.order(type, event["object"])

        @kopf.on.event("", "v1", "namespaces", registry=registry)
        async def on_namespace(type: str | None, event: Any, **_: Any) -> None:  # noqa: A002  (kopf's name)
            metrics.heard("Namespace")
            orders.namespace(type, event["object"])

    return registry


class Sessions:
    """kopf's connections: as it would make them itself, but with answers that it can read."""

    def __init__(self, watch_health: WatchHealth, timings: Timings = TIMINGS) -> None:
        self._answers = Answers(watch_health, timings)
        self._newest: tuple[kopf.ConnectionInfo, kopf.AiohttpSession] | None = None

    def session(self, info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
        """Return a session for these credentials.

        The same credentials get the same session: so kopf sees that it has tried them, and does not try for ever.
        """
        if self._newest is None or self._newest[0] != info:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
                headers={**info.as_http_headers(), "Accept-Encoding": "identity"},
                proxy=info.proxy_url,
                response_class=self._answers.response(),
            )
            self._newest = info, kopf.AiohttpSession(server=info.server, aiohttp_session=session)
        return self._newest[1]


async def connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    """Return the connection of the official client in the form that kopf takes."""
    header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
    )

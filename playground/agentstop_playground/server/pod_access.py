"""The subresources of pods that are no part of the object: binding to a node, eviction, and the node's logs."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from agentstop_playground import times

from . import errors
from .admission import WriteOptions
from .deletion import Deleter, check_preconditions, parse_options
from .engine import Engine
from .negotiation import Target
from .resources import Resource
from .store import Record
from .wire import Json

_log = logging.getLogger(__name__)

_LOG_OPTIONS: Final = (
    "follow",
    "tailLines",
    "previous",
    "timestamps",
    "sinceSeconds",
    "sinceTime",
    "limitBytes",
    "stream",
)


def bind(engine: Engine, pods: Resource, namespace: str, name: str, body: Any, options: WriteOptions) -> None:
    """Assign a pod to the node that a Binding names; without ``name`` the Binding's own name is the pod's.

    Raises:
        ApiError: 422 without a target, 404 for no such pod, 409 for one that is being deleted or is bound already.
    """
    binding: Json = body if isinstance(body, dict) else {}
    target, metadata = (
        part if isinstance(part, dict) else {} for part in (binding.get("target"), binding.get("metadata"))
    )
    name = name or str(metadata.get("name", ""))
    node = target.get("name")
    if not isinstance(node, str) or not node:
        raise errors.unprocessable("", "Binding", name, [errors.required("target.name")])
    record = engine.get(pods, namespace, name)
    uid = metadata.get("uid")
    if uid and uid != record.uid:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
        raise errors.conflict("", "pods/binding", name, why)
    if "deletionTimestamp" in record.obj["metadata"]:
        raise errors.conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    bound = record.obj["spec"].get("nodeName")
    if bound:
        raise errors.conflict("", "pods/binding", name, f'pod {name} is already assigned to node "{bound}"')

    def change(pod: Json) -> None:
        pod["spec"]["nodeName"] = node
        for key in ("labels", "annotations"):
            if isinstance(metadata.get(key), dict):
                pod["metadata"][key] = {**(pod["metadata"].get(key) or {}), **metadata[key]}
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        conditions[:] = [item for item in conditions if item.get("type") != "PodScheduled"]
        conditions.append(
            {
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": times.rfc3339(times.now()),
            }
        )

    if not options.dry_run:
        engine.modify(pods, record, change)


def evict(engine: Engine, deleter: Deleter, pods: Resource, target: Target, body: Any, options: WriteOptions) -> None:
    """Delete a pod, and have its condition say that it was evicted; there are no disruption budgets here.

    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/

    Raises:
        ApiError: 400 for what is no Eviction, 404 for no such pod, 409 for another one than the preconditions name.
    """
    eviction: Json = body if isinstance(body, dict) else {}
    if eviction.get("kind", "Eviction") != "Eviction":
        raise errors.bad_request(f"the body has to be an Eviction, not {eviction['kind']}")
    deletion = parse_options(eviction.get("deleteOptions"), {})
    record = engine.get(pods, target.namespace, target.name)
    check_preconditions(pods, record, deletion)

    def change(pod: Json) -> None:
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        conditions[:] = [item for item in conditions if item.get("type") != "DisruptionTarget"]
        conditions.append(
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
                "lastProbeTime": None,
                "lastTransitionTime": times.rfc3339(times.now()),
            }
        )

    if not options.dry_run and not deletion.dry_run:
        deleter.delete_record(pods, engine.modify(pods, record, change), deletion)


def log_container(pod: Record, asked: str) -> str:
    """The container whose log is wanted.

    Raises:
        ApiError: 400, when there is none of that name, or several and none was named.
    """
    spec, metadata = pod.obj["spec"], pod.obj["metadata"]
    names = [item["name"] for item in spec.get("containers") or ()]
    init_names = [item["name"] for item in spec.get("initContainers") or ()]
    if asked:
        if asked in {*names, *init_names, *(item["name"] for item in spec.get("ephemeralContainers") or ())}:
            return asked
        raise errors.bad_request(f"container {asked} is not valid for pod {metadata['name']}")
    if len(names) == 1:
        return str(names[0])
    message = f"a container name must be specified for pod {metadata['name']}, choose one of: [{' '.join(names)}]"
    if init_names:
        message += f" or one of the init containers: [{' '.join(init_names)}]"
    raise errors.bad_request(message)


def kubelet_address(node: Record, node_name: str) -> str:
    """``http://IP:PORT`` of a node's kubelet, which has to be on loopback.

    Raises:
        ApiError: 500, when the node has none.
    """
    status: Mapping[str, Any] = node.obj.get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    for address in status.get("addresses") or ():
        if address.get("type") != "InternalIP" or not port:
            continue
        try:
            ip = ipaddress.ip_address(address.get("address", ""))
        except ValueError:
            continue
        if ip.is_loopback:
            return f"http://[{ip}]:{port}" if ip.version == 6 else f"http://{ip}:{port}"
    raise errors.internal(f'node "{node_name}" has no kubelet on loopback')


class LogProxy:
    """Fetches logs from the nodes."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def open(self, engine: Engine, pod: Record, nodes: Resource, query: Mapping[str, str]) -> LogStream:
        """Begin to read a container's log.

        Raises:
            ApiError: what the node answered, or why it could not be asked.
        """
        container = log_container(pod, query.get("container", ""))
        name, namespace = pod.obj["metadata"]["name"], pod.obj["metadata"]["namespace"]
        node_name = pod.obj["spec"].get("nodeName")
        if not node_name:
            raise errors.bad_request(f"pod {name} does not have a host assigned")
        node = engine.collection(nodes).get("", node_name)
        if node is None:
            # The real server says so too: it names the node as if it were the pod.
            raise errors.not_found("", "pods", node_name)
        base = kubelet_address(node, node_name)
        url = f"{base}/containerLogs/{quote(namespace)}/{quote(name)}/{quote(container)}"
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        asked = {key: query[key] for key in _LOG_OPTIONS if key in query}
        try:
            response = await self._session.get(url, params=asked)
        except aiohttp.ClientError as error:
            cause = getattr(error, "os_error", error)
            raise errors.internal(f'Get "{url}": {cause}') from error
        if response.status != 200:
            text = (await response.text()).strip()
            response.release()
            if response.status == 404:
                message = text or f'the server could not find the log of container "{container}" in pod "{name}"'
                raise errors.ApiError(404, "NotFound", message)
            if response.status == 400:
                raise errors.bad_request(text or "the node refused the request")
            raise errors.internal(text or f"the node answered {response.status}")
        return LogStream(response)


class LogStream:
    """An open log: its bytes as the node sends them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except aiohttp.ClientError as error:
            _log.info("A node broke off a log: %s", error)
        finally:
            self._response.close()

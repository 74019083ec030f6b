"""The HTTP face of the server: from requests to the engine, and from its results to responses."""

from __future__ import annotations

import logging
from typing import Any, Final

from aiohttp import web

from . import discovery, errors, openapi, pod_access, presenter, watching
from .builtin_kinds import REVIEWS
from .deletion import Deleter, parse_options
from .engine import Engine
from .errors import ApiError
from .negotiation import PLAIN, Target, flag, number, parse_path, read_body, view
from .registry import Registry
from .requests import OPEN_PATHS, authenticated_path, patch_request, version, write_request
from .resources import Resource
from .scaling import SCALE, Scaling
from .selectors import Selector, parse
from .store import Record
from .watching import WatchRequest
from .wire import Json, dumps

_log = logging.getLogger(__name__)

_JSON: Final = "application/json"


class HttpApi:
    """Answers requests. Give ``handle`` to an aiohttp server."""

    def __init__(self, engine: Engine, deleter: Deleter, token: str) -> None:
        self._engine = engine
        self._deleter = deleter
        self._scaling = Scaling(engine)
        self._registry: Registry = engine.registry
        self._token = token.encode()
        self._logs = pod_access.LogProxy()
        self._documents: dict[tuple[str, str, int], bytes] = {}

    async def close(self) -> None:
        """Give back what requests have opened."""
        await self._logs.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; errors become ``Status`` objects."""
        try:
            return await self._route(request)
        except ApiError as error:
            return _status_response(error)
        except web.HTTPRequestEntityTooLarge:
            message = "Request entity too large: limit is 3145728"
            return _status_response(ApiError(413, "RequestEntityTooLarge", message))
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001  whatever it is, the client gets a Status and the log the traceback
            _log.exception("Unexpected error while answering %s %s", request.method, request.path)
            return _status_response(errors.internal("unexpected error; the playground's log says more"))

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = authenticated_path(request, self._token)
        if path in OPEN_PATHS:
            return _json(discovery.VERSION) if path == "/version" else web.Response(text="ok")
        if path.startswith("/openapi"):
            return self._openapi(request, path)
        target = parse_path(path)
        if target is None:
            return self._discovery(request, path)
        if (target.group, target.plural) in REVIEWS:
            return await self._review(request, target)
        if target.plural == "bindings" and not target.group:
            return await self._binding(request, target)
        resource = self._registry.find(target.group, target.version, target.plural)
        if resource is None:
            raise errors.no_such_path()
        _check_scope(resource, target)
        if target.subresource:
            return await self._subresource(request, resource, target)
        return await self._resource(request, resource, target)

    def _discovery(self, request: web.BaseRequest, path: str) -> web.Response:
        parts = path.strip("/").split("/")
        accept = request.headers.get("Accept", "")
        if parts in (["api"], ["apis"]):
            core = parts == ["api"]
            wanted = discovery.AGGREGATED.search(accept.replace(" ", ""))
            if wanted:
                body = discovery.aggregated(self._registry, core=core, version=wanted[1])
                return _json(body, f"{_JSON};{wanted[0]}")
            return _json(discovery.core_versions(request.host) if core else discovery.group_list(self._registry))
        answer: Json | None = None
        match parts:
            case ["apis", group]:
                answer = discovery.group(self._registry, group)
            case ["api", version]:
                answer = discovery.resource_list(self._registry, "", version)
            case ["apis", group, version]:
                answer = discovery.resource_list(self._registry, group, version)
        if answer is None:
            return web.Response(status=404, text="404 page not found\n")
        return _json(answer)

    def _openapi(self, request: web.BaseRequest, path: str) -> web.Response:
        parts = path.strip("/").split("/")
        match parts:
            case ["openapi", "v2"]:
                view(request.headers.get("Accept", ""))
                info = {"title": "Kubernetes", "version": discovery.VERSION["gitVersion"]}
                return _json({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}})
            case ["openapi", "v3"]:
                return _json(openapi.index(self._registry))
            case ["openapi", "v3", "api", version]:
                return self._document("", version)
            case ["openapi", "v3", "apis", group, version]:
                return self._document(group, version)
        raise errors.no_such_path()

    def _document(self, group: str, version: str) -> web.Response:
        key = group, version, self._registry.generation
        if key not in self._documents:
            self._documents = {old: body for old, body in self._documents.items() if old[2] == key[2]}
            self._documents[key] = dumps(openapi.document(self._registry, group, version))
        return web.Response(body=self._documents[key], content_type=_JSON)

    async def _review(self, request: web.BaseRequest, target: Target) -> web.Response:
        if request.method != "POST":
            raise errors.method_not_allowed()
        body, _ = read_body(await request.read(), request.content_type)
        kind = REVIEWS[target.group, target.plural]
        status: Json = {"allowed": True, "reason": "the playground allows everything to who has its token"}
        if kind == "SelfSubjectReview":
            status = {"userInfo": {"username": "playground", "groups": ["system:masters", "system:authenticated"]}}
        answer = {**(body if isinstance(body, dict) else {}), "kind": kind, "status": status}
        return _json({"apiVersion": f"{target.group}/{target.version}", "metadata": {}, **answer}, status=201)

    async def _resource(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.StreamResponse:
        match request.method, bool(target.name):
            case "GET", False:
                if flag(request.query, "watch"):
                    return await self._watch(request, resource, target)
                return self._list(request, resource, target)
            case "GET", True:
                if flag(request.query, "watch"):
                    return await self._watch(request, resource, target)
                record = self._engine.get(resource, target.namespace, target.name)
                return self._present(request, resource, record)
            case "POST", False:
                body, options = await write_request(request)
                record = self._engine.create(resource, target.namespace, body, options)
                return self._present(request, resource, record, status=201, warnings=options.warnings)
            case "PUT", True:
                return await self._put(request, resource, target)
            case "PATCH", True:
                return await self._patch(request, resource, target)
            case "DELETE", True:
                return await self._delete(request, resource, target)
            case "DELETE", False:
                return await self._delete_collection(request, resource, target)
        raise errors.method_not_allowed()

    async def _subresource(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.StreamResponse:
        if target.subresource not in resource.subresources:
            raise errors.no_such_path()
        match target.subresource, request.method:
            case "status" | "ephemeralcontainers", "GET":
                record = self._engine.get(resource, target.namespace, target.name)
                return self._present(request, resource, record)
            case "status" | "finalize" | "ephemeralcontainers", "PUT":
                return await self._put(request, resource, target)
            case "status" | "ephemeralcontainers", "PATCH":
                return await self._patch(request, resource, target)
            case "scale", "GET":
                return self._present(request, SCALE, self._scaling.get(resource, target.namespace, target.name))
            case "scale", "PATCH":
                return await self._patch_scale(request, resource, target)
            case "log", "GET":
                return await self._log(request, resource, target)
            case "binding", "POST":
                return await self._binding(request, target)
            case "eviction", "POST":
                body, write = await write_request(request)
                pod_access.evict(self._engine, self._deleter, resource, target, body, write)
                return _success()
        raise errors.method_not_allowed()

    async def _binding(self, request: web.BaseRequest, target: Target) -> web.Response:
        """Bind a pod, by its subresource or by the old way of creating a Binding."""
        pods = self._registry.find("", "v1", "pods")
        if request.method != "POST" or pods is None:
            raise errors.method_not_allowed()
        body, options = await write_request(request)
        pod_access.bind(self._engine, pods, target.namespace, target.name, body, options)
        return _success()

    def _selector(self, request: web.BaseRequest, resource: Resource, target: Target) -> Selector:
        query = request.query
        fields = query.get("fieldSelector", "")
        if target.name:
            fields = f"{fields},metadata.name={target.name}" if fields else f"metadata.name={target.name}"
        return parse(query.get("labelSelector", ""), fields, resource.fields)

    def _list(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.Response:
        query = request.query
        asked, match = version(query), query.get("resourceVersionMatch", "")
        token = query.get("continue", "")
        if token and asked:
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        collection = self._engine.collection(resource)
        if asked:
            collection.check_version(asked, exact=match == "Exact")
        page = presenter.page(
            collection,
            target.namespace,
            self._selector(request, resource, target),
            limit=number(query, "limit"),
            token=token,
            version=asked if match == "Exact" and asked else None,
        )
        form = view(request.headers.get("Accept", ""))
        body = presenter.listing(resource, page, form, query.get("includeObject", "Metadata"))
        return web.Response(body=body, content_type=_JSON)

    async def _watch(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.StreamResponse:
        query = request.query
        initial = flag(query, "sendInitialEvents")
        bookmarks = flag(query, "allowWatchBookmarks")
        if initial and query.get("resourceVersionMatch") != "NotOlderThan":
            detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            problem = errors.forbidden_field("resourceVersionMatch", detail)
            raise errors.unprocessable("meta.k8s.io", "ListOptions", "", [problem])
        asked = version(query)
        if "sendInitialEvents" in query and not initial and not asked:
            # Only what happens from now on.
            asked = self._engine.store.version
        wanted = WatchRequest(
            namespace=target.namespace,
            selector=self._selector(request, resource, target),
            version=asked or None,
            timeout=number(query, "timeoutSeconds"),
            bookmarks=bookmarks,
            initial_events=initial,
        )
        framer = presenter.Framer(
            resource, view(request.headers.get("Accept", "")), query.get("includeObject", "Metadata")
        )
        response = web.StreamResponse(headers={"Content-Type": _JSON, "Cache-Control": "no-cache, private"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for chunk in watching.stream(self._engine.collection(resource), framer, wanted):
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _put(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.Response:
        body, options = await write_request(request, target.subresource)
        record = self._engine.update(resource, target.namespace, target.name, body, options)
        return self._present(request, resource, record, warnings=options.warnings)

    async def _patch_scale(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.Response:
        body, options = await patch_request(request, target.subresource)
        record = self._scaling.patch(resource, target.namespace, target.name, request.content_type, body, options)
        return self._present(request, SCALE, record, warnings=options.warnings)

    async def _patch(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.Response:
        body, options = await patch_request(request, target.subresource)
        existed = self._engine.collection(resource).get(target.namespace, target.name) is not None
        record = self._engine.patch(resource, target.namespace, target.name, request.content_type, body, options)
        status = 200 if existed else 201
        return self._present(request, resource, record, status=status, warnings=options.warnings)

    async def _delete(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.Response:
        data = await request.read()
        body = read_body(data, request.content_type)[0] if data.strip() else None
        options = parse_options(body, request.query)
        deleted = self._deleter.delete(resource, target.namespace, target.name, options)
        if not deleted.gone or resource.collection == "pods":
            return self._present(request, resource, deleted.record)
        details: Json = {"name": target.name, "kind": resource.plural, "uid": deleted.record.uid}
        if resource.group:
            details["group"] = resource.group
        return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})

    async def _delete_collection(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.Response:
        data = await request.read()
        body = read_body(data, request.content_type)[0] if data.strip() else None
        if resource.namespaced and not target.namespace:
            raise errors.method_not_allowed()
        selector = self._selector(request, resource, target)
        options = parse_options(body, request.query)
        records = self._deleter.delete_collection(resource, target.namespace, selector, options)
        page = presenter.Page(records, self._engine.store.version)
        return web.Response(body=presenter.listing(resource, page, PLAIN, "Metadata"), content_type=_JSON)

    async def _log(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.StreamResponse:
        pod = self._engine.get(resource, target.namespace, target.name)
        nodes = self._registry.find("", "v1", "nodes")
        if nodes is None:
            raise errors.no_such_path()
        stream = await self._logs.open(self._engine, pod, nodes, request.query)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for chunk in stream:
            await response.write(chunk)
        await response.write_eof()
        return response

    def _present(
        self,
        request: web.BaseRequest,
        resource: Resource,
        record: Record,
        *,
        status: int = 200,
        warnings: list[str] | None = None,
    ) -> web.Response:
        form = view(request.headers.get("Accept", ""))
        body = presenter.single(resource, record, form, request.query.get("includeObject", "Metadata"))
        response = web.Response(body=body, content_type=_JSON, status=status)
        for warning in warnings or ():
            escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
            response.headers.add("Warning", f'299 - "{escaped}"')
        return response


def _check_scope(resource: Resource, target: Target) -> None:
    if target.namespace and not resource.namespaced:
        raise errors.no_such_path()
    if target.name and resource.namespaced and not target.namespace:
        raise errors.no_such_path()


def _json(body: Any, content_type: str = _JSON, *, status: int = 200) -> web.Response:
    return web.Response(body=dumps(body), status=status, headers={"Content-Type": content_type})


def _success() -> web.Response:
    return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, status=201)


def _status_response(error: ApiError) -> web.Response:
    response = _json(error.status(), status=error.code)
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response

"""Helm's own engine: what a chart renders as, and releases on a cluster.

The library's Python functions leave out some options of its engine that we need, so these go to the engine itself.
"""

import asyncio
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python
import yaml
from helm_python import _native

from tests.support.kube import Object
from tests.support.programs import ROOT

CHART = ROOT / "charts" / "agentstop"
KUBERNETES = "v1.36.2"
NAMESPACE = "agentstop-system"
RELEASE = "agentstop"

OLDEST = "v1.30.0"
"""The oldest Kubernetes that the chart is for."""


def templates(
    values: Mapping[str, Any] | None = None,
    *,
    name: str = RELEASE,
    namespace: str = NAMESPACE,
    kubernetes: str = KUBERNETES,
    api_versions: Sequence[str] = (),
    upgrade: bool = False,
    chart: Path = CHART,
) -> dict[str, str]:
    """Render every template, by its path in the chart's `templates/`.

    `api_versions` are served besides the usual ones: `group/version`, or `group/version/Kind` if a template asks so.
    Raises HelmValuesError for values that the schema refuses, HelmRenderError for templates that fail.
    """
    options = {
        "name": name,
        "namespace": namespace,
        "kube_version": kubernetes,
        "api_versions": list(api_versions),
        "is_upgrade": upgrade,
        "is_install": not upgrade,
    }
    text = (_rendered if chart == CHART else _render)(chart, json.dumps(values or {}), json.dumps(options))
    rendered: dict[str, str] = json.loads(text)
    return {path.split("/templates/", 1)[1]: content for path, content in rendered.items()}


def _render(chart: Path, values: str, options: str) -> str:
    with helm_python.Chart.load(chart) as loaded:
        return str(_native.call_string("helm_render", loaded._raw(), values, options))


_rendered = functools.lru_cache(maxsize=64)(_render)
"""Of what does not change."""


def render(values: Mapping[str, Any] | None = None, **options: Any) -> list[Object]:
    """Render a chart and return all objects, hooks too; the options are those of `templates`."""
    texts = templates(values, **options)
    return [
        each for path, text in sorted(texts.items()) if path.endswith(".yaml") for each in json.loads(_parsed(text))
    ]


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> str:
    """Return the documents of a text as JSON, which is read much sooner; most values change few templates."""
    return json.dumps([each for each in yaml.load_all(text, Loader=_Strict) if each])


def dry_run(config: helm_python.Config, values: Object | None = None, **options: Any) -> Object:
    """Install on no cluster, and return what `helm install` would tell, its notes too; raises HelmError.

    Unlike rendering it looks at the chart's `kubeVersion`.
    """
    return _install(config, "helm_install", RELEASE, values, {"dry_run": "client", **options})


def one(objects: Sequence[Object], kind: str, name: str = "") -> Object:
    """Return the only object of a kind, or the one of that name."""
    (found,) = [each for each in objects if each["kind"] == kind and (not name or each["metadata"]["name"] == name)]
    return found


class _Strict(yaml.CSafeLoader):
    """Refuses a key that is given twice, as Helm does when it installs."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"given twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


class Helm:
    """Releases of one cluster in one namespace, as the user of a kubeconfig.

    Every method raises a HelmError with what `helm` would print.
    """

    def __init__(self, config: helm_python.Config) -> None:
        self._config = config

    async def install(self, name: str = RELEASE, values: Object | None = None, **options: Any) -> Object:
        """Install a release; options as the engine names them, and `chart`."""
        return await self._run("helm_install", name, values, {"create_namespace": True, **options})

    async def upgrade(self, name: str = RELEASE, values: Object | None = None, **options: Any) -> Object:
        """Upgrade a release; options as the engine names them, and `chart`."""
        return await self._run("helm_upgrade", name, values, options)

    async def rollback(self, name: str = RELEASE, revision: int = 0) -> None:
        """Roll back to a revision, or to the one before."""
        await asyncio.to_thread(self._config.rollback, name, version=revision or None)

    async def uninstall(self, name: str = RELEASE, seconds: int = 120) -> None:
        """Uninstall, and wait for the hooks."""
        await asyncio.to_thread(self._config.uninstall, name, timeout=seconds)

    async def test(self, name: str = RELEASE, seconds: int = 120) -> None:
        """Run `helm test`; raises HelmReleaseError where it fails."""
        await asyncio.to_thread(self._config.test, name, timeout=seconds)

    async def names(self) -> list[str]:
        """Return the names of all releases, whatever became of them."""
        return [each["name"] for each in await asyncio.to_thread(self._config.list, all_states=True)]

    async def _run(self, function: str, name: str, values: Object | None, options: Object) -> Object:
        return await asyncio.to_thread(_install, self._config, function, name, values, options)


def _install(
    config: helm_python.Config, function: str, name: str, values: Object | None, options: Mapping[str, Any]
) -> Object:
    wanted = dict(options)
    chart = str(wanted.pop("chart", CHART))
    nothing = _native.HANDLE(0)
    answer = _native.call_string(
        function, config._raw(), nothing, nothing, chart, name, json.dumps(values or {}), json.dumps(wanted)
    )
    return dict(json.loads(answer))


@contextmanager
def connected(kubeconfig: Path, namespace: str = NAMESPACE) -> Iterator[Helm]:
    """Yield Helm for a namespace of a cluster."""
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=namespace) as config:
        yield Helm(config)

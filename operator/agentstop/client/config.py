"""The user's kubeconfig, found, merged and overridden as kubectl does it.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agentstop.client.errors import ConfigError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_PATHS: Final = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
}
"""Fields that hold paths; relative ones are meant from the folder of the file that has them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says about the connection; what is not set is read from the kubeconfig."""

    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None
    server: str | None = None
    token: str | None = None
    impersonate: str | None = None
    impersonate_groups: tuple[str, ...] = ()
    insecure: bool = False
    request_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One API server, and as whom to speak to it."""

    server: str
    """Its URL, with a scheme."""
    namespace: str
    context: str
    """Name of the context, for people."""
    cluster: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    impersonate: str | None = None
    impersonate_groups: tuple[str, ...] = ()


def find_target(settings: Settings) -> Target:
    """Return what to connect to. Raises ConfigError where nothing says so."""
    merged = _merge(settings.kubeconfig)
    if not merged and settings.server is None:
        inside = _in_cluster(settings)
        if inside is not None:
            return inside
        raise ConfigError(
            f"no kubeconfig at {_where(settings.kubeconfig)}: set KUBECONFIG to one, or start a playground with"
            " `agentstop playground`"
        )
    name = settings.context or merged.get("current-context") or ""
    if name:
        context = _entry(merged, "contexts", "context", name)
    elif settings.server is not None or settings.cluster is not None:
        context = {}
    else:
        raise ConfigError(
            "the kubeconfig names no current context: choose one with --context, or kubectl config use-context"
        )
    cluster_name = settings.cluster or context.get("cluster")
    user_name = settings.user or context.get("user")
    cluster = dict(_entry(merged, "clusters", "cluster", cluster_name)) if cluster_name else {}
    user = dict(_entry(merged, "users", "user", user_name)) if user_name else {}
    if settings.token is not None:
        user = {"token": settings.token}
    if settings.insecure:
        cluster = {key: value for key, value in cluster.items() if not key.startswith("certificate-authority")}
        cluster["insecure-skip-tls-verify"] = True
    server = settings.server or cluster.get("server")
    if not server:
        raise ConfigError(f"context {name!r} of the kubeconfig names no server: look at kubectl config view")
    return Target(
        server=_with_scheme(str(server).rstrip("/")),
        namespace=settings.namespace or context.get("namespace") or "default",
        context=name or "none",
        cluster=cluster,
        user=user,
        impersonate=settings.impersonate or user.get("as"),
        impersonate_groups=settings.impersonate_groups or tuple(user.get("as-groups") or ()),
    )


def contexts(settings: Settings) -> list[str]:
    """Return the names of all contexts."""
    return sorted(_merge(settings.kubeconfig).get("contexts") or {})


def _with_scheme(server: str) -> str:
    """Return the server's URL: HOST:PORT alone, which kubectl takes too, is meant with TLS."""
    return server if "://" in server else f"https://{server}"


def _where(given: str | None) -> str:
    return given or os.environ.get("KUBECONFIG") or "~/.kube/config"


def _merge(given: str | None) -> dict[str, Any]:
    """Return all files as one, entries by name; the first file that has an entry or a value wins."""
    merged: dict[str, Any] = {}
    for path in _files(given):
        for section, value in _read(path).items():
            if section in {"clusters", "users", "contexts"}:
                known = merged.setdefault(section, {})
                for name, entry in _named(path, section, value):
                    known.setdefault(name, entry)
            elif value:
                merged.setdefault(section, value)
    return merged


def _files(given: str | None) -> list[Path]:
    if given is not None:
        path = Path(given).expanduser()
        if not path.exists():
            raise ConfigError(f"there is no kubeconfig {path}")
        return [path]
    names = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    paths = [Path(name) for name in names] or [Path("~/.kube/config").expanduser()]
    return [path for path in paths if path.exists()]


def _read(path: Path) -> dict[str, Any]:
    import yaml  # only where there is something to read

    try:
        # The same safe subset of YAML by libyaml, in a tenth of the time, where it is there.
        content = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except OSError as error:
        raise ConfigError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"the kubeconfig {path} cannot be used: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"the kubeconfig {path} cannot be used: it is no mapping")
    return content


def _named(path: Path, section: str, entries: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in entries or ():
        if not isinstance(each, dict) or "name" not in each:
            raise ConfigError(f"the kubeconfig {path} cannot be used: an entry of {section} has no name")
        entry = dict(each.get(section[:-1]) or {})
        for key in _PATHS.get(section, ()):
            if entry.get(key):
                entry[key] = str(path.absolute().parent / str(entry[key]))
        plugin = entry.get("exec")
        if isinstance(plugin, dict) and os.sep in str(plugin.get("command", "")):
            entry["exec"] = {**plugin, "command": str(path.absolute().parent / str(plugin["command"]))}
        yield str(each["name"]), entry


def _entry(merged: Mapping[str, Any], section: str, what: str, name: str) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = merged.get(section) or {}
    if name not in known:
        from difflib import get_close_matches

        close = get_close_matches(name, known, 1)
        hint = f" Did you mean {close[0]}?" if close else " kubectl config get-contexts lists what there is"
        raise ConfigError(f"the kubeconfig has no {what} {name!r}.{hint}")
    return known[name]


def _in_cluster(settings: Settings) -> Target | None:
    """Return the API server of the pod that this runs in, as its service account.

    Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (SERVICE_ACCOUNT / "token").exists():
        return None
    try:
        own = (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        own = ""
    return Target(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=settings.namespace or own or "default",
        context="in-cluster",
        cluster={"certificate-authority": str(SERVICE_ACCOUNT / "ca.crt")},
        user={"tokenFile": str(SERVICE_ACCOUNT / "token")},
        impersonate=settings.impersonate,
        impersonate_groups=settings.impersonate_groups,
    )

"""Who the user is: certificates, tokens, and credential plug-ins.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import base64
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from agentstop.client.config import Target
from agentstop.client.errors import ConfigError

PLUGIN_SECONDS: Final = 120.0
"""So long a credential plug-in may take: it may have to open a browser."""

EARLY: Final = timedelta(seconds=10)
"""A token is taken for expired this much before it is."""


TOKEN_FILE_PERIOD: Final = timedelta(minutes=1)
"""A token in a file is read anew this often, as client-go does: whoever writes it replaces it before it expires."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown to the API server."""

    authorization: str | None = None
    """The value of the header."""
    certificate: bytes | None = None
    key: bytes | None = None
    expires_at: datetime | None = None

    @property
    def expired(self) -> bool:
        """Whether they have to be asked for again."""
        return self.expires_at is not None and datetime.now(UTC) + EARLY >= self.expires_at


def find_credentials(target: Target, *, interactive: bool) -> Credentials:
    """Return the user's credentials; a plug-in is run where the kubeconfig names one. Raises ConfigError."""
    user = target.user
    certificate, key = _bytes_of(user, "client-certificate"), _bytes_of(user, "client-key")
    if user.get("tokenFile"):
        token = _read_text(user["tokenFile"])
        if not token:
            raise ConfigError(f"{user['tokenFile']}, which the kubeconfig names, has no token in it")
        return Credentials(f"Bearer {token}", certificate, key, datetime.now(UTC) + TOKEN_FILE_PERIOD)
    if user.get("token"):
        return Credentials(f"Bearer {user['token']}", certificate, key)
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return Credentials(f"Basic {base64.b64encode(pair).decode()}", certificate, key)
    if user.get("exec"):
        return _from_plugin(target, user["exec"], interactive=interactive)
    if user.get("auth-provider") and certificate is None:
        name = user["auth-provider"].get("name")
        raise ConfigError(f"auth-provider {name!r} of the kubeconfig is not supported, by kubectl neither: use exec")
    return Credentials(None, certificate, key)


def are_renewable(target: Target) -> bool:
    """Whether the user's credentials may be others when they are asked for again."""
    return bool(target.user.get("exec") or target.user.get("tokenFile"))


def _bytes_of(entry: Mapping[str, Any], name: str) -> bytes | None:
    data = entry.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode(data, validate=False)
        except ValueError as error:
            raise ConfigError(f"{name}-data of the kubeconfig is not base64: {error}") from error
    return _read_text(entry[name]).encode() if entry.get(name) else None


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{path}, which the kubeconfig names, cannot be read: {error.strerror}") from error


def authority_of(target: Target) -> str | None:
    """Return the certificates of the authorities to trust, as PEM; None for those of the system."""
    found = _bytes_of(target.cluster, "certificate-authority")
    return found.decode() if found is not None else None


def _from_plugin(target: Target, plugin: Mapping[str, Any], *, interactive: bool) -> Credentials:
    import subprocess  # only where a plug-in is used

    command = [str(plugin["command"]), *map(str, plugin.get("args") or ())]
    mode = plugin.get("interactiveMode", "IfAvailable")
    on_terminal = interactive and mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not on_terminal:
        raise ConfigError(f"the credential plug-in {command[0]} asks questions, and there is no terminal to answer on")
    extra = {each["name"]: each["value"] for each in plugin.get("env") or ()}
    info: dict[str, Any] = {
        "apiVersion": plugin.get("apiVersion", "client.authentication.k8s.io/v1"),
        "kind": "ExecCredential",
        "spec": {"interactive": on_terminal},
    }
    if plugin.get("provideClusterInfo"):
        info["spec"]["cluster"] = _cluster_info(target)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=None if on_terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=PLUGIN_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        hint = " ".join(str(plugin.get("installHint") or "install it, or put it on PATH").split())
        raise ConfigError(f"the credential plug-in {command[0]} is not there: {hint}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"the credential plug-in {command[0]} cannot be used: {error}") from error
    if done.returncode != 0:
        raise ConfigError(f"the credential plug-in {command[0]} failed with exit code {done.returncode}: log in again")
    try:
        status = json.loads(done.stdout)["status"]
        expires = status.get("expirationTimestamp")
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        return Credentials(
            f"Bearer {status['token']}" if status.get("token") else None,
            certificate.encode() if certificate else None,
            key.encode() if key else None,
            datetime.fromisoformat(expires) if expires else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the credential plug-in {command[0]} printed no ExecCredential") from error


def _cluster_info(target: Target) -> dict[str, Any]:
    authority = authority_of(target)
    info = {
        "server": target.server,
        "tls-server-name": target.cluster.get("tls-server-name"),
        "insecure-skip-tls-verify": target.cluster.get("insecure-skip-tls-verify"),
        "certificate-authority-data": base64.b64encode(authority.encode()).decode() if authority else None,
        "proxy-url": target.cluster.get("proxy-url"),
    }
    for extension in target.cluster.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return {key: value for key, value in info.items() if value is not None}

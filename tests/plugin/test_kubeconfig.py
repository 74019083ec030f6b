"""Kubeconfigs, found and merged as kubectl does, and what is shown to the API server."""

import base64
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import yaml

from agentstop.client import credentials
from agentstop.client.client import Api
from agentstop.client.config import Settings, find_target
from agentstop.client.credentials import find_credentials
from agentstop.client.errors import ConfigError
from agentstop.client.proxies import proxy_for


def config(name: str, user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example:6443", **cluster}}],
        "users": [{"name": name, "user": user or {"token": f"token-{name}"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
    }


def write(path: Path, content: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_the_default_is_in_the_home(tmp_path: Path) -> None:
    write(tmp_path / "home/.kube/config", config("a"))
    target = find_target(Settings())
    assert (target.server, target.namespace, target.context) == ("https://a.example:6443", "ns-a", "a")


def test_files_are_merged_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = write(tmp_path / "1", config("a")), write(tmp_path / "2", config("b") | {"current-context": "b"})
    again = write(tmp_path / "3", config("a", {"token": "other"}))
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}:{again}")
    assert find_target(Settings()).user["token"] == "token-a"
    assert find_target(Settings(context="b")).server == "https://b.example:6443"


def test_options_override_the_context(tmp_path: Path) -> None:
    path = write(tmp_path / "1", config("a"))
    target = find_target(Settings(kubeconfig=path, namespace="x", server="https://y/", token="t", insecure=True))
    assert (target.server, target.namespace, target.user) == ("https://y", "x", {"token": "t"})
    assert target.cluster["insecure-skip-tls-verify"] is True


@pytest.mark.parametrize(
    ("server", "url"),
    [("a:6443", "https://a:6443"), ("a/k8s/", "https://a/k8s"), ("[::1]:6443", "https://[::1]:6443")],
)
def test_a_server_without_a_scheme_is_meant_with_tls(tmp_path: Path, server: str, url: str) -> None:
    path = write(tmp_path / "1", config("a", server=server))
    assert find_target(Settings(kubeconfig=path)).server == url
    assert find_target(Settings(kubeconfig=path, server=server)).server == url


def test_relative_paths_are_meant_from_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "k/config", config("a", {"tokenFile": "token"}, **{"certificate-authority": "ca.crt"}))
    (tmp_path / "k/token").write_text("secret\n", encoding="utf-8")
    target = find_target(Settings(kubeconfig=path))
    assert target.cluster["certificate-authority"] == str(tmp_path / "k/ca.crt")
    assert find_credentials(target, interactive=False).authorization == "Bearer secret"


def test_a_token_in_a_file_is_read_anew_each_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    api = Api(find_target(Settings(kubeconfig=write(tmp_path / "1", config("a", {"tokenFile": str(token)})))))
    token.write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no token in it"):
        _ = api.credentials
    token.write_text("old", encoding="utf-8")
    assert api.credentials.authorization == "Bearer old"
    token.write_text("new", encoding="utf-8")
    assert api.credentials.authorization == "Bearer old"
    shortly, later = (datetime.now(UTC) + timedelta(seconds=each) for each in (30, 60))
    clock = mock.Mock(wraps=datetime)
    monkeypatch.setattr(credentials, "datetime", clock)
    clock.now.side_effect = lambda _: shortly
    assert api.credentials.authorization == "Bearer old"
    clock.now.side_effect = lambda _: later
    assert api.credentials.authorization == "Bearer new"


@pytest.mark.parametrize(("user", "renewable"), [({"tokenFile": "token"}, True), ({"token": "old"}, False)])
def test_what_was_refused_is_asked_for_again_where_that_helps(
    tmp_path: Path, user: dict[str, Any], renewable: bool
) -> None:
    (tmp_path / "token").write_text("old", encoding="utf-8")
    api = Api(find_target(Settings(kubeconfig=write(tmp_path / "1", config("a", user)))))
    assert api.credentials.authorization == "Bearer old"
    (tmp_path / "token").write_text("new", encoding="utf-8")
    # Somebody else may have been told of that one meanwhile.
    assert api.forget("Bearer another") is renewable
    assert api.credentials.authorization == "Bearer old"
    assert api.forget("Bearer old") is renewable
    assert api.credentials.authorization == ("Bearer new" if renewable else "Bearer old")


def test_impersonation_of_the_kubeconfig(tmp_path: Path) -> None:
    path = write(tmp_path / "1", config("a", {"token": "t", "as": "jane", "as-groups": ["ops"]}))
    target = find_target(Settings(kubeconfig=path))
    assert (target.impersonate, target.impersonate_groups) == ("jane", ("ops",))


def test_basic_authentication(tmp_path: Path) -> None:
    path = write(tmp_path / "1", config("a", {"username": "jane", "password": "pw"}))
    found = find_credentials(find_target(Settings(kubeconfig=path)), interactive=False)
    assert found.authorization == f"Basic {base64.b64encode(b'jane:pw').decode()}"


PLUGIN = """#!/bin/sh
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'"$1-$X-$(
  echo "$KUBERNETES_EXEC_INFO" | grep -o 'https://a.example:6443')"'","expirationTimestamp":"2036-01-01T00:00:00Z"}}'
"""


def test_a_credential_plugin_is_run_with_its_variables(tmp_path: Path) -> None:
    script = tmp_path / "k/bin/login"
    script.parent.mkdir(parents=True)
    script.write_text(PLUGIN, encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./bin/login",
        "args": ["arg"],
        "env": [{"name": "X", "value": "var"}],
        "provideClusterInfo": True,
        "interactiveMode": "Never",
    }
    path = write(tmp_path / "k/config", config("a", {"exec": plugin}))
    found = find_credentials(find_target(Settings(kubeconfig=path)), interactive=True)
    assert found.authorization == "Bearer arg-var-https://a.example:6443"
    assert not found.expired


@pytest.mark.parametrize(
    ("plugin", "says"),
    [
        ({"command": "not-there-at-all", "installHint": "brew install it"}, "is not there: brew install it"),
        ({"command": "false"}, "failed with exit code 1"),
        ({"command": "true"}, "printed no ExecCredential"),
        ({"command": "true", "interactiveMode": "Always"}, "there is no terminal"),
    ],
)
def test_a_plugin_that_does_not_work(tmp_path: Path, plugin: dict[str, Any], says: str) -> None:
    path = write(tmp_path / "1", config("a", {"exec": plugin}))
    with pytest.raises(ConfigError, match=says):
        find_credentials(find_target(Settings(kubeconfig=path)), interactive=False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(context="aa"), "Did you mean a\\?"),
        (Settings(cluster="zz"), "has no cluster 'zz'"),
        (Settings(kubeconfig="/nowhere/at/all"), "there is no kubeconfig /nowhere/at/all"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, settings: Settings, says: str) -> None:
    write(tmp_path / "home/.kube/config", config("a"))
    with pytest.raises(ConfigError, match=says):
        find_target(settings)


@pytest.mark.parametrize("content", ["{not: [yaml", "just words", "clusters: [{}]"])
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, content: str) -> None:
    (tmp_path / "1").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be used"):
        find_target(Settings(kubeconfig=str(tmp_path / "1")))


SERVER = urlsplit("https://k.example.com:6443")


def test_the_proxy_of_the_kubeconfig_comes_before_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://env:1")
    configured = proxy_for(SERVER, "socks5://cfg:2")
    assert configured is not None
    assert (configured.scheme, configured.hostname, configured.port) == ("socks5", "cfg", 2)
    found = proxy_for(SERVER, None)
    assert found is not None
    assert found.hostname == "env"


@pytest.mark.parametrize(
    ("server", "exceptions", "used"),
    [
        ("https://k.example.com:6443", "", True),
        ("https://k.example.com:6443", "example.com", False),
        ("https://k.example.com:6443", ".example.com", False),
        ("https://k.example.com:6443", "ample.com", True),
        ("https://k.example.com:6443", "k.example.com:1", True),
        ("https://k.example.com:6443", "*", False),
        ("https://10.1.2.3", "10.0.0.0/8", False),
        ("https://11.1.2.3", "10.0.0.0/8", True),
        ("https://127.0.0.1:6443", "", False),
        ("https://localhost", "", False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, server: str, exceptions: str, used: bool) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://env:1")
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert (proxy_for(urlsplit(server), None) is not None) == used


def test_a_proxy_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="http://HOST:PORT or socks5://"):
        proxy_for(SERVER, "ftp://x:1")

"""docs/installation.md, followed on a real API server."""

import argparse
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.docs.documents import DOCUMENTS, ROOT, Block, blocks, blocks_in, name_of
from tests.support import helm
from tests.support.kube import SECRETS
from tests.support.waiting import PATIENCE

from .conftest import SERVED, Door, Site

DOCUMENT = ROOT / "docs/installation.md"
REFERENCE = "oci://ghcr.io/agentstop/charts/agentstop"
VALUES = "# values.yaml\n"


def parser() -> argparse.ArgumentParser:
    """What of Helm's command line the document uses, by the names of https://helm.sh/docs/helm/."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("install", "upgrade", "rollback", "uninstall", "test"):
        verb = verbs.add_parser(name)
        verb.add_argument("release")
        verb.add_argument("--namespace", required=True)
        if name in {"install", "upgrade"}:
            verb.add_argument("chart", choices=[REFERENCE])
            verb.add_argument("--set", action="append", default=[])
            verb.add_argument("--values", choices=["values.yaml"])
            verb.add_argument("--take-ownership", action="store_true")
        if name == "install":
            verb.add_argument("--create-namespace", action="store_true")
        if name == "upgrade":
            verb.add_argument("--reset-then-reuse-values", action="store_true")
        if name == "rollback":
            verb.add_argument("revision", type=int)
        if name == "test":
            verb.add_argument("--logs", action="store_true")
    return parser


def commands(block: Block) -> list[list[str]]:
    lines = block.text.replace("\\\n", " ").splitlines()
    ours = not block.language and lines and lines[0].startswith(("helm ", "kubectl "))
    return [shlex.split(line) for line in lines] if ours else []


def values_in(block: Block) -> dict[str, Any]:
    return dict(yaml.safe_load(block.text.removeprefix(VALUES)))


@pytest.mark.parametrize("block", [b for b in blocks(DOCUMENT) if b.text.startswith(VALUES)], ids=lambda b: b.text)
def test_values_are_taken(block: Block) -> None:
    assert helm.render(values_in(block)) != helm.render()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_commands_are_understood(document: Path) -> None:
    for block in blocks(document):
        for words in commands(block):
            if words[0] == "helm":
                parser().parse_args(words[1:])


class Reader:
    """Does what the document says, with the values that the site needs on top."""

    def __init__(self, site: Site, folder: Path, gateway: dict[str, Any] | None = None) -> None:
        """`folder` is where he is, and his home; `gateway` are values of it that the site needs."""
        self._site = site
        self._home = folder
        self._gateway = gateway or {}
        self._values: dict[str, Any] = {}

    async def read(self, block: Block) -> None:
        """Do what one block says."""
        if block.text.startswith(VALUES):
            self._values = values_in(block)
        elif block.language == "yaml":
            self._kubectl(["kubectl", "apply", "-f", "-"], block.text)
        for words in commands(block):
            if words[0] == "helm":
                await self._helm(parser().parse_args(words[1:]))
            else:
                self._kubectl(words)

    def _kubectl(self, words: list[str], text: str | None = None) -> None:
        environment = os.environ | {"KUBECONFIG": str(self._site.cluster.kubeconfig), "HOME": str(self._home)}
        done = subprocess.run(
            words, input=text, env=environment, cwd=self._home, text=True, capture_output=True, timeout=PATIENCE
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"

    async def _helm(self, asked: argparse.Namespace) -> None:
        with helm.connected(self._site.cluster.kubeconfig, asked.namespace) as releases:
            match asked.verb:
                case "install" | "upgrade":
                    values = dict(self._site.values) | (self._values if asked.values else {})
                    if "gateway" in values:
                        values["gateway"] = values["gateway"] | self._gateway
                    for each in asked.set:
                        values |= helm_python.parse_set_string(each)
                    run = releases.install if asked.verb == "install" else releases.upgrade
                    await run(asked.release, values, take_ownership=asked.take_ownership)
                case "rollback":
                    await releases.rollback(asked.release, asked.revision)
                case "uninstall":
                    await releases.uninstall(asked.release)
                case "test":
                    await releases.test(asked.release)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
async def test_a_reader_who_follows_it_gets_there(site: Site, tmp_path: Path) -> None:
    (tmp_path / "crds").symlink_to(ROOT / "crds")
    reader = Reader(site, tmp_path)
    done = 0
    for block in blocks(DOCUMENT):
        await reader.read(block)
        done += len(commands(block))
    assert done > 10
    with helm.connected(site.cluster.kubeconfig, SERVED[0]) as releases:
        await releases.test()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
async def test_a_reader_who_wants_the_gateway_gets_there(door: Door, tmp_path: Path) -> None:
    page, heading, own = ROOT / "docs/gateway.md", "## In a cluster", door.values["gateway"]
    (tmp_path / "keys.yaml").write_text(door.keys.path.read_text())
    reader = Reader(door.site, tmp_path, {name: own[name] for name in ("replicaCount", "url", "extraArgs")})
    with helm.connected(door.site.cluster.kubeconfig) as releases:
        await releases.install(values=door.site.values)
    text = page.read_text().partition(heading)[2].partition("\n## ")[0]
    done = 0
    for block in blocks_in(text):
        await reader.read(block)
        done += len(commands(block))
    assert done == 7
    secret = await door.site.cluster.kube.get(SECRETS, helm.NAMESPACE, "agentstop-gateway-keys")
    assert list(secret["data"]) == ["keys.yaml"]
    await door.site.cluster.kube.delete(SECRETS, helm.NAMESPACE, "agentstop-gateway-keys")

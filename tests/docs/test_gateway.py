"""The gateway's pages, followed: their commands are run on a gateway, and their answers compared."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from agentstop.gateway.hooks import read_hooks
from agentstop.gateway.keys import read_keys
from agentstop.gateway.registry import DIALECTS
from tests.gateway.conftest import RULES
from tests.support import installed
from tests.support.gateways import Gateway
from tests.support.waiting import PATIENCE

from .conftest import Place
from .documents import ROOT, blocks, table_below
from .test_commands import differences

METERING = "docs/metering.md"
PAGES = [*sorted(path.name for path in (ROOT / "docs").glob("gateway*.md")), Path(METERING).name]
LITERAL = "http://127.0.0.1:8090"
VALUES = "# values.yaml\n"
ONCE_RUNNING = "docs/gateway.md"


def run(place: Place, gateway: Gateway, key: str, script: str) -> str:
    environment = {**os.environ, "KUBECONFIG": str(place.kubeconfig), "KEY": key}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run(
        [
            "sh",
            "-ec",
            script.replace(LITERAL, gateway.url).replace("default/researcher", f"{place.namespace}/researcher"),
        ],
        env=environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
async def test_a_reader_who_follows_it_sees_what_it_says(page: str, place: Place, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks.yaml"
    manifests = (block.text for block in blocks(ROOT / "docs/gateway-hooks.md") if block.language == "yaml")
    hooks.write_text(next(manifests), encoding="utf-8")
    metering = blocks(ROOT / METERING)
    meter = tmp_path / "meter.yaml"
    meter.write_text(next(each.text for each in metering if each.language == "yaml"), encoding="utf-8")
    prices = next(each.text for each in metering if "input_cost_per_token" in each.text)
    (tmp_path / "prices.json").write_text(prices, encoding="utf-8")
    options = ["--hooks", str(hooks), "--meter", str(meter)]
    gateway = await Gateway.start(place.cluster, kubeconfig=place.kubeconfig, options=options)
    # The name that the key of the hook has; others ask for no name.
    key = gateway.keys.add("jane", name="alertmanager")
    try:
        if page != Path(ONCE_RUNNING).name:
            first = next(each for each in blocks(ROOT / ONCE_RUNNING) if each.language == "sh")
            run(place, gateway, key, "\n".join(first.text.splitlines()[:2]))
        printed, followed = "", 0
        for block in blocks(ROOT / "docs" / page):
            if block.language == "sh":
                printed = run(place, gateway, key, block.text)
                followed += 1
            elif block.language == "json":
                assert not list(differences(json.loads(printed.splitlines()[-1]), json.loads(block.text)))
        assert followed
        assert not gateway.mistakes()
    finally:
        await gateway.program.end()


def test_the_rights_are_those_that_the_gateway_is_tried_with() -> None:
    manifests = [yaml.safe_load(each.text) for each in blocks(ROOT / "docs/gateway.md") if each.language == "yaml"]
    (role,) = (each for each in manifests if each.get("kind") == "ClusterRole")
    assert role["rules"] == RULES
    (keys,) = (each for each in manifests if "keys" in each)
    assert read_keys(yaml.safe_dump(keys)).keys


def test_the_charts_rights_are_the_same() -> None:
    """The values that the page shows make the role that it shows."""
    (values,) = (yaml.safe_load(each.text) for each in blocks(ROOT / "docs/gateway.md") if VALUES in each.text)
    (role,) = (e for e in installed.rights(values) if e["metadata"]["name"] == "agentstop-gateway" and "rules" in e)
    assert role["rules"] == RULES


def test_every_file_of_hooks_can_be_read() -> None:
    manifests = [block.text for block in blocks(ROOT / "docs/gateway-hooks.md") if block.language == "yaml"]
    files = [each for each in manifests if "hooks" in yaml.safe_load(each)]
    assert len(files) == 2
    assert all(read_hooks(each).hooks for each in files)


def test_every_dialect_has_its_line_and_its_page() -> None:
    rows = table_below("docs/gateway.md", "# The gateway")
    assert {row[1].strip("`") for row in rows} == {each.prefix or "/" for each in DIALECTS}
    for each in DIALECTS:
        assert (ROOT / f"docs/gateway-{each.name}.md").exists()

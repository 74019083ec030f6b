"""Our own API, sent whatever its document allows and forbids, on a cluster where that does no harm."""

import asyncio
import json
import sys
from pathlib import Path

from tests.support import clusters
from tests.support.gateways import Gateway

from .api import DOCUMENT, PREFIX

EXAMPLES = 8
"""So many requests that are made up are sent to each operation."""

LEFT_OUT = ",".join(
    (
        "positive_data_acceptance",  # no schema says which tasks there are
        "ignored_auth",  # who sends many wrong keys gets 429
        "allow_header_conformance",  # an order may be called drill: the page of drills takes what an order's takes, too
    )
)
"""Checks that do not hold."""


def _shortened(text: str) -> str:
    return "\n".join(line[:300] for line in text.partition("FAILURES")[2].splitlines()[:200])


async def test_whatever_is_sent_is_answered_as_the_document_says(tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    async with clusters.playground(tmp_path) as cluster:
        gateway = await Gateway.start(cluster, options=["--wait", "0"])
        key = gateway.keys.add("jane")
        try:
            # fmt: off
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "schemathesis.cli", "run", str(document),
                "--url", gateway.url + PREFIX,
                "--header", f"x-api-key: {key}",
                "--exclude-path", "/events",  # it has no end
                "--exclude-checks", LEFT_OUT,
                "--phases", "examples,coverage,fuzzing",
                "--max-examples", str(EXAMPLES),
                "--seed", "1", "--generation-database", "none", "--suppress-health-check", "all",
                "--no-color", "--warnings", "off",
                cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )
            # fmt: on
            output, _ = await process.communicate()
            assert process.returncode == 0, _shortened(output.decode())
            assert not gateway.mistakes(), gateway.program.text().partition(" ERROR ")[2][:3000]
        finally:
            await gateway.program.end()

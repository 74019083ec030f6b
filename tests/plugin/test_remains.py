"""What a stop leaves behind, as people are told of it."""

from datetime import UTC, datetime, timedelta

from tests.plugin.commands import Cli
from tests.plugin.paper import STOPPED, Paper


async def test_what_a_stop_leaves_behind_is_said_in_the_same_words(cli: Cli, paper: Paper) -> None:
    until = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    pod = {"kind": "Pod", "name": "a", "endedBy": "deletion of the pod"}
    token = {"kind": "ServiceAccountToken", "name": "crawler", "pod": "a", "endedBy": "deletion of pod a"}
    over = {**token, "until": "2026-01-01T00:00:00Z"}
    remains = [pod, {**token, "until": until.isoformat()}, over]
    await paper.task("a", {**STOPPED, "stop": {**STOPPED["stop"], "remains": remains}})
    await paper.task("b", STOPPED)
    sentences = (
        "pod a is kept; what ends it: deletion of the pod",
        "tokens of service account crawler that pod a was given are accepted until"
        f" {until.astimezone():%Y-%m-%d %H:%M:%S} at the latest; what ends them: deletion of pod a",
    )
    assert (await cli("why", "a", "-n", paper.namespace, "-o", "json")).json()["remains"] == list(sentences)
    for verb in ("why", "get"):
        done = await cli(verb, "a", "-n", paper.namespace)
        assert all(each in done.out for each in ("leaves behind", *sentences)), done.out
        assert "leaves behind" not in (await cli(verb, "b", "-n", paper.namespace)).out

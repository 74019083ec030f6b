"""Logs: what the guardian writes, what the endpoint gives out."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from tests.support.waiting import PATIENCE

from agentstop_playground.node.guardian import log_file
from agentstop_playground.node.guardian.log_file import LogFile
from agentstop_playground.node.logs import LogOptions, LogReader, render
from agentstop_playground.times import rfc3339

from .cluster import Cluster, container, phase_is, pod


def read(reader: LogReader, options: LogOptions | None = None, *, tail: int | None = None) -> bytes:
    return b"".join(render(record, options or LogOptions()) for record in reader.start(tail))


def test_round_trip_keeps_every_byte(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "log"))
    data = b"one\n\ntwo\r\n" + b"x" * (3 * log_file.MAX_LINE) + b"\n\xff\xfe\nend without newline"
    for start in range(0, len(data), 7000):
        file.feed(data[start : start + 7000])
    file.finish()
    assert read(LogReader(tmp_path / "log")) == data


def test_tail_counts_records_from_the_end(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "log"))
    file.feed(b"".join(b"line %d\n" % number for number in range(5000)))
    assert read(LogReader(tmp_path / "log"), tail=2) == b"line 4998\nline 4999\n"
    assert read(LogReader(tmp_path / "log"), tail=0) == b""
    assert read(LogReader(tmp_path / "log"), tail=9999).count(b"\n") == 5000


def test_following_goes_on_after_a_tail(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "log"))
    file.feed(b"one\ntwo\n")
    reader = LogReader(tmp_path / "log")
    assert read(reader, tail=1) == b"two\n"
    file.feed(b"three\n")
    assert b"".join(render(record, LogOptions()) for record in reader.more()) == b"three\n"
    assert list(reader.more()) == []


def test_large_log_keeps_one_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "LARGEST_LOG", 1000)
    file = LogFile(str(tmp_path / "log"))
    for number in range(300):
        file.feed(b"line %d\n" % number)
    kept = [line.split(b" ", 2)[2] for path in ("log.1", "log") for line in _lines(tmp_path / path)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2200
    assert kept[-1] == b"line 299"
    assert kept == [b"line %d" % number for number in range(300 - len(kept), 300)]
    assert read(LogReader(tmp_path / "log")).splitlines() == kept
    assert read(LogReader(tmp_path / "log"), tail=len(kept) - 1).splitlines() == kept[1:]


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def test_follower_does_not_lose_records_when_the_file_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "LARGEST_LOG", 1000)
    file = LogFile(str(tmp_path / "log"))
    reader = LogReader(tmp_path / "log")
    seen = list(reader.start(None))
    for number in range(100):
        file.feed(b"line %d\n" % number)
        if number % 7 == 0:
            seen += reader.more()
    seen += reader.more()
    assert [record.split(b" ", 2)[2] for record in seen] == [b"line %d" % number for number in range(100)]


def test_records_before_the_asked_time_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(
        b"2026-01-01T10:00:00.123456789Z F old\n2026-01-01T10:00:05.000000001Z F new\n",
    )
    options = LogOptions(since=datetime(2026, 1, 1, 10, 0, 5, tzinfo=UTC))
    assert read(LogReader(tmp_path / "log"), options) == b"new\n"
    stamped = LogOptions(timestamps=True)
    assert read(LogReader(tmp_path / "log"), stamped).startswith(b"2026-01-01T10:00:00.123456789Z old\n")


async def test_endpoint_options(cluster: Cluster) -> None:
    await cluster.create(pod("p", container("for i in 1 2 3; do echo line $i; done; printf end")))
    await cluster.until("p", phase_is("Succeeded"))
    assert await cluster.logs("p") == (200, "line 1\nline 2\nline 3\nend")
    assert (await cluster.logs("p", tailLines="2"))[1] == "line 3\nend"
    assert (await cluster.logs("p", limitBytes="9"))[1] == "line 1\nli"
    assert (await cluster.logs("p", sinceSeconds="600"))[1].startswith("line 1\n")
    future = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    assert (await cluster.logs("p", sinceTime=future))[1] == ""
    stamped = (await cluster.logs("p", timestamps="true"))[1].splitlines()
    assert datetime.fromisoformat(stamped[0].split(" ")[0][:26] + "Z") <= datetime.now(UTC)
    assert (await cluster.logs("p", previous="true"))[0] == 400
    assert (await cluster.logs("p", tailLines="many"))[0] == 400
    assert (await cluster.logs("p", tailLines="-1"))[0] == 400
    assert (await cluster.logs("p", "other"))[0] == 400
    assert (await cluster.logs("nobody"))[0] == 404


async def test_following_ends_with_the_container(cluster: Cluster) -> None:
    script = 'echo first; while [ ! -e "$HOME/go" ]; do sleep 0.05; done; echo last'
    item = await cluster.run(pod("p", container(script)))
    port = (await cluster.get_node())["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    url = f"http://127.0.0.1:{port}/containerLogs/{cluster.namespace}/p/agent?follow=true"
    async with aiohttp.ClientSession() as session, session.get(url) as answer, asyncio.timeout(PATIENCE):
        assert await answer.content.readline() == b"first\n"
        (cluster.home(item) / "go").touch()
        assert await answer.content.read() == b"last\n"


async def test_endpoint_refuses_what_is_not_local(cluster: Cluster) -> None:
    port = (await cluster.get_node())["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    # A page in a browser that was led here by a name of its own (DNS rebinding) must not read logs.
    headers = {"Host": "evil.example.com"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/healthz", headers=headers) as answer,
    ):
        assert answer.status == 403

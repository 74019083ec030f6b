"""What limits would have done to tasks that have ended, by their own records."""

from decimal import Decimal
from typing import Any

import pytest

from agentstop.words.replay import Limits, replayed
from tests.plugin.commands import Cli
from tests.plugin.paper import Paper
from tests.unit.objects import Raw, at, raw_task, when

USED: Raw = {"cost": "40.00", "currency": "USD", "totalTokens": 1000, "turns": 20, "lastActivityAt": when(100)}


def ended(usage: Raw | None = None, finished: float = 400, **status: Any) -> Raw:
    times = {"startedAt": when(0), "finishedAt": when(finished)}
    return raw_task({}, {"phase": "Completed", **times, **({"usage": usage} if usage else {}), **status})


def test_a_limit_of_cost_is_reached_at_a_moment_that_is_estimated() -> None:
    (strike,) = replayed(ended(USED), Limits(cost=Decimal(10))).strikes

    assert (strike.limit, strike.said, strike.spared) == ("cost", "10.00 of 40.00 USD", Decimal(30))
    assert (strike.at, strike.exact, strike.percent) == (at(100), False, 25)


def test_a_limit_of_silence_is_reached_at_a_moment_on_record_and_the_first_limit_comes_first() -> None:
    found = replayed(ended(USED), Limits(idle_seconds=60, turns=10, tokens=1001))

    assert [(each.limit, each.at, each.exact) for each in found.strikes] == [
        ("silence", at(160), True),
        ("turns", at(200), False),
    ]


def test_a_silence_ends_with_the_acceptance_of_a_stop() -> None:
    stop = {"source": "User", "acceptedAt": when(150)}
    assert replayed(ended(USED, stop=stop), Limits(idle_seconds=60)).strikes == ()


@pytest.mark.parametrize(
    ("usage", "untold"),
    [
        (None, ("cost", "turns", "silence")),
        ({"turns": 1, "currency": None}, ("cost", "silence")),
        ({**USED, "currency": "EUR"}, ("cost",)),
        (USED, ()),
    ],
)
def test_what_the_record_does_not_tell_is_named(usage: Raw | None, untold: tuple[str, ...]) -> None:
    found = replayed(ended(usage), Limits(cost=Decimal(1000), turns=1000, idle_seconds=1000))
    assert (found.strikes, found.untold) == ((), untold)


async def test_it_is_told_of_tasks_that_have_ended(cli: Cli, paper: Paper) -> None:
    usage = {**USED, "asOf": when(400)}
    times = {"startedAt": when(0), "finishedAt": when(400)}
    await paper.task("dear", {"phase": "Completed", **times, "usage": usage})
    await paper.task("cheap", {"phase": "Completed", **times, "usage": usage | {"cost": "1"}})
    await paper.task("uncounted", {"phase": "Failed", **times})
    await paper.task("at-work", {"phase": "Running", "usage": usage})
    done = await cli("replay", "--max-cost", "10", "-n", paper.namespace)

    assert [line.split()[0] for line in done.out.splitlines()] == ["NAME", "dear"]
    assert "10.00 of 40.00 USD" in done.out
    assert "1 of 3 ended tasks would have been stopped; 30.00 USD would not have been spent" in done.err
    assert "the records of 1 do not tell of a limit of: cost" in done.err
    data = (await cli("replay", "--max-cost", "10", "-n", paper.namespace, "-o", "json")).json()
    assert {each["name"]: each["wouldStop"] for each in data["tasks"]} == {
        "cheap": False,
        "dear": True,
        "uncounted": False,
    }


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "say which limit to try"),
        (("--max-cost", "NaN"), "no amount"),
        (("--max-cost", "-1"), "no amount"),
    ],
)
async def test_what_is_no_limit_is_refused(cli: Cli, words: tuple[str, ...], problem: str) -> None:
    done = await cli("replay", *words)
    assert done.code == 2
    assert problem in done.line

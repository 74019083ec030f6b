"""A page that somebody looks at: what is sent of it, how often it is made, and when it is called old."""

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any, cast

import pytest
from markupsafe import Markup

from agentstop.api.task import KIND
from agentstop.gateway.errors import GatewayError, TooManyRequestsError, UnavailableError
from agentstop.gateway.page import live
from agentstop.gateway.page.live import LEAST_SECONDS, QUIET_SECONDS, SHARE, Timed, pause_after
from agentstop.gateway.page.rendering import Part
from agentstop.gateway.page.view import Shown, View
from agentstop.gateway.streams import EventStream

from .pages import Stand, task


class OnePart(View):
    """A page of one part that a test decides on."""

    def __init__(self, period: float = math.inf) -> None:
        self._stays_true = period
        self.text = "first"
        self.problem: GatewayError | None = None
        self.made: list[float] = []
        self.during: Callable[[], None] = lambda: None

    @property
    def period(self) -> float:
        """What the test says."""
        return self._stays_true

    async def show(self) -> Shown:
        """Return the part."""
        self.made.append(asyncio.get_running_loop().time())
        text = self.text
        self.during()
        if self.problem is not None:
            raise self.problem
        return Shown({"holds": Part(Markup(text), text)})  # noqa: S704  # a test's own


class Stream:
    """Stands for the stream to a browser, which leaves once it has seen enough."""

    def __init__(self, stand: Stand, after: Callable[["Stream"], None]) -> None:
        self._stand = stand
        self._after = after
        self.sent: list[tuple[str, Any]] = []

    @property
    def kinds(self) -> list[str]:
        """What was sent, in its order."""
        return [kind for kind, _ in self.sent]

    async def send(self, data: str, *, kind: str, **_: Any) -> None:
        """Take down what is sent."""
        self.sent.append((kind, json.loads(data)))
        self._after(self)

    def leave(self) -> None:
        """See no more."""
        self._stand.index.closing.set()


async def followed(stand: Stand, view: OnePart, after: Callable[[Stream], None]) -> Stream:
    """Follow a page until `after` has left; it is called with each event that was sent."""
    stream = Stream(stand, after)
    following = live._Following(stand.page("/"), view, cast("EventStream", stream), asyncio.Event())
    await asyncio.wait_for(following.run(await view.show()), 20)
    return stream


@pytest.mark.parametrize(
    ("seconds", "pages", "pause"),
    [(0.0, 1, LEAST_SECONDS), (0.1, 5, 0.1 * 5 / SHARE), (0.1, 4000, QUIET_SECONDS), (30.0, 1, QUIET_SECONDS)],
)
def test_a_page_is_made_less_often_the_more_it_takes_but_never_too_rarely(
    seconds: float, pages: int, pause: float
) -> None:
    assert pause_after(seconds, pages) == pause


async def test_what_a_page_waits_for_is_not_counted_as_work() -> None:
    now = 0.0

    async def work() -> str:
        nonlocal now
        now += 1
        await asyncio.sleep(0)
        now += 2
        return "done"

    async def others() -> None:
        nonlocal now
        now += 100

    timed = Timed(work(), lambda: now)
    meanwhile = asyncio.create_task(others())
    assert await timed == "done"
    await meanwhile
    assert timed.seconds == 3


async def test_work_that_is_timed_is_cancelled_like_any_other() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def timed() -> None:
        await Timed(work())

    waiting = asyncio.create_task(timed())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == [True]


async def test_a_page_that_was_called_old_is_live_again_though_nothing_has_changed() -> None:
    stand, view = Stand(), OnePart()
    stand.changes.failed(KIND, "", "it is away")

    def after(stream: Stream) -> None:
        if stream.kinds[-1] == "stale":
            stand.changes.heard(KIND, "")
        elif len(stream.sent) > 1:
            stream.leave()

    stream = await followed(stand, view, after)
    assert stream.kinds == ["patch", "stale", "patch"]
    assert stream.sent[-1][1]["parts"] == []


@pytest.mark.parametrize(
    ("problem", "least"),
    [
        (TooManyRequestsError("too much to do", retry_after=1), 1.0),
        (UnavailableError("it does not answer"), 0.02),
    ],
)
async def test_a_page_that_cannot_be_made_is_called_old_once_and_not_tried_before_its_time(
    problem: GatewayError, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LEAST_SECONDS", 0.01)
    stand, view = Stand(), OnePart(period=0.01)

    def after(stream: Stream) -> None:
        if stream.kinds == ["patch"]:
            view.problem = problem
        elif stream.kinds[-1] == "stale":
            view.during = lambda: setattr(view, "problem", None if len(view.made) > 3 else problem)
            view.text = "second"
        else:
            stream.leave()

    stream = await followed(stand, view, after)
    assert stream.kinds == ["patch", "stale", "patch"]
    gaps = [later - earlier for earlier, later in zip(view.made[1:], view.made[2:], strict=False)]
    assert len(gaps) == 2
    assert min(gaps) >= least


async def test_what_changes_while_a_page_is_made_for_the_first_time_is_shown() -> None:
    stand, view = Stand(), OnePart()

    def change() -> None:
        view.during = lambda: None
        view.text = "second"
        stand.tell(task("a"))

    view.during = change
    seen: list[str] = []

    class Streams:
        """Has one stream, to a browser that leaves once it sees the change."""

        open_ones = 1

        def open(self, _: Any) -> Any:
            return self

        async def __aenter__(self) -> Any:
            self.response = None
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def send(self, data: str, **_: Any) -> None:
            seen.extend(each[2] for each in json.loads(data).get("parts", ()))
            if "second" in seen:
                stand.index.closing.set()

    stand.core = type(stand.core)(**{**_fields(stand.core), "streams": Streams()})
    await asyncio.wait_for(live.follow(stand.page("/"), view), 5)
    assert seen == ["first", "second"]


def _fields(core: Any) -> dict[str, Any]:
    return {name: getattr(core, name) for name in core.__slots__}

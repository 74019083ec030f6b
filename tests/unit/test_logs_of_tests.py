"""A test sees the lines of what it tests, and none of what another one has left."""

import logging
import threading

import pytest

logger = logging.getLogger("agentstop.tested")


class Left:
    """A thread that goes on beside the tests, and says something when it is told to."""

    def __init__(self) -> None:
        self._say, self._said = threading.Event(), threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self._say.wait()
        logger.error("of another test")
        self._said.set()

    def say(self) -> None:
        self._say.set()
        self._said.wait()


@pytest.fixture
def left() -> Left:
    return Left()


def test_what_another_test_has_left_is_not_seen(left: Left, caplog: pytest.LogCaptureFixture) -> None:
    left.say()
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    logger.error("of this one")
    assert [each.getMessage() for each in caplog.records] == ["of this one"]


def test_threads_of_the_test_itself_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    Left().say()
    assert [each.getMessage() for each in caplog.records] == ["of another test"]

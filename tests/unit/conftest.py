"""What all unit tests have."""

import logging
import threading
from collections.abc import Iterator

import pytest

NAMES = ("agentstop", "opentelemetry")
"""Loggers of what is tested. Others tell of what another test has left, whenever somebody collects the garbage."""

POOL = "asyncio"
"""How the names of threads begin that all tests' event loop has."""


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The lines of what is tested, but for those of threads that another test has left behind."""
    current = threading.current_thread()
    left = {each.ident for each in threading.enumerate() if each is not current and not each.name.startswith(POOL)}

    def of_this_test(record: logging.LogRecord) -> bool:
        return record.thread not in left and record.name.partition(".")[0] in NAMES

    caplog.handler.addFilter(of_this_test)
    yield caplog
    caplog.handler.removeFilter(of_this_test)

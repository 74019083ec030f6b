"""The clusters of the integration tests, and what Git tools do to them."""

import pytest

from tests.gitops.tools import Repository
from tests.integration.conftest import (
    _needs,
    cluster,
    launch,
    ns,
    operator,
    operators,
    pytest_generate_tests,
)
from tests.support.namespaces import Namespace

__all__ = ["_needs", "cluster", "launch", "ns", "operator", "operators", "pytest_generate_tests"]


@pytest.fixture
def repository(ns: Namespace) -> Repository:
    """A Git repository whose only task is research-42, and what may sync it."""
    return Repository(ns)

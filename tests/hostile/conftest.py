"""A cluster and an operator for attackers."""

from collections.abc import AsyncIterator

import pytest

from tests.hostile import place
from tests.support.clusters import Cluster
from tests.support.operators import Operators


@pytest.fixture(scope="package")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with place.cluster(tmp_path_factory.mktemp("hostile")) as cluster:
        yield cluster


@pytest.fixture(scope="package")
async def operators(cluster: Cluster) -> AsyncIterator[Operators]:
    operators = Operators(cluster)
    yield operators
    await operators.end()

"""How the tests of the playground are spread over processes."""

from pathlib import Path

import pytest

PLAYGROUND = "playground"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what needs a real API server run where it was started (xdist's --dist loadgroup): few of them are."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if Path(__file__).parent in item.path.parents and callspec is not None:
            server = callspec.params.get("endpoint", PLAYGROUND)
            if server != PLAYGROUND:
                item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name} {server}"))

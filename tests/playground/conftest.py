"""How the tests of the playground are spread over processes."""

import pytest

HERE = "tests/playground/"

PLAYGROUND = "playground"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what needs a real API server run where it was started (xdist's --dist loadgroup): few of them are."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and item.nodeid.startswith(HERE):
            server = callspec.params.get("endpoint", PLAYGROUND)
            if server != PLAYGROUND:
                item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name} {server}"))

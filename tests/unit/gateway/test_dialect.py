"""What all dialects have in common."""

import pytest

from agentstop.gateway.dialect import task_id_of

UID = "0a1b2c3d-0000-4000-8000-00000000000f"


@pytest.mark.parametrize(
    ("text", "called"),
    [
        (UID, UID),
        (UID.upper(), UID),
        ("run 1/a", "run 1/a"),
        ("Run", "Run"),
        ("a" * 253, "a" * 253),
        ("a" * 254, None),
        ("", None),
        ("a\nb", None),
    ],
)
def test_what_a_task_can_be_called(text: str, called: str | None) -> None:
    assert task_id_of(text) == called

"""What an API server's answer to the question for a right says."""

from typing import Any

import pytest

from agentstop.cluster.access_reviews import allowed


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"status": {"allowed": True}}, True),
        ({"status": {"allowed": False}}, False),
        ({"status": {}}, None),
        ({"status": "odd"}, None),
        ({"status": {"allowed": "true"}}, None),
        ({}, None),
    ],
)
def test_only_a_plain_word_is_an_answer(answer: dict[str, Any], says: bool | None) -> None:
    assert allowed(answer) is says

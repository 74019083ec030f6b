"""A vendor's OpenAPI, in our words, and whatever schemathesis makes of it: right requests, and wrong ones."""

from pathlib import Path
from typing import Any

import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings

EXAMPLES = 25

MODES = tuple(schemathesis.GenerationMode)


def description(dialect: str) -> Any:
    """Return what describes a dialect's API."""
    path = Path(__file__).parent / "openapi" / f"{dialect}.yaml"
    return schemathesis.openapi.from_dict(yaml.safe_load(path.read_text()))


def hold(api: Any, url: str, key: str, operation: str, mode: schemathesis.GenerationMode, **path: str) -> set[int]:
    """Send what may be asked of an operation, hold each answer against the description, and return the codes."""
    found = api.find_operation_by_id(operation)
    codes: set[int] = set()

    @given(case=found.as_strategy(generation_mode=mode, path_parameters=path or None))
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def run(case: Any) -> None:
        answer = case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {key}"})
        codes.add(answer.status_code)

    run()
    return codes

"""What the main calls answered on a node at work, for the OpenAPI document; `make answers` asks anew.

Long lists are cut short. Knows no types: a test reads each answer by those of its operation.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec


def answers() -> dict[str, Any]:
    """By call, such as `GET /api/task/{id}`: the JSON of its answer."""
    found: dict[str, Any] = msgspec.json.decode((files("taskyard.api") / "answers.json").read_bytes())
    return found

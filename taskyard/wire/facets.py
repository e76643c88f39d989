"""What a filter can be set to: the values that are known of a field."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from taskyard.wire.base import Answer, Query, Text, form

FIELDS = ("type", "tag", "owner", "server", "capability", "group", "status")
FacetField = Annotated[
    str,
    form(f"^({'|'.join(FIELDS)})(?!\\n)$", f"one of {', '.join(FIELDS)}", extra_json_schema={"enum": list(FIELDS)}),
]


class FacetQuery(Query):
    """Which values of which field."""

    field: FacetField
    prefix: Annotated[Text | None, Meta(description="Only values that begin so.")] = None
    limit: Annotated[Annotated[int, Meta(ge=1, le=100)] | None, Meta(description="1-100; default 20.")] = None


class Facets(Answer):
    """Values in order of text."""

    field: FacetField
    values: list[str]
    more: Annotated[bool, Meta(description="Whether there are more.")]

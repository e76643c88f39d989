"""The page in the docs is the one that the settings make."""

from pathlib import Path

from taskyard.settings.fields import fields
from taskyard.settings.table import page

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m taskyard.settings.table > docs/configuration.md"


def test_the_page_has_every_setting_and_a_reason_for_it() -> None:
    rows = page().splitlines()
    for field in fields().values():
        assert field.doc.endswith(".")
        assert [row for row in rows if row.startswith(f"| `{field.name}` | `TASKYARD_{field.name.upper()}`")]

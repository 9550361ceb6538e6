"""What docs/Import.md shows works as it is written there."""

import re
import shlex
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import load_command_class

from stonks_overwatch.imports.canonical import ACTIVITY_COLUMNS, SUB_UNITS
from stonks_overwatch.ledger import models
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from tests.imports.files import take

GUIDE = (Path(__file__).parents[2] / "docs" / "Import.md").read_text()


@pytest.mark.django_db
def test_the_examples_are_files_that_can_be_imported(tmp_path: Path) -> None:
    examples = re.findall(r"```csv\n(.*?)```", GUIDE, re.DOTALL)
    kinds = []
    for number, example in enumerate(examples):
        path = tmp_path / f"{number}.csv"
        path.write_text(example)
        kinds.append(take(path, now=datetime(2026, 1, 1, tzinfo=UTC)).kind)

    assert kinds == ["activities", "prices", "fx"]
    # 80 shares after the split, 30 sold; 5,500 - 3,601.50 + 17 + 1,566 dollars are there.
    assert models.Position.objects.get().quantity == Decimal(50)
    assert dict(models.CashBalance.objects.values_list("currency", "amount")) == {
        "EUR": Decimal(5000),
        "USD": Decimal("3481.50"),
    }
    assert models.Position.objects.get().market_value == 50 * Decimal("52.25")


def test_every_column_kind_class_and_sub_unit_is_told() -> None:
    for name in (*ACTIVITY_COLUMNS, *ActivityKind, *(set(AssetClass) - {AssetClass.CASH})):
        assert f"`{name}`" in GUIDE or re.search(rf"`[a-z_ ]*\b{name}\b[a-z_ ]*`", GUIDE)
    assert all(code in GUIDE for code in ("GBX", "ILA", "ZAC"))
    assert {code.upper() for code in SUB_UNITS} - {"GBP"} == {"GBX", "ILA", "ZAC"}


def test_every_command_and_option_exists() -> None:
    lines = re.findall(r"^\.venv/bin/stonks-overwatch (.*)$", GUIDE, re.MULTILINE)
    for line in lines:
        name, *arguments = shlex.split(line)
        parser = load_command_class("stonks_overwatch", name).create_parser("stonks-overwatch", name)
        parser.parse_args(arguments)
    options = load_command_class("stonks_overwatch", "import").create_parser("x", "import").format_help()
    assert all(option in options for option in ("--dry-run", "--account", "--list", "--undo", "--json"))

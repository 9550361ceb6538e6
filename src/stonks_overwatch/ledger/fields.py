"""Columns that keep what they are given."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable

    Given = TypeVar("Given")
    Got = TypeVar("Got")

    class _Text(models.Field[Given, Got]):
        """A text column that is a Decimal in Python: django-stubs takes its types from these names."""

        _pyi_private_set_type: Decimal | str | Combinable
        _pyi_private_get_type: Decimal
        _pyi_lookup_exact_type: Decimal | str
else:
    _Text = models.TextField


class ExactDecimalField(_Text):  # type: ignore[type-arg]
    """A Decimal kept as text with every digit.

    SQLite has no decimal type and Django's DecimalField keeps 15 significant digits there. Text cannot
    be summed or compared in SQL: that is done in Python or in the engine.
    """

    description = "Exact decimal"

    def from_db_value(self, value: str | None, *_: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        if isinstance(value, float):
            raise ValidationError("a float is not exact; give a Decimal or a text")
        try:
            return Decimal(str(value))
        except InvalidOperation as err:
            raise ValidationError(f"{value!r} is not a number") from err

    def get_prep_value(self, value: Any) -> str | None:
        number = value if isinstance(value, Decimal) else self.to_python(value)
        return None if number is None else text(number)


def text(number: Decimal) -> str:
    """The number without an exponent, so that equal columns hold equal text: 1E+2 is 100."""
    if not number.is_finite():
        raise ValidationError(f"{number} cannot be stored; unknown is None")
    written = str(number)
    return format(number, "f") if "E" in written else written

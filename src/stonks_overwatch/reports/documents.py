"""What the JSON documents share: how numbers are written, and totals that count what they leave out.

A report returns a frozen model whose JSON form is the document itself: decimals are strings without an
exponent, dates are ISO 8601, unknown is null. Figures as the broker gave them keep every digit;
computed ones (conversions, weights, totals) are rounded to ten decimals, and to cents only when shown.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from itertools import accumulate
from typing import Annotated, Any, NamedTuple, Self, TypeVar, get_args, overload

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema, core_schema

from stonks_overwatch.ledger.types import UNKNOWN_CURRENCY, AssetClass

_COMPUTED_DECIMALS = 10


def exact_text(number: Decimal) -> str:
    """Every digit, no exponent, no trailing zeros: 2.1250 is "2.125", 1E+2 is "100"."""
    written = format(number, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def computed_text(number: Decimal) -> str:
    """The number rounded to ten decimals, written as `exact_text` writes it."""
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -_COMPUTED_DECIMALS:
        return exact_text(number)
    return exact_text(Decimal(format(number, f".{_COMPUTED_DECIMALS}f")))


Exact = Annotated[Decimal, PlainSerializer(exact_text, return_type=str, when_used="json")]


def _known_currency(code: str) -> str | None:
    return None if code == UNKNOWN_CURRENCY else code


KeptIn = Annotated[str, PlainSerializer(_known_currency, return_type=str | None, when_used="json")]
"""The currency of an account: in JSON null while no source has told it."""

Computed = Annotated[Decimal, PlainSerializer(computed_text, return_type=str, when_used="json")]


class Document(BaseModel):
    """One JSON document, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __getitem__(self, name: str) -> Any:
        """A field for templates, which look for an item first: to find that there is none takes long."""
        return getattr(self, name)

    @classmethod
    def made(cls, fields: dict[str, Any]) -> Self:
        """One of thousands, of all its fields, which are known to be right: to check them takes longest."""
        one = cls.__new__(cls)
        for name, value in (
            ("__dict__", fields),
            ("__pydantic_fields_set__", _names(cls)),
            ("__pydantic_extra__", None),
            ("__pydantic_private__", None),
        ):
            object.__setattr__(one, name, value)
        return one


@cache
def _names(document: type[Document]) -> set[str]:
    return set(document.model_fields)


_Row = TypeVar("_Row", bound=Document)


class Rows(Sequence[_Row]):
    """The rows of a long table, made when they are looked at: a page shows thirty of many thousands.

    In JSON they are a list of all.
    """

    def __init__(
        self,
        keys: Sequence[Any],
        make: Callable[[Sequence[Any]], Sequence[_Row]],
        find: Callable[[str], Sequence[Any]] | None = None,
    ) -> None:
        """`make` gives the rows of some of the keys, in their order, `find` the keys for `named`."""
        self._keys = keys
        self._make = make
        self._find = find

    def named(self, name: str) -> Iterable[_Row]:
        """The rows among which the one of this name is, if it is there: few, where they can be found."""
        return self if self._find is None else self._make(self._find(name))

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, place: int) -> _Row: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[_Row]: ...
    def __getitem__(self, place: int | slice) -> _Row | Sequence[_Row]:
        if isinstance(place, slice):
            return self._make(self._keys[place])
        return self._make([self._keys[place]])[0]

    def __iter__(self) -> Iterator[_Row]:
        for start in range(0, len(self._keys), _PORTION):
            yield from self._make(self._keys[start : start + _PORTION])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (tuple, Rows)) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        rows = core_schema.list_schema(handler.generate_schema(*get_args(source)))
        as_list = core_schema.plain_serializer_function_ser_schema(list, return_schema=rows)
        is_rows = core_schema.is_instance_schema(cls)
        return core_schema.json_or_python_schema(rows, is_rows, serialization=as_list)


class ByPart(Sequence[int]):
    """The keys of very many rows, those of some parts (months) read when they are looked at."""

    def __init__(self, sizes: Mapping[str, int], read: Callable[[Sequence[str]], Sequence[int]]) -> None:
        """`sizes` tells how many each part has, by its name and in their order.

        `read` gives those of some parts that follow each other.
        """
        self._names = list(sizes)
        self._ends = list(accumulate(sizes.values()))
        self._read = read

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[int]: ...
    def __getitem__(self, place: int | slice) -> int | Sequence[int]:
        if isinstance(place, int):
            at = range(len(self))[place]
            return self[at : at + 1][0]
        first, last, _ = place.indices(len(self))
        if first >= last:
            return []
        part, after = bisect_right(self._ends, first), bisect_left(self._ends, last) + 1
        begin = self._ends[part - 1] if part else 0
        return self._read(self._names[part:after])[first - begin : last - begin]


_PORTION = 500
_NONE = Decimal(0)


class Total(NamedTuple):
    """A sum and how many of its parts are unknown and therefore not in it.

    `value` is None when there are parts and none of them is known; a sum of no parts is 0.
    """

    value: Decimal | None
    unknown: int


def total(parts: Iterable[Decimal | None]) -> Total:
    every = list(parts)
    known = [part for part in every if part is not None]
    return Total(None if every and not known else sum(known, _NONE), len(every) - len(known))


def known_sum(parts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None as soon as one part is unknown."""
    value, unknown = total(parts)
    return None if unknown else value


PERCENT = "%"


def quoted_in(asset_class: str, quote_factor: Decimal, currency: str) -> str:
    """What a price is told in: percent of face where a bond is quoted so, else the currency."""
    return PERCENT if asset_class == AssetClass.BOND and quote_factor != 1 else currency


def option(right: str | None, strike: Decimal | None) -> str:
    """What tells options of one name and day apart: "Call 27.5"; empty for all else."""
    return "" if right is None or strike is None else f"{right.capitalize()} {strike.normalize():f}"


def times(amount: Decimal | None, factor: Decimal | None) -> Decimal | None:
    """The product; None when one of the two is unknown."""
    return None if amount is None or factor is None else amount * factor


def share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """The signed part as a fraction of the whole; None for a whole that is not positive."""
    if part is None or whole is None or whole <= 0:
        return None
    return part / whole

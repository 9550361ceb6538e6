"""Many rows into one table at once."""

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial, wraps
from itertools import islice
from typing import Any, TypeVarTuple

from django.core.exceptions import EmptyResultSet
from django.db import connection, models

from stonks_overwatch.ledger.fields import ExactDecimalField

_Asked = TypeVarTuple("_Asked")

# Without these Python looks for a way to write None and booleans each time, which takes longer than writing.
sqlite3.register_adapter(type(None), {None: None}.get)
sqlite3.register_adapter(bool, int)

_AT_ONCE = 5_000


def upsert(
    model: type[models.Model],
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    unique: Sequence[str],
    fill: bool = False,
    keep: bool = False,
    same: str | None = None,
    differing: str | None = None,
    greatest: str | None = None,
    is_prepared: bool = False,
) -> int:
    """Insert rows, or update those that are there by their unique fields.

    Args:
        model: the table.
        names: its fields, in the order of each row's values; a foreign key takes the key.
        rows: the values.
        unique: the fields of a unique constraint.
        fill: an update sets only what is null.
        keep: an update sets nothing to null.
        same: an update leaves a row alone that differs in this field.
        differing: an update leaves a row alone that is equal in this field.
        greatest: an update leaves a row alone that is greater in this field.
        is_prepared: the values are in the form in which the database keeps them.

    Returns: how many rows were inserted or updated.
    """
    columns = [field for name in names if isinstance(field := model._meta.get_field(name), models.Field)]
    values = list(rows) if is_prepared else _prepared(columns, rows)
    if not values:
        return 0
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    quoted = {column.name: quote(column.get_attname_column()[1] or column.name) for column in columns}
    updates = []
    for name in (name for name in names if name not in unique):
        old, new = f"{table}.{quoted[name]}", f"excluded.{quoted[name]}"
        value = f"COALESCE({old}, {new})" if fill else f"COALESCE({new}, {old})" if keep else new
        updates.append(f"{quoted[name]} = {value}")
    parts = [
        "INSERT INTO", table, f"({', '.join(quoted.values())})",
        "VALUES", f"({', '.join(['%s'] * len(columns))})",
        "ON CONFLICT", f"({', '.join(quoted[name] for name in unique)})",
        f"DO UPDATE SET {', '.join(updates)}" if updates else "DO NOTHING",
    ]  # fmt: skip
    conditions = [
        f"{table}.{quoted[name]} {sign} excluded.{quoted[name]}"
        for name, sign in ((same, "="), (differing, "<>"), (greatest, "<="))
        if name
    ]
    if conditions:
        parts.append(f"WHERE {' AND '.join(conditions)}")
    with connection.cursor() as cursor:
        cursor.executemany(" ".join(parts), values)
        return int(cursor.rowcount)


def insert(model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows that are not there: twice as fast as `upsert`, which has to be ready for those that are.

    Args:
        model: the table.
        names: its fields, in the order of each row's values; a foreign key takes the key.
        rows: the values, in the form in which the database keeps them; some thousands are held at a time.
    """
    statement = _insertion(model, names)
    left = iter(rows)
    with connection.cursor() as cursor:
        while some := list(islice(left, _AT_ONCE)):
            cursor.executemany(statement, some)


def insert_one(model: type[models.Model], names: Sequence[str], row: Sequence[Any]) -> int:
    """As `insert`; return the number of the row."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_insertion(model, names)} RETURNING id", row)
        return int(cursor.fetchone()[0])


def _insertion(model: type[models.Model], names: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    columns = [field for name in names if isinstance(field := model._meta.get_field(name), models.Field)]
    quoted = ", ".join(quote(column.get_attname_column()[1] or column.name) for column in columns)
    table, places = quote(model._meta.db_table), ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({quoted}) VALUES ({places})"  # noqa: S608  # names of ours


def update(model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write fields of rows that are there.

    Args:
        model: the table.
        names: its fields, in the order of each row's values.
        rows: the values, and the row's primary key last.
    """
    columns = [field for name in names if isinstance(field := model._meta.get_field(name), models.Field)]
    values = _prepared([*columns, model._meta.pk], rows)
    if not values:
        return
    quote = connection.ops.quote_name
    setting = ", ".join(f"{quote(column.get_attname_column()[1] or column.name)} = %s" for column in columns)
    table = quote(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {table} SET {setting} WHERE id = %s", values)  # noqa: S608  # names of ours


def plain_rows(asked: models.QuerySet[Any, tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, one after the other, as the database has them: in half the time of a query set.

    Days and decimals are to be asked for as text or floats.
    """
    with connection.cursor() as cursor:
        cursor.execute(*asked.query.sql_with_params())
        yield from cursor


def prepared(
    asked: Callable[[*_Asked], models.QuerySet[Any, tuple[Any, ...]]],
) -> Callable[[*_Asked], list[tuple[Any, ...]]]:
    """A query of which the words are found once for the same arguments: often that takes longest.

    It must depend on its arguments alone. Rows come as the database has them: days and decimals are asked
    for as text.
    """

    @lru_cache(100)
    def words(*args: *_Asked) -> tuple[str, tuple[Any, ...]] | None:
        try:
            return asked(*args).query.sql_with_params()
        except EmptyResultSet:
            return None

    @wraps(asked)
    def answered(*args: *_Asked) -> list[tuple[Any, ...]]:
        found = words(*args)
        if found is None:
            return []
        with connection.cursor() as cursor:
            cursor.execute(*found)
            return list(cursor.fetchall())

    return answered


def _prepared(columns: "Sequence[models.Field[Any, Any]]", rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """The values in the form in which the database keeps them."""
    prepare = [_preparing(column) for column in columns]
    return [
        [value if value is None or of is None else of(value) for value, of in zip(row, prepare, strict=True)]
        for row in rows
    ]


def _preparing(column: "models.Field[Any, Any]") -> Callable[[Any], Any] | None:
    """How a value of this column is prepared, None where there is nothing to it.

    As the column itself does it; but to ask that for each value takes longer than to write them all.
    """
    if isinstance(column, ExactDecimalField):
        return column.get_prep_value
    if isinstance(column, models.TextField | models.IntegerField | models.BooleanField | models.ForeignKey):
        return None
    return lru_cache(1000)(partial(column.get_db_prep_save, connection=connection))


@contextmanager
def impatient() -> Iterator[None]:
    """Inside, what has to wait for another's writing fails at once (OperationalError)."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        usual = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
        cursor.execute("PRAGMA busy_timeout = 50")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(usual)}")


@contextmanager
def roomy() -> Iterator[None]:
    """Inside, SQLite keeps at hand what one long transaction made: it need not write it and read it again."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        usual = cursor.execute("PRAGMA cache_size").fetchone()[0]
        cursor.execute("PRAGMA cache_size = -16000")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA cache_size = {int(usual)}")


@contextmanager
def without_collector() -> Iterator[None]:
    """Hundreds of thousands of rows live to the end, and hold no cycles: looking for some takes a fifth."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

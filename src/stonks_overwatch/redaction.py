"""Keeps secrets out of everything that is written: a text type that shows as `***`, and a log filter."""

import logging
import threading
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MASK = "***"
_known: set[str] = set()
_lock = threading.Lock()


class Secret:
    """A secret text. Its value leaves only through `reveal()`; every other view of it is `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        remember(value)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> Any:
        raise TypeError("a secret is never pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), text]),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )


def remember(value: str) -> None:
    """Make the log filter mask this text, whole and line by line (keys span lines), from now on."""
    parts = {value.strip(), *(line.strip() for line in value.splitlines())}
    # Shorter texts (a PEM's dashes, "2") would mask ordinary words.
    with _lock:
        _known.update(p for p in parts if len(p) >= 8 and not p.startswith("-----"))


def redact(text: str) -> str:
    """Return the text with every remembered secret replaced by `***`."""
    with _lock:
        secrets = sorted(_known, key=len, reverse=True)
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


class RedactingFormatter(logging.Formatter):
    """Formats first and redacts the finished line, so that tracebacks and arguments are covered too."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))

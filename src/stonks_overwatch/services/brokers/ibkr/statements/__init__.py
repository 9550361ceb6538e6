"""IBKR's Flex statements: files and bytes in, ledger types out. Pure: no network, no database, no clock."""

from stonks_overwatch.services.brokers.ibkr.statements.answers import (
    ENDPOINT,
    NO_STATEMENT,
    missing_sections,
    told,
)
from stonks_overwatch.services.brokers.ibkr.statements.dates import EASTERN
from stonks_overwatch.services.brokers.ibkr.statements.reading import (
    Outline,
    Reading,
    looks_like_statement,
    outline,
    read,
)

__all__ = [
    "EASTERN",
    "ENDPOINT",
    "NO_STATEMENT",
    "Outline",
    "Reading",
    "looks_like_statement",
    "missing_sections",
    "outline",
    "read",
    "told",
]

"""IBKR's Flex statements: files and bytes in, ledger types out. Pure: no network, no database, no clock."""

from stonks_overwatch.services.brokers.ibkr.statements.reading import Reading, looks_like_statement, read

__all__ = ["Reading", "looks_like_statement", "read"]

"""The brokers, by the name they have in the configuration."""

from importlib import import_module
from typing import cast

from stonks_overwatch.services.brokers.base import Broker

BROKERS = {"ibkr": "stonks_overwatch.services.brokers.ibkr"}


def load(name: str) -> Broker:
    """The broker's package, imported when it is first needed (client libraries are heavy)."""
    return cast("Broker", import_module(BROKERS[name]))

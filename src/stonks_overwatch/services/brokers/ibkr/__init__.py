"""Interactive Brokers: the functions of `base.Broker`.

The configuration and the tables import this package long before anything is asked, so everything
(iBind takes a third of a second) comes with the first use of a function.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stonks_overwatch.services.brokers.ibkr.backfill import history
    from stonks_overwatch.services.brokers.ibkr.checking import check
    from stonks_overwatch.services.brokers.ibkr.fetching import fetch
    from stonks_overwatch.services.brokers.ibkr.keeping import keep
    from stonks_overwatch.services.brokers.ibkr.live import Feed
    from stonks_overwatch.services.brokers.ibkr.replaying import kept, pulled
    from stonks_overwatch.services.brokers.ibkr.transforming import transform

__all__ = ["Feed", "check", "fetch", "history", "keep", "kept", "pulled", "transform"]

_HOMES = {
    "Feed": "live",
    "check": "checking",
    "fetch": "fetching",
    "history": "backfill",
    "keep": "keeping",
    "kept": "replaying",
    "pulled": "replaying",
    "transform": "transforming",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

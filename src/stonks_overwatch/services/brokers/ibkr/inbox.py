"""What of IBKR's answers could not be typed, on its way to the inbox."""

import hashlib
from collections.abc import Iterable
from typing import Any

from stonks_overwatch.ledger.types import InboxItem
from stonks_overwatch.services.brokers.ibkr.values import as_json

_MEANT = {
    "accounts": "accounts",
    "positions": "positions",
    "ledger": "cash",
    "transactions": "activities",
}
"""What rows of a section belong in."""


class Inbox:
    """Collects what could not be typed, each thing once."""

    def __init__(self) -> None:
        self._items: dict[str, InboxItem] = {}

    def tell(
        self, section: str, account: str | None, reason: str, content: Any, subject: str | None = None
    ) -> None:
        """Keep a row or an answer with the reason why it, or a part of it, could not be typed.

        With a subject it is told once per subject and reason, however its numbers move from day to day;
        without one, each content is told.
        """
        text = as_json(content)
        what = _digest(text) if subject is None else f"{subject}:{_digest(reason)}"
        key = f"{section}:{account or ''}:{what}"
        self._items.setdefault(key, InboxItem(key, account, section, reason, text, _MEANT.get(section, "")))

    def items(self) -> tuple[InboxItem, ...]:
        return tuple(self._items[key] for key in sorted(self._items))

    def unreadable(
        self, fields: Iterable[str], section: str, account: str | None, subject: str, content: Any
    ) -> None:
        """Tell that fields of a typed row hold no number, if there are any."""
        if named := ", ".join(sorted(set(fields))):
            self.tell(section, account, f"not a number in {named}; kept as unknown", content, subject)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]

"""What the conformance suite asks of a broker's tests: to tell a story in that broker's own answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from stonks_overwatch.services.brokers.base import Raw
from tests.builders import (
    ibkr_answers,
    ibkr_cash,
    ibkr_definition,
    ibkr_fresh,
    ibkr_position,
    ibkr_transaction,
    ibkr_transactions,
    raw,
    shuffled,
)


@dataclass(frozen=True)
class Held:
    """A position of account U1; numbers as texts. `ref` is a number, as all brokers have it."""

    ref: str = "101"
    quantity: str = "10"
    price: str = "12"
    cost: str = "10"  # per unit


@dataclass(frozen=True)
class Fill:
    """A trade; a negative quantity is a sale."""

    ref: str = "101"
    quantity: str = "4"
    price: str = "11"
    on: date = date(2026, 3, 2)


class Driver(Protocol):
    """Makes what a fetch of one broker brings. Each method's positions and fills are those of account U1."""

    def told(self, held: Sequence[Held], fills: Sequence[Fill], at: datetime) -> Raw:
        """All answers came and were complete."""

    def incomplete(self, held: Sequence[Held], at: datetime) -> Raw:
        """The answer with the positions is known to lack some."""

    def broken(self, at: datetime) -> list[Raw]:
        """The broker answered with errors and nonsense where the positions are due."""

    def strange(self, at: datetime) -> Raw:
        """One sound position and one sound fill, each beside a row whose kind nobody knows; both are 101."""

    def shuffled(self, told: Raw, seed: int) -> Raw:
        """The same answers, with their rows in another order."""


class IbkrDriver:
    def told(self, held: Sequence[Held], fills: Sequence[Fill], at: datetime) -> Raw:
        return self._raw(held, fills, at, complete=True)

    def incomplete(self, held: Sequence[Held], at: datetime) -> Raw:
        return self._raw(held, (), at, complete=False)

    def broken(self, at: datetime) -> list[Raw]:
        bodies: list[Any] = [
            {"error": "Service Unavailable", "statusCode": 503},
            "<html></html>",
            None,
            [None],
            [{}],
        ]
        sound = self._raw((), (), at, complete=True)
        return [_changed(sound, "GET portfolio2/", partial(_instead, body)) for body in bodies]

    def strange(self, at: datetime) -> Raw:
        sound = self._raw([Held()], [Fill()], at, complete=True)
        unknown = ibkr_fresh("102", assetClass="XYZ", secType="XYZ")
        told = _changed(sound, "GET portfolio2/", lambda rows: [*rows, unknown])
        odd = ibkr_transaction("Sorcery", conid=101)
        return _changed(
            told, "POST pa/transactions", lambda body: body | {"transactions": [*body["transactions"], odd]}
        )

    def shuffled(self, told: Raw, seed: int) -> Raw:
        return replace(told, answers=shuffled(told.answers, seed))

    def _raw(self, held: Sequence[Held], fills: Sequence[Fill], at: datetime, *, complete: bool) -> Raw:
        refs = sorted({row.ref for row in held} | {row.ref for row in fills})
        answers = ibkr_answers(
            [
                ibkr_fresh(
                    h.ref, h.quantity, h.price, avgPrice=Decimal(h.cost), timestamp=int(at.timestamp())
                )
                for h in held
            ],
            cached=[ibkr_position(int(h.ref), h.quantity, h.price) for h in held],
            definitions=[ibkr_definition(int(ref)) for ref in refs],
            cash={"EUR": ibkr_cash("5"), "USD": ibkr_cash("7.25", "0.9")},
            complete=complete,
            at=at,
        )
        for ref in refs:
            rows = [
                ibkr_transaction(
                    "Sell" if f.quantity.startswith("-") else "Buy",
                    f.quantity,
                    f.price,
                    conid=int(ref),
                    rawDate=f"{f.on:%Y%m%d}",
                )
                for f in fills
                if f.ref == ref
            ]
            answers.append(replace(ibkr_transactions(rows, int(ref)), fetched_at=at))
        return raw(*answers, at=at)


def _instead(body: Any, _: Any) -> Any:
    return body


def _changed(told: Raw, endpoint: str, change: Callable[[Any], Any]) -> Raw:
    return replace(
        told,
        answers=[
            replace(a, body=change(a.body)) if a.endpoint.startswith(endpoint) else a for a in told.answers
        ],
    )


DRIVERS: dict[str, Driver] = {"ibkr": IbkrDriver()}

"""A made-up ledger as canonical CSV: the same files for the same size and seed, on every machine.

`python -m bench.synthetic S FOLDER` writes activities.csv, prices.csv and fx.csv.
"""

import csv
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import numpy as np

FIRST, LAST = date(2015, 7, 1), date(2025, 6, 30)
BASE = "EUR"
# Of the base currency against each, about what they were.
CURRENCIES = {
    "EUR": 1.0, "USD": 1.12, "GBP": 0.86, "CHF": 1.02, "JPY": 135.0, "SEK": 10.4, "CAD": 1.47, "AUD": 1.6,
    "NOK": 10.3, "DKK": 7.45,
}  # fmt: skip
ACCOUNTS = ("Main", "Savings")
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Size:
    activities: int
    instruments: int
    currencies: int


SIZES = {"S": Size(1_000, 50, 5), "M": Size(10_000, 200, 8), "L": Size(100_000, 1_000, 10)}


@dataclass(frozen=True, slots=True)
class Files:
    activities: Path
    prices: Path
    fx: Path


@dataclass(frozen=True, slots=True)
class _Instrument:
    symbol: str
    isin: str
    name: str
    asset_class: str
    currency: str
    closes: list[Decimal]  # one per weekday


def in_folder(folder: Path) -> Files:
    return Files(folder / "activities.csv", folder / "prices.csv", folder / "fx.csv")


def write(folder: Path, size: Size, seed: int = 1) -> Files:
    """Write the three files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    days = [
        day
        for day in (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1))
        if day.weekday() < 5
    ]
    numbers = np.random.default_rng(seed)
    currencies = list(CURRENCIES)[: size.currencies]
    instruments = [
        _instrument(n, currencies[n % len(currencies)], len(days), numbers) for n in range(size.instruments)
    ]
    files = in_folder(folder)
    _write_prices(files.prices, instruments, days)
    _write_rates(files.fx, currencies[1:], days, numbers)
    _write_activities(files.activities, size, instruments, days, Random(seed))  # noqa: S311  # nothing secret
    return files


def _instrument(number: int, currency: str, days: int, numbers: np.random.Generator) -> _Instrument:
    steps = numbers.normal(0.0003, 0.015, days).cumsum()
    closes = np.maximum(np.exp(steps) * numbers.uniform(5, 400), 0.01)
    return _Instrument(
        symbol=f"S{number:04}",
        isin=_isin(f"XS{number:09}"),
        name=f"Synthetic {number}",
        asset_class="etf" if number % 4 == 0 else "stock",
        currency=currency,
        closes=[Decimal(f"{close:.4f}") for close in closes],
    )


def _isin(body: str) -> str:
    """With its check digit (ISO 6166)."""
    digits = "".join(str(int(character, 36)) for character in body)
    doubled = (int(digit) * (1 if place % 2 else 2) for place, digit in enumerate(reversed(digits)))
    return f"{body}{-sum(n // 10 + n % 10 for n in doubled) % 10}"


def _write_prices(path: Path, instruments: list[_Instrument], days: list[date]) -> None:
    names = [day.isoformat() for day in days]
    with path.open("w", newline="") as file:
        file.write("date,symbol,isin,currency,close\n")
        for of in instruments:
            middle = f",{of.symbol},{of.isin},{of.currency},"
            file.writelines(f"{day}{middle}{close}\n" for day, close in zip(names, of.closes, strict=True))


def _write_rates(path: Path, currencies: list[str], days: list[date], numbers: np.random.Generator) -> None:
    with path.open("w", newline="") as file:
        file.write("date,base,quote,rate\n")
        for currency in currencies:
            walk = CURRENCIES[currency] * np.exp(numbers.normal(0, 0.004, len(days)).cumsum())
            file.writelines(
                f"{day},{BASE},{currency},{rate:.6f}\n" for day, rate in zip(days, walk, strict=True)
            )


def _write_activities(
    path: Path, size: Size, instruments: list[_Instrument], days: list[date], random: Random
) -> None:
    """Money in first and every month; then trades, dividends with tax, fees and interest."""
    fields = (
        "date", "account", "kind", "symbol", "isin", "name", "asset_class", "quantity", "price", "currency",
        "amount", "fee", "tax", "fx_rate", "external_id", "note",
    )  # fmt: skip
    held: dict[tuple[str, str], Decimal] = {}
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, fields, restval="")
        rows.writeheader()
        written = 0
        for account in ACCOUNTS:
            for currency in {of.currency: None for of in instruments}:
                amount = Decimal(round(2_000_000 * CURRENCIES[currency]))
                rows.writerow(_money(days[0], account, "deposit", currency, amount))
                written += 1
        per_day = (size.activities - written) / len(days)
        due = 0.0
        for place, day in enumerate(days):
            due += per_day
            while due >= 1 and written < size.activities:
                rows.writerow(_activity(place, day, random, instruments, held))
                due -= 1
                written += 1
        while written < size.activities:  # what rounding left
            rows.writerow(_money(days[-1], ACCOUNTS[0], "interest", BASE, Decimal("1.00")))
            written += 1


def _activity(
    place: int,
    day: date,
    random: Random,
    instruments: list[_Instrument],
    held: dict[tuple[str, str], Decimal],
) -> dict[str, object]:
    account = random.choice(ACCOUNTS)
    of = random.choice(instruments)
    key = account, of.symbol
    owned = held.get(key, Decimal(0))
    kind = random.random()
    row: dict[str, object] = {
        "date": day,
        "account": account,
        "symbol": of.symbol,
        "isin": of.isin,
        "name": of.name,
        "asset_class": of.asset_class,
        "currency": of.currency,
    }
    price = of.closes[place]
    if kind < 0.04:
        return _money(day, account, "deposit", BASE, Decimal(random.randint(100, 5000)))
    if kind < 0.06:
        return _money(
            day, account, random.choice(("fee", "interest")), BASE, Decimal(random.randint(-90, 90))
        )
    if owned and kind < 0.2:
        gross = (owned * price * Decimal("0.006")).quantize(CENT)
        return row | {"kind": "dividend", "amount": gross, "tax": (gross * Decimal("0.15")).quantize(CENT)}
    if owned > 1 and kind < 0.45:
        sold = Decimal(random.randint(1, int(owned)))
        held[key] = owned - sold
        return row | {"kind": "sell", "quantity": sold, "price": price, "fee": Decimal("1.25")}
    bought = Decimal(random.randint(1, 60))
    held[key] = owned + bought
    return row | {"kind": "buy", "quantity": bought, "price": price, "fee": Decimal("1.25")}


def _money(day: date, account: str, kind: str, currency: str, amount: Decimal) -> dict[str, object]:
    return {"date": day, "account": account, "kind": kind, "currency": currency, "amount": amount}


if __name__ == "__main__":
    write(Path(sys.argv[2]), SIZES[sys.argv[1]])

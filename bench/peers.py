"""The same journal for beancount, ledger and hledger, and how long each takes for its answer.

What is measured is one process from its start to its end, reading what it needs from the disk, because these
three read the whole journal for each answer:

- beancount (bean-query): the whole file parsed, every sale matched first in, first out (booking method FIFO),
  then the cost of what is open, by account and currency. Without its cache of the parsed file.
- ledger, hledger (`balance -V`): the whole file parsed, the balance of each account at the last prices; they
  match no lots.
- hledger (`roi`), at S alone: the whole file parsed, money-weighted and time-weighted return of all time. It
  is compared with our command `performance`, which has more to tell, on the database that is there.
- Ours, from text: the same activities (and the last prices) imported into a new database, all lots matched,
  the holdings valued. Ours, stored: the command `holdings` on the database that is there.

The journals hold all activities and, of prices and rates, the last of each alone, that for `roi` all of them.
beancount is installed into a folder of its own beside the system's temporary files; the others are measured
where they are installed.
"""

import csv
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from threading import Timer

from bench.synthetic import BASE

ROUNDS = {"S": 5, "M": 3, "L": 1}
BEANCOUNT = ("beancount==3.2.3", "beanquery==0.2.0")
LONGEST_SECONDS = 300
_STOPPED = f"stopped after {LONGEST_SECONDS} s"
_COSTS = (
    "SELECT cost_currency, sum(number * cost_number) WHERE account ~ '^Assets:.*:Held' GROUP BY cost_currency"
)


Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Took:
    """The medians of several rounds, and what the last one printed."""

    seconds: float
    processor: float
    megabytes: float
    printed: str


def compare(size: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    """What to print: what was measured, the figure, and what it is against ours.

    `folder` holds the files of bench.synthetic and, in `data`, the database that they were imported into.
    """
    rounds = ROUNDS[size]
    rows = list(_rows(folder / "activities.csv"))
    last = {name: _last_rows(folder / f"{name}.csv") for name in ("prices", "fx")}
    stored = _run(_ours("holdings"), folder, _environment(folder), rounds)
    yield _line(f"{size}: ours, stored: holdings", stored, "")
    new = folder / "new"
    for name, table in last.items():
        _write(folder / f"last-{name}.csv", table)
    files = [str(folder / name) for name in ("activities.csv", "last-prices.csv", "last-fx.csv")]
    texts = _both(_ours("import", *files), _ours("holdings"), new, rounds)
    yield _line(f"{size}: ours, from text: import, lots, holdings", texts, "")
    costs = _own_costs(new)
    beancount = _beancount()
    if beancount is None:
        yield f"{size}: beancount", "", "not installed: skipped"
    else:
        journal = _journal(folder / "peers.beancount", _Beancount(rows, last))
        environment = {**os.environ, "BEANCOUNT_DISABLE_LOAD_CACHE": "1"}
        try:
            took = _run([beancount, "-f", "csv", journal, _COSTS], folder, environment, rounds)
        except TimeoutError:
            yield f"{size}: beancount, costs by FIFO", "", _STOPPED
        else:
            agrees = _agreement(_costs_of(took.printed), costs)
            yield _line(f"{size}: beancount, costs by FIFO", took, _against(took, texts, stored, agrees))
    for program, version in (("ledger", "balance -V"), ("hledger", "balance -V")):
        found = shutil.which(program)
        if found is None:
            yield f"{size}: {program}", "", "not installed: skipped"
            continue
        journal = _journal(folder / f"peers.{program}", _Ledger(rows, last))
        command = [found, "-f", journal, "balance", "-V", "Assets"]
        try:
            took = _run(command, folder, dict(os.environ), rounds)
        except TimeoutError:
            yield f"{size}: {program}, {version}", "", _STOPPED
            continue
        yield _line(f"{size}: {program}, {version}", took, _against(took, texts, stored, "no lots"))
    if size == "S" and (found := shutil.which("hledger")):
        yield from _returns(size, folder, rows, found)


def _returns(size: str, folder: Path, rows: Sequence[Row], hledger: str) -> Iterator[tuple[str, str, str]]:
    """The returns of all time, of hledger and ours."""
    own = _run(_ours("performance", "--json"), folder, _environment(folder), ROUNDS[size])
    yield _line(f"{size}: ours, stored: performance", own, "")
    every = {name: list(_rows(folder / f"{name}.csv")) for name in ("prices", "fx")}
    journal = _journal(folder / "returns.hledger", _Ledger(rows, every))
    asked = ("roi", "--inv", "Assets", "--pnl", "Income", f"--value=then,{BASE}")
    took = _run([hledger, "-f", journal, *asked], folder, dict(os.environ), rounds=1)
    told = json.loads(own.printed)
    begin, flows, end, _, irr, twr = (
        cell.split()[0] for cell in took.printed.splitlines()[3].replace("||", "|").split("|")[4:10]
    )
    names = ("begin_nav", "net_contribution", "end_nav")
    is_same = all(
        abs(Decimal(theirs) - Decimal(told[name])) < Decimal("0.01")
        for theirs, name in zip((begin, flows, end), names, strict=True)
    )
    agrees = "the same values and flows to the cent" if is_same else "OTHER VALUES OR FLOWS"
    returns = f"IRR and TWR a year {irr}, {twr}; ours {told['xirr']}, {told['twr_annualized']}"
    ratio = took.processor / own.processor
    yield _line(f"{size}: hledger, roi", took, f"{ratio:.0f} times ours (processor); {agrees}; {returns}")


def _line(what: str, took: Took, against: str) -> tuple[str, str, str]:
    # A process begins as a copy of this one: less than this cannot be told.
    least = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    is_more = took.megabytes > least
    memory = f"{took.megabytes:.0f} MB" if is_more else f"at most {least:.0f} MB"
    memory += f", processor {took.processor:.2f} s"
    return what, f"{took.seconds:.2f} s", f"{memory}; {against}" if against else memory


def _against(took: Took, texts: Took, stored: Took, more: str) -> str:
    return (
        f"{took.processor / texts.processor:.2f} times ours from text, "
        f"{took.processor / stored.processor:.2f} times ours stored (processor); {more}"
    )


# Running


def _ours(*words: str) -> list[str]:
    return [sys.executable, "-m", "stonks_overwatch", *words]


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "STONKS_OVERWATCH_DATA_DIR": str(folder / "data"),
        "STONKS_OVERWATCH_CONFIG": str(folder / "config.json"),
    }


def _once(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Took:
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=Path.cwd(), env=environment, stdout=output)  # noqa: S603
        watch = Timer(LONGEST_SECONDS, process.kill)
        watch.start()
        _, status, used = os.wait4(process.pid, 0)
        watch.cancel()
        seconds = time.perf_counter() - started
        if status and seconds >= LONGEST_SECONDS:
            raise TimeoutError
        if status:
            sys.exit(f"{command[0]} ended with an error in {folder}.")
        output.seek(0)
        return Took(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, output.read())


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str], rounds: int) -> Took:
    return _median([_once(command, folder, environment) for _ in range(rounds)])


def _both(first: Sequence[str], second: Sequence[str], new: Path, rounds: int) -> Took:
    """One command after the other, each time with a new database."""
    took = []
    for _ in range(rounds):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        one, other = (_once(command, new, _environment(new)) for command in (first, second))
        took.append(
            Took(
                one.seconds + other.seconds,
                one.processor + other.processor,
                max(one.megabytes, other.megabytes),
                other.printed,
            )
        )
    return _median(took)


def _median(took: Sequence[Took]) -> Took:
    seconds, processor, memory = (
        statistics.median(getattr(one, name) for one in took)
        for name in ("seconds", "processor", "megabytes")
    )
    return Took(seconds, processor, memory, took[-1].printed)


def _beancount() -> str | None:
    """The query program, installed if need be; None where it cannot be."""
    folder = Path(tempfile.gettempdir()) / "stonks-overwatch-bench-beancount"
    program = folder / "bin" / "bean-query"
    if not program.exists():
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *BEANCOUNT]
        subprocess.run(pip, check=False, timeout=LONGEST_SECONDS, stderr=subprocess.DEVNULL)  # noqa: S603
    return str(program) if program.exists() else None


# What the two find


def _own_costs(folder: Path) -> dict[str, Decimal]:
    printed = subprocess.run(  # noqa: S603  # ourselves
        _ours("lots", "--json"), check=True, env=_environment(folder), stdout=subprocess.PIPE, text=True
    ).stdout
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for lot in json.loads(printed)["lots"]:
        costs[lot["currency"]] += Decimal(lot["cost"])
    return _cents(costs)


def _costs_of(printed: str) -> dict[str, Decimal]:
    """From bean-query's CSV: a currency and an amount in each row."""
    rows = list(csv.reader(printed.splitlines()))[1:]
    return _cents({row[0].strip(): Decimal(row[1]) for row in rows if row})


def _agreement(theirs: Mapping[str, Decimal], own: Mapping[str, Decimal]) -> str:
    """Of two purchases on one day the first is not told: with the other one first, a little is different."""
    if theirs == own:
        return "the same costs"
    if theirs.keys() != own.keys():
        return "costs in OTHER CURRENCIES"
    most = max(abs(theirs[currency] / amount - 1) for currency, amount in own.items())
    return f"costs differ by {most:.0e} at most"


def _cents(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {currency: round(amount, 2) for currency, amount in sorted(amounts.items()) if amount}


# Journals


def _last_rows(path: Path) -> list[Row]:
    """Of each instrument or pair the last one."""
    found: dict[tuple[str, ...], Row] = {}
    for row in _rows(path):
        found[tuple(value for name, value in row.items() if name not in ("date", "close", "rate"))] = row
    return list(found.values())


def _rows(path: Path) -> Iterator[Row]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def _write(path: Path, table: Sequence[Row]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, list(table[0]))
        rows.writeheader()
        rows.writerows(table)


def _journal(path: Path, entries: "_Beancount | _Ledger") -> str:
    with path.open("w") as file:
        file.writelines(f"{line}\n" for line in entries.lines())
    return str(path)


def _number(text: str) -> Decimal:
    return Decimal(text or 0)


@dataclass(frozen=True, slots=True)
class _Beancount:
    """Commissions are part of the cost and of the proceeds, as in ours."""

    rows: Sequence[Row]
    last: Mapping[str, Sequence[Row]]

    def lines(self) -> Iterator[str]:
        first = self.rows[0]["date"]
        yield f'option "operating_currency" "{BASE}"'
        for account in sorted({row["account"] for row in self.rows}):
            yield f'{first} open Assets:{account}:Held "FIFO"'
            yield f"{first} open Assets:{account}:Cash"
        for name in ("Equity:Outside", "Income:Gains", "Income:Paid"):
            yield f"{first} open {name}"
        for row in self.rows:
            account, currency = row["account"], row["currency"]
            yield f'{row["date"]} * "{row["kind"]}"'
            amount = _cash(row)
            yield f"  Assets:{account}:Cash  {amount} {currency}"
            if row["kind"] == "buy":
                cost = f"{{{{{-amount} {currency}}}}}"
                yield f"  Assets:{account}:Held  {row['quantity']} {row['symbol']} {cost}"
            elif row["kind"] == "sell":
                yield f"  Assets:{account}:Held  -{row['quantity']} {row['symbol']} {{}}"
                yield "  Income:Gains"
            else:
                yield f"  {'Equity:Outside' if row['kind'] == 'deposit' else 'Income:Paid'}"
        for price in self.last["prices"]:
            yield f"{price['date']} price {price['symbol']}  {price['close']} {price['currency']}"


@dataclass(frozen=True, slots=True)
class _Ledger:
    """For ledger and hledger: trades at their total price, without lots."""

    rows: Sequence[Row]
    quotes: Mapping[str, Sequence[Row]]  # prices and rates

    def lines(self) -> Iterator[str]:
        for row in self.rows:
            account, currency = row["account"], row["currency"]
            yield f"{row['date']} {row['kind']}"
            amount = _cash(row)
            yield f"    Assets:{account}:Cash  {amount} {currency}"
            if row["kind"] in ("buy", "sell"):
                sign = "" if row["kind"] == "buy" else "-"
                quantity = f'{sign}{row["quantity"]} "{row["symbol"]}"'
                yield f"    Assets:{account}:Held  {quantity} @@ {abs(amount)} {currency}"
            else:
                yield f"    {'Equity:Outside' if row['kind'] == 'deposit' else 'Income:Paid'}"
            yield ""
        for price in self.quotes["prices"]:
            yield f'P {price["date"]} "{price["symbol"]}" {price["close"]} {price["currency"]}'
        for rate in self.quotes["fx"]:
            yield f"P {rate['date']} {rate['base']} {rate['rate']} {rate['quote']}"


def _cash(row: Row) -> Decimal:
    """What the activity brings, negative for what it costs."""
    if row["kind"] in ("buy", "sell"):
        gross = _number(row["quantity"]) * _number(row["price"])
        return (gross if row["kind"] == "sell" else -gross) - _number(row["fee"])
    return _number(row["amount"]) - _number(row["tax"])

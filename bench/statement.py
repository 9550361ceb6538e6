"""A made-up Flex statement of any size, and how fast it is imported: `python -m bench.statement [ROWS]`.

Without a number 200,000 rows, about 150 MB: trades, cash, rates and positions of two accounts over a year.
"""

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

ROWS, INSTRUMENTS = 200_000, 1_000
ACCOUNTS = ("U3141592", "U2718281")
FIRST, DAYS = date(2024, 7, 1), 360
_ISSUE = (
    'assetCategory="STK" subCategory="COMMON" symbol="S{n:04}" description="SYNTHETIC {n} CORP" '
    'conid="{conid}" isin="{isin}" listingExchange="NASDAQ" issuerCountryCode="US" multiplier="1" '
    'strike="" expiry="" putCall=""'
)
_TRADE = (
    '<Trade accountId="{account}" currency="USD" fxRateToBase="{rate}" {issue} tradeID="{number}" '
    'transactionID="9{number}" ibOrderID="7{number}" ibExecID="0000e0d5.{number:08x}.01.01" '
    'reportDate="{day}" tradeDate="{day}" '
    'dateTime="{day};{time}" settleDateTarget="{day}" transactionType="ExchTrade" exchange="ISLAND" '
    'quantity="{quantity}" tradePrice="{price}" tradeMoney="{money}" proceeds="{proceeds}" taxes="0" '
    'ibCommission="-1.05" ibCommissionCurrency="USD" netCash="{net}" closePrice="{price}" '
    'openCloseIndicator="{mark}" notes="P" cost="{cost}" fifoPnlRealized="0" mtmPnl="0" buySell="{side}" '
    'levelOfDetail="EXECUTION" />\n'
)
_CASH = (
    '<CashTransaction accountId="{account}" currency="USD" fxRateToBase="{rate}" {issue} '
    'dateTime="{day};202000" settleDate="{day}" reportDate="{day}" exDate="{day}" amount="{amount}" '
    'type="Dividends" tradeID="" code="" transactionID="8{number}" actionID="6{number}" '
    'levelOfDetail="DETAIL" />\n'
)
_POSITION = (
    '<OpenPosition accountId="{account}" currency="USD" fxRateToBase="0.92" {issue} reportDate="{day}" '
    'position="{held}" markPrice="{price}" positionValue="{value}" openPrice="{price}" '
    'costBasisPrice="{price}" costBasisMoney="{value}" fifoPnlUnrealized="0" side="Long" '
    'levelOfDetail="SUMMARY" />\n'
)


def write(path: Path, rows: int = ROWS, seed: int = 1) -> None:
    """Write a statement per account, together with so many rows of trades and cash."""
    drawn = Random(seed)  # noqa: S311  # the same statement every time
    last = FIRST + timedelta(days=DAYS - 1)
    with path.open("w") as file:
        file.write('<FlexQueryResponse queryName="Bench" type="AF"><FlexStatements count="2">\n')
        for place, account in enumerate(ACCOUNTS):
            file.write(
                f'<FlexStatement accountId="{account}" fromDate="{FIRST:%Y%m%d}" toDate="{last:%Y%m%d}" '
                f'period="" whenGenerated="{last:%Y%m%d};230000">\n'
                f'<AccountInformation accountId="{account}" currency="EUR" accountType="Individual" />\n'
            )
            file.writelines(_sections(account, rows // 2, 1_000_000 * (place + 1), drawn))
            file.write("</FlexStatement>\n")
        file.write("</FlexStatements></FlexQueryResponse>\n")


def _sections(account: str, rows: int, first: int, drawn: Random) -> Iterator[str]:
    trades = rows * 4 // 5
    held = [0] * INSTRUMENTS
    yield "<Trades>\n"
    for row in range(trades):
        instrument = row % INSTRUMENTS
        price = Decimal(drawn.randint(100, 10_000)) / 100
        quantity = drawn.randint(1, 100)
        if held[instrument] > quantity and drawn.random() < 0.45:
            quantity = -quantity
        held[instrument] += quantity
        money = price * quantity
        yield _TRADE.format(
            account=account, rate="0.92", issue=_issue(instrument), number=first + row,
            day=_day(row, trades), time=f"{10 + row % 10}{row % 60:02}{row * 7 % 60:02}", quantity=quantity,
            price=price, money=money, proceeds=-money, net=-money - Decimal("1.05"),
            mark="O" if quantity > 0 else "C", cost=money + Decimal("1.05"),
            side="BUY" if quantity > 0 else "SELL",
        )  # fmt: skip
    yield "</Trades>\n<CashTransactions>\n"
    for row in range(rows - trades):
        yield _CASH.format(
            account=account, rate="0.92", issue=_issue(row % INSTRUMENTS), number=first + row,
            day=_day(row, rows - trades), amount=Decimal(drawn.randint(1, 100_000)) / 100,
        )  # fmt: skip
    yield "</CashTransactions>\n<OpenPositions>\n"
    for instrument, number in enumerate(held):
        if number:
            yield _POSITION.format(
                account=account, issue=_issue(instrument), day=_day(DAYS - 1, DAYS), held=number, price=50,
                value=50 * number,
            )  # fmt: skip
    yield "</OpenPositions>\n"


def _day(place: int, of: int) -> str:
    return f"{FIRST + timedelta(days=place * DAYS // of):%Y%m%d}"


def _issue(number: int) -> str:
    return _ISSUE.format(n=number, conid=100_000 + number, isin=f"US{number:09}0")


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="stonks-overwatch-bench-") as name:
        folder = Path(name)
        os.environ["STONKS_OVERWATCH_DATA_DIR"] = str(folder / "data")
        os.environ["STONKS_OVERWATCH_CONFIG"] = str(folder / "config.json")
        os.environ["DJANGO_SETTINGS_MODULE"] = "stonks_overwatch.settings"

        import django  # noqa: PLC0415  # after the variables that its settings read

        django.setup()
        from stonks_overwatch import database  # noqa: PLC0415
        from stonks_overwatch.imports import import_file  # noqa: PLC0415

        database.prepare()
        file, copy = folder / "statement.xml", folder / "other.xml"
        write(file, rows)
        shutil.copyfile(file, copy)
        with copy.open("a") as end:
            end.write("\n")
        size = file.stat().st_size / 1_000_000
        for what, path, goal in (
            (f"import of a statement, {size:.0f} MB", file, "5,000 rows/s"),
            ("the same rows in another file", copy, "10,000 rows/s"),
            ("the same file", file, "10,000 rows/s"),
        ):
            started, used = time.perf_counter(), time.process_time()
            result = import_file(path)
            clock, processor = time.perf_counter() - started, time.process_time() - used
            sys.stdout.write(
                f"{what:56} {result.rows / clock:>9,.0f} rows/s   {goal}; by the processor "
                f"{result.rows / processor:,.0f}, {result.new:,} new, {result.known:,} known\n"
            )
            sys.stdout.flush()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(f"{'peak memory of importing statements':56} {peak:>9,.0f} MB       1,000 MB\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROWS)

"""The demo's two accounts: ten years of a saver's life, told day by day.

Each month money comes in and goes into what is furthest below its share of the plan; beside it run a few
habits of somebody who knows the markets: futures, options and bills that are rolled, a fund plan, gold,
coins, a short share, shares bought with borrowed yen. Every step depends on the date and on what was
there the day before, so that the script of tomorrow is that of today and one more day.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from importlib import resources

from stonks_overwatch.errors import DemoError
from stonks_overwatch.services.brokers.ibkr.sandbox import derivatives
from stonks_overwatch.services.brokers.ibkr.sandbox.derivatives import third_friday
from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument, Market
from stonks_overwatch.services.brokers.ibkr.sandbox.world import ZERO, Holder, World, cents

FIRST_DAY = date(2016, 1, 4)
SEED = 20160104
MAIN, SECOND = "U7654321", "U2468013"
_TAX = {
    "US": "0.15", "DE": "0.26375", "FR": "0.25", "CH": "0.35", "NL": "0.15", "ES": "0.19", "IT": "0.26",
    "BE": "0.30", "SE": "0.30", "DK": "0.27", "JP": "0.15315", "CA": "0.25", "AU": "0.15", "TW": "0.21",
}  # fmt: skip
_RATES = {
    "USD": 0.863, "GBP": 1.146, "CHF": 1.068, "JPY": 0.00551, "SEK": 0.0921, "DKK": 0.13389, "HKD": 0.1108,
    "CAD": 0.624, "AUD": 0.571,
}  # fmt: skip
_STEADY = {"DKK": 0.0005}  # kept at its rate by its central bank
_COMPLETE_FROM = date(2025, 3, 3)
_HABITS_BEGIN = date(2021, 6, 1)
_FIRST_BILL, _BILL_DAYS = date(2023, 3, 15), 182
_SAP, _ALLIANZ, _ATT, _SPY = 14204, 11775, 37018770, 756733
_DAX, _RUSSELL = 825711, 1067001  # indices, nobody holds them


@dataclass(frozen=True, slots=True)
class _Share:
    """One line of securities.csv: a share or ETF, and its part in the account's plan."""

    account: str
    instrument: Instrument
    dividend_yield: float
    dividend_months: frozenset[int]
    since: date
    until: date | None
    weight: float  # 0: bought by other rules
    splits: tuple[tuple[date, int], ...]
    price: float
    growth: float
    volatility: float
    beta: float


def demo(today: date) -> World:
    """DemoError for a day before everything in it has begun."""
    if today < _COMPLETE_FROM:
        raise DemoError(
            f"The demo is told from {_COMPLETE_FROM} on, not on {today}.", next_step="Give it a later day."
        )
    return _Story(today).tell()


class _Story:
    """The state of the telling: the world so far and what is rolled next."""

    def __init__(self, today: date) -> None:
        self.market = Market(today, FIRST_DAY, SEED)
        for currency, level in _RATES.items():
            self.market.add_rate(currency, level, _STEADY.get(currency, 0.055))
        self.shares = list(_read_shares())
        for share in self.shares:
            curve = self.market.trend(
                share.instrument.symbol, share.price, share.growth, share.volatility, beta=share.beta
            )
            self.market.add(share.instrument, curve, splits=share.splits, has_float_noise=True)
        self._add_others()
        self.world = World(
            self.market,
            [
                Holder(MAIN, "EUR", "Ada Example", None, date(2016, 1, 4)),
                Holder(SECOND, "USD", "Ada Example", "Long term", date(2017, 2, 1), "IBLLC-US"),
            ],
        )
        self.rolled: dict[str, Instrument] = {}
        self.ex_dates: dict[date, list[_Share]] = {}

    def tell(self) -> World:
        month = 0
        for day in self.market.days[:-1]:
            self.world.pay_due(day)
            for share in self.shares:
                for on, ratio in share.splits:
                    if on == day:
                        self.world.split(share.instrument.conid, ratio, day)
            if day.month != month:
                month = day.month
                self.ex_dates = self._dividends_of_month(day)
                self._month(day)
            self._dividends(day)
            self._events(day)
            self._roll(day)
            self.world.settle(day)
            self._interest(day)
        self.world.pay_due(self.market.today)
        return self.world

    # What exists beside shares

    def _add_others(self) -> None:
        market = self.market
        dax = Instrument(_DAX, "DAX", "DAX 40 INDEX", "IND", "EUR", "EUREX", "DE")
        market.add(dax, market.trend("DAX", 24300, 0.08, 0.02, beta=1.1, reversion=1.0))
        russell = Instrument(_RUSSELL, "RUT", "RUSSELL 2000 INDEX", "IND", "USD", "RUSSELL", "US")
        market.add(russell, market.trend("RUT", 2510, 0.06, 0.05, beta=1.2, reversion=1.0))
        market.add(_EUR_USD, lambda i: float(1 / market.rate("USD", market.days[i])), decimals=5)
        market.add(_FUND, market.trend("FUND", 187.4, 0.08, 0.03))
        market.add(_BUND, market.trend("BUND", 95.6, 0.0, 0.045, beta=-0.05, reversion=1.2), decimals=3)
        market.add(_BOND, market.trend("BOND", 99.1, 0.0, 0.05, beta=0.1, reversion=1.2), decimals=3)
        market.add(_TURBO, market.trend("TURBO", 9.4, 0.04, 0.45, beta=2.2, reversion=1.5))
        market.add(_BITCOIN, market.trend("BTC", 97000, 0.38, 0.55, beta=1.2), has_float_noise=True)
        market.add(_ETHER, market.trend("ETH", 3350, 0.42, 0.65, beta=1.4), has_float_noise=True)
        market.add(_GOLD, market.trend("XAU", 4080, 0.10, 0.13, beta=-0.1))
        market.add(_SAP_CFD, market.curve(_SAP))

    # Once a month

    def _month(self, day: date) -> None:
        if day == self.market.days[0]:
            self._deposit(MAIN, "EUR", 28_000, day)
        self._deposit(MAIN, "EUR", 900 if day.year < 2021 else 1200, day)
        self._fee(MAIN, "EUR", "-3.00", f"R******21:XETRA LEVEL 1 FOR {day:%b %Y}", day)
        if day.year >= 2018:
            self._fund_plan(day)
        if self.world.held(MAIN, _SAP_CFD.conid):
            self._fee(MAIN, "EUR", "-14.20", "CFD FINANCING SAP SE", day)
        self._sweep(MAIN, "EUR", day)
        self._invest(MAIN, "EUR", Decimal(2500), day)
        if day >= date(2017, 2, 1):
            self._deposit(SECOND, "USD", 22_000 if day < date(2017, 3, 1) else 500, day)
            self._fee(SECOND, "USD", "-4.50", f"R******13:NYSE LEVEL 1 FOR {day:%b %Y}", day)
            self._sweep(SECOND, "USD", day)
            self._invest(SECOND, "USD", Decimal(6000), day)
        if day.month == 11:
            self._trim(day)

    def _fee(self, account: str, currency: str, amount: str, text: str, day: date) -> None:
        self.world.move_cash(account, "fee", currency, Decimal(amount), day, text.upper())

    def _deposit(self, account: str, currency: str, amount: int, day: date) -> None:
        self.world.move_cash(
            account, "deposit", currency, Decimal(amount), day, "CASH RECEIPTS / ELECTRONIC FUND TRANSFERS"
        )

    def _fund_plan(self, day: date) -> None:
        quantity = (Decimal(150) / self.market.close(_FUND.conid, day)).quantize(Decimal("0.001"), ROUND_DOWN)
        self.world.buy(MAIN, _FUND.conid, quantity, on=day, commission=ZERO)

    def _sweep(self, account: str, base: str, day: date) -> None:
        """Bring home what dividends and sales have left in other currencies."""
        for currency, amount in list(self.world.cash[account].items()):
            if currency != base and amount * self.market.cross(currency, base, day) > 1500:
                self._exchange(account, currency, amount * Decimal("0.9"), base, day)

    def _exchange(self, account: str, currency: str, amount: Decimal, into: str, day: date) -> None:
        pair = _EUR_USD.conid if account == MAIN and {currency, into} == {"EUR", "USD"} else None
        self.world.exchange(account, currency, amount, into, day, pair)

    def _invest(self, account: str, base: str, reserve: Decimal, day: date) -> None:
        """Spend the month's money on the two shares furthest below their part of the plan."""
        plan = [s for s in self.shares if s.account == account and s.weight and s.since <= day]
        plan = [s for s in plan if s.until is None or day < s.until - timedelta(days=180)]
        budget = self.world.cash[account][base] - reserve
        if not plan or budget < 400:
            return
        values = {s.instrument.conid: self._value(account, s, base, day) for s in plan}
        total = float(sum(values.values(), ZERO) + budget)
        weights = sum(s.weight for s in plan)
        plan.sort(key=lambda s: s.weight / weights - float(values[s.instrument.conid]) / total, reverse=True)
        picks = plan[:2] if len(plan) > 1 and budget < 5000 else plan[:6]
        for share in picks:
            self._buy_for(account, share.instrument, budget / len(picks), base, day)

    def _value(self, account: str, share: _Share, base: str, day: date) -> Decimal:
        conid = share.instrument.conid
        price = self.market.close(conid, day) * self.market.cross(share.instrument.currency, base, day)
        return self.world.held(account, conid) * price

    def _buy_for(self, account: str, instrument: Instrument, budget: Decimal, base: str, day: date) -> None:
        price = self.market.close(instrument.conid, day)
        # IBKR sells parts of American shares; elsewhere whole ones.
        step = (
            Decimal("0.125") if instrument.currency == "USD" and instrument.kind == "COMMON" else Decimal(1)
        )
        if instrument.exchange == "SEHK":
            step = Decimal(10)
        amount = budget * self.market.cross(base, instrument.currency, day)
        quantity = amount / price // step * step
        if quantity:
            self._buy(account, instrument, quantity, day)

    def _trim(self, day: date) -> None:
        """Take a fifth off what has grown to more than twice its part of the plan."""
        for account, base in ((MAIN, "EUR"), (SECOND, "USD")):
            plan = [s for s in self.shares if s.account == account and s.weight and s.until is None]
            values = {s.instrument.conid: self._value(account, s, base, day) for s in plan}
            total, weights = sum(values.values(), ZERO), sum(s.weight for s in plan)
            for share in plan:
                conid = share.instrument.conid
                if float(values[conid]) > 2.2 * share.weight / weights * float(total) > 0:
                    quantity = self.world.held(account, conid) * Decimal("0.2") // 1
                    if quantity:
                        self.world.sell(account, conid, quantity, on=day)

    # Once a day

    def _dividends(self, day: date) -> None:
        for share in self.ex_dates.get(day, ()):
            conid = share.instrument.conid
            if not self.world.held(share.account, conid):
                continue
            price = self.market.close(conid, day)
            per_share = price * Decimal(str(share.dividend_yield)) / len(share.dividend_months)
            rate = Decimal(_TAX.get(share.instrument.country, "0"))
            paid_on = _business_day(day + timedelta(days=18 + conid % 9))
            self.world.dividend(
                share.account, conid, per_share.quantize(Decimal("0.0001")), rate, day, paid_on
            )

    def _dividends_of_month(self, day: date) -> dict[date, list[_Share]]:
        """The ex-dates of the month that begins with `day`: each share's own day of the month."""
        shares: dict[date, list[_Share]] = defaultdict(list)
        for share in self.shares:
            if day.month in share.dividend_months:
                shares[_business_day(day.replace(day=5 + share.instrument.conid % 17))].append(share)
        return shares

    def _interest(self, day: date) -> None:
        """What the broker pays on larger balances since rates rose, and takes for borrowed money."""
        nights = (self.market.days[self.market.index(day) + 1] - day).days
        first_of_next = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        paid_on = _after(_after(_business_day(first_of_next)))
        for account in self.world.holders:
            for currency, amount in self.world.cash[account].items():
                if amount < 0:
                    yearly = amount * (Decimal("0.023") if currency == "JPY" else Decimal("0.048"))
                elif currency in ("EUR", "USD") and day >= date(2022, 10, 3):
                    yearly = max(ZERO, amount - 1000) * Decimal("0.021")
                else:
                    continue
                interest = cents(yearly * nights / 365)
                if interest:
                    text = f"{currency} {'CREDIT' if amount > 0 else 'DEBIT'} INT FOR {day:%b-%Y}".upper()
                    self.world.accrue_interest(account, currency, interest, day, paid_on, text)

    def _events(self, day: date) -> None:
        """What happened once, and coupons."""
        for on, account, conid, quantity in _TRADES:
            if on == day and quantity > 0:
                self._buy(account, self._instrument(conid), quantity, day)
            elif on == day:
                self.world.sell(account, conid, -quantity, on=day)
        for share in self.shares:
            if share.until == day:
                held = self.world.held(share.account, share.instrument.conid)
                self.world.sell(share.account, share.instrument.conid, held, on=day)
        for on, account, currency, amount in _WITHDRAWALS:
            if on == day:
                self.world.move_cash(
                    account, "withdrawal", currency, -amount, day, "DISBURSEMENT BY Ada Example"
                )
        for account, bond, month, coupon in _COUPONS:
            face = self.world.held(account, bond.conid)
            if face and day == _business_day(date(day.year, month, 15)):
                text = f"BOND COUPON PAYMENT ({bond.description})"
                self.world.move_cash(account, "interest", bond.currency, face * coupon, day, text)

    # What expires and is bought or sold again

    def _roll(self, day: date) -> None:
        quarter = third_friday(day.year, (day.month + 2) // 3 * 3)
        is_rolling = day == quarter - timedelta(days=2) and day > _HABITS_BEGIN
        if is_rolling or day == _HABITS_BEGIN:
            later = (quarter.year, quarter.month + 3) if quarter.month < 12 else (quarter.year + 1, 3)
            self._roll_quarter(third_friday(*later) if is_rolling else quarter, day)
        is_first_of_month = day == _business_day(day.replace(day=1))
        if is_first_of_month and day.month == 12 and day.year >= 2019:
            put = derivatives.option(
                self.market, self._instrument(_SPY), 0.88, "P", third_friday(day.year + 1, 12), day
            )
            self._replace("put", SECOND, Decimal(1), put, day)
        if is_first_of_month and day.month == 7 and day.year >= 2022:
            expiry = third_friday(day.year + 1, 12)
            warrant = derivatives.warrant(self.market, self._instrument(_ALLIANZ), expiry, day)
            self._replace("warrant", MAIN, Decimal(400), warrant, day)
        number, rest = divmod((day - _FIRST_BILL).days, _BILL_DAYS)
        if rest == 0 and number >= 0:
            bill = derivatives.bill(self.market, number, day + timedelta(days=_BILL_DAYS))
            self._replace("bill", SECOND, Decimal(10_000), bill, day)

    def _roll_quarter(self, expiry: date, day: date) -> None:
        market, make = self.market, derivatives.future
        dax = make(market, self._instrument(_DAX), "FDXS", "MICRO-DAX", 1, expiry)
        # SPY is a tenth of its index, less what it costs.
        mini = make(market, self._instrument(_SPY), "MES", "MICRO E-MINI S&P 500", 5, expiry, scale=10.03)
        small = make(market, self._instrument(_RUSSELL), "M2K", "MICRO E-MINI RUSSELL 2000", 5, expiry)
        call = derivatives.option(market, self._instrument(_ATT), 1.07, "C", expiry, day)
        for habit, account, quantity, new in (
            ("dax", MAIN, 1, dax),
            ("mini", SECOND, 1, mini),
            ("small", SECOND, 1, small),
            ("covered call", MAIN, -2, call),
            ("call on future", SECOND, 1, derivatives.call_on_future(market, mini, 1.04, expiry, day)),
            ("cfd", MAIN, 25, _SAP_CFD),
        ):
            self._replace(habit, account, Decimal(quantity), new, day)

    def _instrument(self, conid: int) -> Instrument:
        return self.market.instruments[conid]

    def _replace(self, habit: str, account: str, quantity: Decimal, new: Instrument, day: date) -> None:
        """Close what the habit holds and open the next; a bill is redeemed at its face."""
        old = self.rolled.get(habit)
        if old is not None:
            held = self.world.held(account, old.conid)
            trade = self.world.sell if held > 0 else self.world.buy
            if old.asset_class == "BILL":
                trade(account, old.conid, abs(held), Decimal(100), day, commission=ZERO)
            else:
                trade(account, old.conid, abs(held), on=day)
        if quantity < 0:
            self.world.sell(account, new.conid, -quantity, on=day)
        else:
            self._buy(account, new, quantity, day)
        self.rolled[habit] = new

    def _buy(self, account: str, instrument: Instrument, quantity: Decimal, day: date) -> None:
        """Buy at that day's close, with money changed for it if there is not enough."""
        # Shares of Japan are bought with borrowed yen; what is margined needs no money.
        if instrument.currency != "JPY" and not instrument.is_margined:
            cost = quantity * self.market.close(instrument.conid, day) * instrument.units + 40
            missing = cost - self.world.cash[account][instrument.currency]
            base = self.world.holders[account].currency
            if instrument.currency != base and missing > 0:
                amount = missing * self.market.cross(instrument.currency, base, day)
                self._exchange(account, base, amount, instrument.currency, day)
        self.world.buy(account, instrument.conid, quantity, on=day)


def _after(day: date) -> date:
    """The next business day."""
    return _business_day(day + timedelta(days=1))


def _business_day(day: date) -> date:
    """That day, or the business day after it."""
    return day + timedelta(days={5: 2, 6: 1}.get(day.weekday(), 0))


_EUR_USD = Instrument(
    12087792, "EUR", "European Monetary Union Euro", "CASH", "USD", "IDEALPRO", "EU", description="EUR.USD"
)
_FUND = Instrument(
    356427101, "ALPGLA", "ALPENBLICK GLOBAL EQUITY FUND A EUR ACC", "FUND", "EUR", "FUNDSERV", "LU"
)
_BUND = Instrument(
    356427150, "BUND", "BUNDESREPUB. DEUTSCHLAND", "BOND", "EUR", "SMART", "DE",
    description="DBR 2 1/2 08/15/46", multiplier=Decimal(1), units=Decimal("0.01"),
    expires_on=date(2046, 8, 15),
)  # fmt: skip
_BOND = Instrument(
    356427188, "RHGL", "RHEINGOLD LOGISTIK FINANCE BV", "BOND", "USD", "SMART", "NL",
    description="RHGL 4 1/4 06/15/41", multiplier=Decimal(1), units=Decimal("0.01"),
    expires_on=date(2041, 6, 15),
)  # fmt: skip
_TURBO = Instrument(
    356427233, "VM4K7T", "OPEN END TURBO LONG ON ASML HOLDING NV", "IOPT", "EUR", "SWB", "DE",
    description="VM4K7T OPEN END TURBO LONG ASML HOLDING NV STRIKE 412.3548 KNOCK-OUT 433.50",
    multiplier=Decimal("0.01"),
)  # fmt: skip
_BITCOIN = Instrument(
    479624278, "BTC", "Bitcoin cryptocurrency", "CRYPTO", "USD", "PAXOS", "US", description="BTC CRYPTO"
)
_ETHER = Instrument(
    495759171, "ETH", "Ethereum cryptocurrency", "CRYPTO", "USD", "PAXOS", "US", description="ETH CRYPTO"
)
_GOLD = Instrument(69067924, "XAUUSD", "London Gold", "CMDTY", "USD", "IBCMDTY", "GB")
_SAP_CFD = Instrument(
    110616397, "SAP", "SAP SE", "CFD", "EUR", "IBCFD", "DE",
    multiplier=Decimal(1), underlying=_SAP, underlying_symbol="SAP",
)  # fmt: skip

_TRADES = tuple(
    (date.fromisoformat(on), account, conid, Decimal(quantity))
    for on, account, conid, quantity in (
        ("2019-06-03", SECOND, _GOLD.conid, "2"),
        ("2020-02-05", MAIN, _ATT, "200"),
        ("2020-11-16", SECOND, _BITCOIN.conid, "0.0525"),
        ("2021-01-20", SECOND, _ETHER.conid, "1.35"),
        ("2021-09-06", MAIN, 38708077, "200"),
        ("2022-05-11", MAIN, 356426012, "100"),
        ("2022-07-05", SECOND, _BITCOIN.conid, "0.035"),
        ("2022-11-08", MAIN, _BUND.conid, "12000"),
        ("2023-06-20", SECOND, _BOND.conid, "8000"),
        ("2023-10-09", SECOND, _GOLD.conid, "1"),
        ("2024-02-01", MAIN, _TURBO.conid, "250"),
        ("2024-03-12", SECOND, _BITCOIN.conid, "-0.02"),
        ("2025-02-03", SECOND, 356426077, "-60"),
    )
)
_WITHDRAWALS = tuple(
    (date.fromisoformat(on), account, currency, Decimal(amount))
    for on, account, currency, amount in (
        ("2019-07-08", MAIN, "EUR", 2000),
        ("2023-05-09", SECOND, "USD", 4000),
        ("2025-06-10", MAIN, "EUR", 1500),
    )
)
_COUPONS = ((MAIN, _BUND, 8, Decimal("0.025")), (SECOND, _BOND, 6, Decimal("0.0425")))


def _read_shares() -> Iterator[_Share]:
    text = resources.files(__package__ or "").joinpath("securities.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        instrument = Instrument(
            int(row["conid"]), row["symbol"], row["name"], "STK", row["currency"], row["exchange"],
            row["country"], row["kind"], row["sector"] or None, row["group"] or None,
            row["sector_group"] or None, chinese_name=row["chinese_name"] or None,
        )  # fmt: skip
        splits = [split.split(":") for split in row["splits"].split()]
        yield _Share(
            account=row["account"],
            instrument=instrument,
            dividend_yield=float(row["dividend_yield"]),
            dividend_months=frozenset(int(month) for month in row["dividend_months"].split()),
            since=date.fromisoformat(row["since"]),
            until=date.fromisoformat(row["until"]) if row["until"] else None,
            weight=float(row["weight"]),
            splits=tuple((date.fromisoformat(on), int(ratio)) for on, ratio in splits),
            price=float(row["price"]),
            growth=float(row["growth"]),
            volatility=float(row["volatility"]),
            beta=float(row["beta"]),
        )

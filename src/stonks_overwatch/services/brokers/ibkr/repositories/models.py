"""The IBKR tables: what IBKR said, the raw answer beside it, and when it may be asked again.

Nothing is cut: texts have no length, numbers keep every digit, a conid is a big integer. Text that IBKR
left out is ""; a number it left out is null. Rows of what is no longer held stay.
"""

from django.db import models

from stonks_overwatch.ledger.fields import ExactDecimalField


class IbkrAnswer(models.Model):
    """One answer as it came: the exact bytes, compressed with zlib.

    An answer equal to the one before it (same login, endpoint and request) is not stored again: then only
    `last_seen_at` moves. `endpoint` is method and path, `request` its parameters as sorted JSON.
    """

    login = models.TextField()
    endpoint = models.TextField()
    account = models.TextField(default="")
    request = models.TextField()
    content = models.BinaryField()
    digest = models.TextField()  # SHA-256 of the bytes before compression
    fetched_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["login", "endpoint", "fetched_at"])]


class IbkrAccount(models.Model):
    """One account of a login with the figures of its summary, in the account's currency.

    Names of people are not here: they are only in the raw answer.
    """

    login = models.TextField()
    account = models.TextField()
    alias = models.TextField(default="")
    currency = models.TextField(default="")
    type = models.TextField(default="")
    trading_type = models.TextField(default="")
    business_type = models.TextField(default="")
    ib_entity = models.TextField(default="")
    clearing_status = models.TextField(default="")
    parent = models.TextField(default="")
    opened_at = models.DateTimeField(null=True)
    net_liquidation = ExactDecimalField(null=True)
    total_cash_value = ExactDecimalField(null=True)
    accrued_cash = ExactDecimalField(null=True)
    accrued_dividend = ExactDecimalField(null=True)
    gross_position_value = ExactDecimalField(null=True)
    fetched_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["login", "account"], name="ibkr_account_once")]


class IbkrPosition(models.Model):
    """One position as last reported, both endpoints merged: `/portfolio2` for the figures, where it answered.

    A position that a complete answer no longer names keeps its last row, with `gone_at`; a row of quantity 0
    is what IBKR itself shows after a close.
    """

    account = models.TextField()
    conid = models.BigIntegerField()
    model = models.TextField(default="")
    contract_desc = models.TextField(default="")
    ticker = models.TextField(default="")
    name = models.TextField(default="")
    asset_class = models.TextField(default="")
    type = models.TextField(default="")
    currency = models.TextField(default="")
    listing_exchange = models.TextField(default="")
    country_code = models.TextField(default="")
    sector = models.TextField(default="")
    group = models.TextField(default="")
    expiry = models.TextField(default="")
    put_or_call = models.TextField(default="")
    strike = ExactDecimalField(null=True)
    multiplier = ExactDecimalField(null=True)
    underlying_conid = models.BigIntegerField(null=True)
    quantity = ExactDecimalField(null=True)
    average_cost = ExactDecimalField(null=True)  # per contract: the multiplier is in it
    average_price = ExactDecimalField(null=True)
    market_price = ExactDecimalField(null=True)
    market_value = ExactDecimalField(null=True)
    realized_pnl = ExactDecimalField(null=True)  # since the last daily reset
    unrealized_pnl = ExactDecimalField(null=True)
    fetched_at = models.DateTimeField()
    changed_at = models.DateTimeField()  # when the quantity was last seen to differ, or the row to go
    gone_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "conid", "model"], name="ibkr_position_once")
        ]


class IbkrLedger(models.Model):
    """Cash and values of one currency of an account as last reported; `currency` is "BASE" for the total."""

    account = models.TextField()
    currency = models.TextField()
    cash_balance = ExactDecimalField(null=True)
    settled_cash = ExactDecimalField(null=True)
    exchange_rate = ExactDecimalField(null=True)  # value of one unit in the account's currency
    net_liquidation_value = ExactDecimalField(null=True)
    interest = ExactDecimalField(null=True)  # accrued amount, not a rate
    dividends = ExactDecimalField(null=True)
    futures_only_pnl = ExactDecimalField(null=True)
    realized_pnl = ExactDecimalField(null=True)
    unrealized_pnl = ExactDecimalField(null=True)
    fetched_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "currency"], name="ibkr_ledger_once")]


class IbkrContract(models.Model):
    """One contract as `/trsrv/secdef` defines it; `answer` is the raw answer that told."""

    conid = models.BigIntegerField(primary_key=True)
    ticker = models.TextField(default="")
    name = models.TextField(default="")
    full_name = models.TextField(default="")
    asset_class = models.TextField(default="")
    type = models.TextField(default="")
    currency = models.TextField(default="")
    listing_exchange = models.TextField(default="")
    country_code = models.TextField(default="")
    sector = models.TextField(default="")
    sector_group = models.TextField(default="")
    group = models.TextField(default="")
    expiry = models.TextField(default="")
    last_trading_day = models.TextField(default="")
    put_or_call = models.TextField(default="")
    strike = ExactDecimalField(null=True)
    multiplier = ExactDecimalField(null=True)
    underlying_conid = models.BigIntegerField(null=True)
    underlying_symbol = models.TextField(default="")
    fetched_at = models.DateTimeField()
    answer = models.ForeignKey(IbkrAnswer, on_delete=models.PROTECT)


class IbkrTransaction(models.Model):
    """One row of `/pa/transactions`.

    IBKR gives it no number: it is known by all its figures (`key`) and by which of the equal rows of one
    answer it is (`occurrence`, from 1), so that two identical fills are two rows however often they are read.
    """

    account = models.TextField()
    conid = models.BigIntegerField()
    key = models.TextField()
    occurrence = models.IntegerField()
    date = models.TextField()  # yyyymmdd where IBKR says so, else its own text
    type = models.TextField(default="")
    description = models.TextField(default="")
    currency = models.TextField(default="")
    quantity = ExactDecimalField(null=True)
    price = ExactDecimalField(null=True)
    amount = ExactDecimalField(null=True)  # cash effect: a purchase is negative
    fx_rate = ExactDecimalField(null=True)
    fx_currency = models.TextField(default="")  # what `fx_rate` converts to
    fetched_at = models.DateTimeField()  # when it was first told

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "conid", "key", "occurrence"], name="ibkr_transaction_once"
            )
        ]


class IbkrQuestion(models.Model):
    """When PortfolioAnalyst was last asked about one thing, answered or not: what has waited longest is next.

    `subject` is the account for "pa/performance" and the conid for "pa/transactions". For "flex failed" it is
    the error that the last question ended in, as JSON, and `login` the key of the token's pace.
    """

    login = models.TextField()
    endpoint = models.TextField()
    subject = models.TextField()
    asked_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["login", "endpoint", "subject"], name="ibkr_question_once")
        ]


class IbkrPerformance(models.Model):
    """The net asset value of one account at the end of one day, as `/pa/performance` last told it."""

    account = models.TextField()
    date = models.TextField()  # yyyymmdd
    nav = ExactDecimalField()
    currency = models.TextField(default="")
    fetched_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "date"], name="ibkr_performance_once")]


class IbkrCall(models.Model):
    """When a call with a slow limit may be counted as made: now, or the moment reserved for a waiting one.

    `pace_key` stands for consumer key and server address (a hash, see pace.py).
    """

    pace_key = models.TextField()
    endpoint = models.TextField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pace_key", "endpoint"], name="ibkr_call_once")]


class IbkrPenalty(models.Model):
    """Until when nothing is sent, because IBKR answered 429; `strikes` counts the times in a row."""

    pace_key = models.TextField(unique=True)
    blocked_until = models.DateTimeField()
    strikes = models.IntegerField()

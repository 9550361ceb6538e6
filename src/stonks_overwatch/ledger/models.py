"""The ledger's tables: what the user owns and did, for any broker. Written only by store.py and imported/.

Foreign keys of the largest tables have no index of their own where a unique one begins with them.
"""

from django.db import models
from django.db.models.functions import Coalesce

from stonks_overwatch.ledger.fields import ExactDecimalField


class Account(models.Model):
    """One account at one broker, with the broker's own figures of it (the `reported_` columns)."""

    broker = models.TextField()
    account = models.TextField()
    login = models.TextField(default="")
    alias = models.TextField(default="")
    kind = models.TextField(default="")
    currency = models.TextField()
    opened_on = models.DateField(null=True)
    told = models.TextField(default="", db_default="")  # JSON: when each of these was told, and what
    updated_at = models.DateTimeField()
    reported_nav = ExactDecimalField(null=True)
    reported_cash = ExactDecimalField(null=True)
    reported_accrued_interest = ExactDecimalField(null=True)
    reported_accrued_dividends = ExactDecimalField(null=True)
    reported_as_of = models.DateTimeField(null=True)
    # Margin, and when it was told: not every source of the figures above tells it.
    reported_initial_margin = ExactDecimalField(null=True)
    reported_maintenance_margin = ExactDecimalField(null=True)
    reported_excess_liquidity = ExactDecimalField(null=True)
    reported_available_funds = ExactDecimalField(null=True)
    reported_buying_power = ExactDecimalField(null=True)
    reported_cushion = ExactDecimalField(null=True)
    reported_margin_at = models.DateTimeField(null=True)
    # The earliest complete list and the latest one. What a list did not name was 0 at that moment.
    positions_since = models.DateTimeField(null=True)
    positions_at = models.DateTimeField(null=True)
    cash_since = models.DateTimeField(null=True)
    cash_at = models.DateTimeField(null=True)
    # How sales find what they close (lots.Method): the user's choice, kept when the ledger is made again.
    lot_method = models.TextField(default="fifo")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["broker", "account"], name="account_once")]


class LotChoice(models.Model):
    """Which lot a sale closes, as the user chose; without foreign keys, so that it outlives a rebuild.

    `closing` and `opening` are activities' keys. Counts where the account's method is "specific".
    """

    broker = models.TextField()
    account = models.TextField()
    closing = models.TextField()
    opening = models.TextField()
    quantity = ExactDecimalField()  # positive

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["broker", "account", "closing", "opening"], name="choice_once")
        ]


class Instrument(models.Model):
    """What can be held, once per broker reference."""

    broker = models.TextField()
    broker_ref = models.TextField()
    symbol = models.TextField()
    name = models.TextField()
    asset_class = models.TextField()
    currency = models.TextField()
    multiplier = ExactDecimalField()
    quote_factor = ExactDecimalField()
    isin = models.TextField(null=True)  # noqa: DJ001  # unknown is null, not ""
    exchange = models.TextField(null=True)  # noqa: DJ001
    mic = models.TextField(null=True)  # noqa: DJ001
    market = models.TextField(null=True)  # noqa: DJ001
    market_country = models.TextField(null=True)  # noqa: DJ001
    country = models.TextField(null=True)  # noqa: DJ001
    sector = models.TextField(null=True)  # noqa: DJ001
    industry = models.TextField(null=True)  # noqa: DJ001
    expires_on = models.DateField(null=True)
    strike = ExactDecimalField(null=True)
    right = models.TextField(null=True)  # noqa: DJ001
    underlying_ref = models.TextField(null=True)  # noqa: DJ001
    underlying_symbol = models.TextField(null=True)  # noqa: DJ001
    description = models.TextField(default="")
    precedence = models.BigIntegerField(
        default=0, db_default=0
    )  # of two descriptions the greater one's counts

    class Meta:
        constraints = [models.UniqueConstraint(fields=["broker", "broker_ref"], name="instrument_once")]


class PositionQuerySet(models.QuerySet["Position"]):
    def open(self) -> "PositionQuerySet":
        return self.filter(is_open=True)


class Position(models.Model):
    """The latest known state of one instrument in one account; a closed one stays, with quantity 0.

    The `anchor_` columns keep what the account's earliest complete report said (0 when it did not name the
    instrument; null before there was one): opening balances are computed back from it (opening.py), and
    everything after it must be explained by activities.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    quantity = ExactDecimalField()
    is_open = models.BooleanField()
    price = ExactDecimalField(null=True)
    market_value = ExactDecimalField(null=True)
    exposure = ExactDecimalField(null=True)
    average_cost = ExactDecimalField(null=True)
    cost_basis = ExactDecimalField(null=True)
    unrealized_pnl = ExactDecimalField(null=True)
    priced_at = models.DateTimeField()
    changed_at = models.DateTimeField()  # when the quantity was last seen to differ ...
    changed_after = models.DateTimeField(null=True)  # ... and the last report before that
    closed_at = models.DateTimeField(null=True)
    anchor_quantity = ExactDecimalField(null=True)
    anchor_cost = ExactDecimalField(null=True)
    anchor_at = models.DateTimeField(null=True)
    covered_since = models.DateField(null=True)  # the Coverage around the anchor, else the latest: from ...
    covered_until = models.DateField(null=True)  # ... to

    objects = PositionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "instrument"], name="position_once")]
        indexes = [models.Index(fields=["is_open", "account"])]


class CashBalance(models.Model):
    """The latest cash of one currency in one account; `anchor_` as for positions."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    currency = models.TextField()
    amount = ExactDecimalField()
    settled = ExactDecimalField(null=True)
    accrued_interest = ExactDecimalField(null=True)
    accrued_dividends = ExactDecimalField(null=True)
    futures_pnl = ExactDecimalField(null=True)
    reported_nav = ExactDecimalField(null=True)
    updated_at = models.DateTimeField()
    anchor_amount = ExactDecimalField(null=True)
    anchor_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "currency"], name="cash_once")]


class StateReport(models.Model):
    """A moment of which an account's positions, or its cash, were told in full (`topic`).

    Reports come in any order: the earliest is the anchor and the latest what is held. Of two of one moment
    the one of the greater `rank` counts.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    topic = models.TextField()  # "positions" or "cash"
    at = models.DateTimeField()
    rank = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "topic", "at"], name="state_report_once")]


class QuantityChange(models.Model):
    """The report of this moment told another quantity than the one before it; before the first it was 0."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE)
    at = models.DateTimeField()
    quantity = ExactDecimalField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "instrument", "at"], name="quantity_change_once")
        ]


class Coverage(models.Model):
    """The activities of one instrument in one account are completely known from `since` to `until`.

    Rows of one instrument neither overlap nor touch: they are the union of all that was covered.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE)
    since = models.DateField()
    until = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "instrument", "since"], name="coverage_once")
        ]


class ActivityQuerySet(models.QuerySet["Activity"]):
    def current(self) -> "ActivityQuerySet":
        """What counts: without the rows that a later answer replaced."""
        return self.filter(superseded_by=None)

    def reported(self) -> "ActivityQuerySet":
        """What counts and was told by an answer or a file, not worked out by the ledger."""
        return self.current().filter(is_derived=False)


class Activity(models.Model):
    """Anything that changed an account. A superseded row stays for the trail and counts nowhere; one that
    supersedes itself is told by a lesser source alone, of a day that a better one tells in full.

    `is_derived` marks what no answer told and the ledger worked out: opening balances, and changes of
    a position that no reported activity explains yet. They are made anew by each run.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, null=True, db_index=False)
    key = models.TextField()
    kind = models.TextField()
    trade_date = models.DateField()
    trade_at = models.DateTimeField(null=True)
    settlement_date = models.DateField(null=True)
    quantity = ExactDecimalField(null=True)
    price = ExactDecimalField(null=True)
    currency = models.TextField()
    gross = ExactDecimalField(null=True)
    fee = ExactDecimalField(null=True)
    tax = ExactDecimalField(null=True)
    fx_rate = ExactDecimalField(null=True)
    description = models.TextField(default="")
    subtype = models.TextField(default="")
    group = models.TextField(null=True)  # noqa: DJ001
    booked_on = models.DateField(null=True)
    ex_date = models.DateField(null=True)
    acquired_on = models.DateField(null=True)
    value = ExactDecimalField(null=True)
    cost = ExactDecimalField(null=True)
    realized_pnl = ExactDecimalField(null=True)
    refs = models.TextField(default="")  # separated by blanks
    reverses = models.TextField(null=True)  # noqa: DJ001
    ratio = ExactDecimalField(null=True)
    is_derived = models.BooleanField(default=False)
    # Where sources differ, as JSON: [{"field", "values": [[source, value], ...]}], what counts first.
    conflicts = models.TextField(db_default="")
    superseded_by = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, db_index=False)
    recorded_at = models.DateTimeField()

    objects = ActivityQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="activity_once")]
        indexes = [
            models.Index(fields=["instrument", "account"], name="activity_of_instrument"),
            models.Index("account", Coalesce("booked_on", "trade_date"), name="activity_counts_on"),
            models.Index(fields=["account", "trade_date"], name="activity_of_day"),
            # Most rows are superseded by none: an index that holds them too would be taken for a narrow one.
            models.Index(
                fields=["superseded_by"], condition=models.Q(superseded_by__isnull=False), name="superseded"
            ),
            models.Index(
                fields=["account", "kind"], condition=models.Q(superseded_by=None), name="activity_of_kind"
            ),
            # What counts in the order of days, with all that a list is filtered and sorted by: rows are wide.
            models.Index(
                fields=[
                    "trade_date",
                    "trade_at",
                    "id",
                    "account",
                    "kind",
                    "instrument",
                    "is_derived",
                    "quantity",
                    "gross",
                    "fee",
                    "tax",
                    "superseded_by",
                ],
                condition=models.Q(superseded_by=None),
                name="activity_listed",
            ),
        ]


class ActivitySource(models.Model):
    """Which answers told of an activity, when, and in which words.

    `content` is what the source said, as JSON, where the activity says more or something else.
    """

    activity = models.ForeignKey(Activity, on_delete=models.CASCADE, related_name="sources", db_index=False)
    source = models.TextField()
    key = models.TextField()
    at = models.DateTimeField(null=True)
    digest = models.TextField(db_default="")  # of what was told
    content = models.TextField(db_default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["activity", "source", "key"], name="source_once")]


class Import(models.Model):
    """One imported file, whole, so that what others brought can be told apart when it is undone.

    Activities name it as their source, prices and rates in their column `imported`.
    """

    file = models.TextField()
    sha256 = models.TextField()
    at = models.DateTimeField()
    kind = models.TextField()
    account = models.TextField(default="")  # the one named with the file, for all of its rows
    rows = models.IntegerField()
    new = models.IntegerField()
    known = models.IntegerField()
    since = models.DateField(null=True)
    until = models.DateField(null=True)
    content = models.BinaryField()  # compressed with zlib


class ImportedName(models.Model):
    """What one imported file called an instrument; `on` is the last day it was called so there."""

    imported = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="names")
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="names")
    isin = models.TextField(default="")
    symbol = models.TextField(default="")
    currency = models.TextField()
    name = models.TextField(default="")
    asset_class = models.TextField(default="")
    multiplier = ExactDecimalField(null=True)
    quote_factor = ExactDecimalField(null=True)
    on = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["imported", "isin", "symbol", "currency"], name="name_once")
        ]


class Price(models.Model):
    """The price of one instrument on one day, as last seen that day.

    A day may have two: the broker's and an imported one, which is the one that counts. Read in the order
    of `on`, `is_imported`, the last of a day counts.
    """

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, db_index=False)
    on = models.DateField()
    close = ExactDecimalField()
    currency = models.TextField()
    source = models.TextField()
    precedence = models.BigIntegerField(default=0, db_default=0)  # of two of a day the greater one's counts
    is_imported = models.BooleanField(default=False)
    imported = models.ForeignKey(Import, null=True, on_delete=models.CASCADE, db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instrument", "on", "is_imported"], name="price_once")]


class FxRate(models.Model):
    """`rate` units of `quote` for one unit of `base` on one day; imported ones as for prices."""

    base = models.TextField()
    quote = models.TextField()
    on = models.DateField()
    rate = ExactDecimalField()
    source = models.TextField()
    precedence = models.BigIntegerField(default=0, db_default=0)  # of two words the greater one's counts
    is_imported = models.BooleanField(default=False)
    imported = models.ForeignKey(Import, null=True, on_delete=models.CASCADE, db_index=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["base", "quote", "on", "is_imported"], name="rate_once")
        ]


class PriceSeries(models.Model):
    """All prices of one instrument as the engine takes them; kept true to the rows by packed.py.

    `closes` is a block of float64: one of each calendar day from `first_on` on, NaN where none is stored.
    """

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE)
    first_on = models.DateField()
    closes = models.BinaryField()


class RecentPrices(models.Model):
    """The last days of a PriceSeries once more: what a new day takes is read without the years before."""

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE)
    first_on = models.DateField()
    closes = models.BinaryField()


class RateSeries(models.Model):
    """All rates of one pair of currencies as the engine takes them, like PriceSeries."""

    base = models.TextField()
    quote = models.TextField()
    first_on = models.DateField()
    rates = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["base", "quote"], name="rate_series_once")]


class ActivityBlock(models.Model):
    """The activities of one account that count in one month, as the engine takes them.

    `rows` is a block of float64: the columns of packed.COLUMNS for each activity, one after the other.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    month = models.DateField()  # its first day
    rows = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "month"], name="block_once")]


class DailySeries(models.Model):
    """Value and flows of each day of one account in one currency, worked out from the ledger's rows.

    `columns` is a block of float64: one row of days from `first_on` on per column (packed.DAILY).
    The days after `valid_until` have to be worked out again, from the quantities and the cash of
    `checkpoint` at the end of `checkpoint_on`. `opened_on` is the day of the last opening balance.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    base = models.TextField()
    first_on = models.DateField()
    columns = models.BinaryField()
    valid_until = models.DateField()
    opened_on = models.DateField(null=True)
    checkpoint_on = models.DateField()
    checkpoint = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "base"], name="daily_series_once")]


class Checkpoint(models.Model):
    """What one account's rows come to up to the end of a day; forgotten from the earliest changed day on.

    Each report that goes on from one has its own `topic`, and knows the form of the JSON in `content`.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False)
    topic = models.TextField()
    on = models.DateField()
    content = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "topic", "on"], name="checkpoint_once")]


class LotBook(models.Model):
    """The lots of one account, worked out by one method into one currency; see LotMark for what changes."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    base = models.TextField()
    method = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "base", "method"], name="lot_book_once")]


class LotMark(models.Model):
    """What is to be known of one instrument in a book, beside its lots.

    `stale_since`: from this day on they have to be worked out again; null where they need not be. `tie` is
    the same for all that one event concerned at once (a merger, a transfer), in all books of a broker: whose
    lots are worked out again together. `has_more`: more happened to it than that it was bought and sold,
    first in, first out. The row outlives its instrument.
    """

    book = models.ForeignKey(LotBook, on_delete=models.CASCADE, db_index=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.DO_NOTHING, db_constraint=False)
    stale_since = models.DateField(null=True)
    tie = models.BigIntegerField(null=True)
    has_more = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["book", "instrument"], name="lot_mark_once")]


class OpenLot(models.Model):
    """A row of lots.Lot; `number` counts within the book's instrument."""

    book = models.ForeignKey(LotBook, on_delete=models.CASCADE, db_index=False)
    number = models.IntegerField()
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, db_index=False)
    opened_on = models.DateField()
    quantity = ExactDecimalField()
    cost = ExactDecimalField(null=True)
    opened_by = models.TextField()
    cost_base = ExactDecimalField(null=True)
    is_dated = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["book", "instrument", "number"], name="open_lot_once")]


class ClosedLots(models.Model):
    """The lots of one instrument that were closed in one year: each a line of `lots` (lot_books.py)."""

    book = models.ForeignKey(LotBook, on_delete=models.CASCADE, db_index=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, db_index=False)
    year = models.IntegerField()
    lots = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instrument", "book", "year"], name="closed_lots_once")
        ]
        indexes = [models.Index(fields=["book", "year"])]


class GainSum(models.Model):
    """What closed lots earned: by instrument and year, by year, by instrument, and all.

    A year of 0 is all years, no instrument all of them. Sums are of what is known, null where nothing is;
    `unknown` counts the lots whose gain is not, `estimates` those whose gain is an estimate.
    """

    book = models.ForeignKey(LotBook, on_delete=models.CASCADE, db_index=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, null=True, db_index=False)
    year = models.IntegerField()
    lots = models.IntegerField()
    unknown = models.IntegerField()
    estimates = models.IntegerField()
    gain = ExactDecimalField(null=True)
    proceeds_base = ExactDecimalField(null=True)
    cost_base = ExactDecimalField(null=True)
    gain_base = ExactDecimalField(null=True)
    short_term_base = ExactDecimalField(null=True)
    long_term_base = ExactDecimalField(null=True)
    price_effect_base = ExactDecimalField(null=True)
    currency_effect_base = ExactDecimalField(null=True)
    cross_effect_base = ExactDecimalField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instrument", "book", "year"], name="gain_sum_once")]
        # With what pages of positions show: the rows of one year are spread over the whole table.
        indexes = [models.Index(fields=["book", "year", "instrument", "unknown", "estimates", "gain_base"])]


class SeriesClock(models.Model):
    """One row that counts the changes of what daily series are worked out from.

    Who works out a series reads it first, and stores the series only if nothing has changed meanwhile.
    """

    ticks = models.BigIntegerField()


class NavPoint(models.Model):
    """The broker's NAV of one account at the end of one day, in `currency`."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    on = models.DateField()
    nav = ExactDecimalField()
    currency = models.TextField()
    precedence = models.BigIntegerField(default=0, db_default=0)  # of two words the greater one's counts

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "on"], name="nav_once")]


class Period(models.Model):
    """One source told all of an account's activities of these topics in these days."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    source = models.TextField()
    topic = models.TextField()
    since = models.DateField()
    until = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "source", "topic", "since", "until"], name="period_once"
            )
        ]


class Figure(models.Model):
    """One number of a broker's statement, kept to reconcile against."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    section = models.TextField()
    name = models.TextField()
    since = models.DateField()
    until = models.DateField()
    currency = models.TextField()
    broker_ref = models.TextField(default="")
    ref = models.TextField(default="")
    amount = ExactDecimalField()
    precedence = models.BigIntegerField(default=0, db_default=0)  # of two words the greater one's counts

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "section", "name", "since", "until", "currency", "broker_ref", "ref"],
                name="figure_once",
            )
        ]


class InboxItem(models.Model):
    """A row that could not be typed, with its whole text."""

    broker = models.TextField()
    key = models.TextField()
    account = models.TextField(null=True)  # noqa: DJ001
    section = models.TextField()
    reason = models.TextField()
    text = models.TextField()
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["broker", "key"], name="inbox_once")]


class Target(models.Model):
    """The wanted weight of one group, and how far it may drift from it before it is out of its band.

    `by` is what the groups are groups of (an asset class, a country, ...); both numbers are fractions of NAV.
    """

    by = models.TextField()
    key = models.TextField()
    weight = ExactDecimalField()
    band = ExactDecimalField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["by", "key"], name="target_once")]


class SyncRun(models.Model):
    """One run of one login: its steps while it is at work, its outcome afterwards."""

    broker = models.TextField()
    login = models.TextField(default="")
    status = models.TextField()  # running, ok, partial, failed
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    step = models.TextField(default="")
    steps_done = models.IntegerField(default=0)
    steps_total = models.IntegerField(default=0)
    accounts = models.IntegerField(default=0)
    positions = models.IntegerField(default=0)
    activities_new = models.IntegerField(default=0)
    activities_known = models.IntegerField(default=0)
    inbox = models.IntegerField(default=0)
    error_code = models.TextField(default="")
    error_what = models.TextField(default="")
    error_next_step = models.TextField(default="")
    retry_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["broker", "login", "started_at"])]

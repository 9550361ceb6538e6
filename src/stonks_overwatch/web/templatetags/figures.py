"""Shows figures: signs, digits, currencies, times and the mark for unknown are decided here and nowhere else.

A filter is given the exact number and rounds it once, to what is shown, half away from zero. Unknown
(None) becomes a mark that reads as "unknown" and never as a number;
`{{ row.price|price:row.currency|because:"The broker sent no price." }}` adds the reason.
"""

import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache

from babel import Locale
from babel.numbers import get_currency_name, get_currency_precision
from django.template import Library
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

from stonks_overwatch.ledger.types import UNKNOWN_CURRENCY
from stonks_overwatch.reports.documents import PERCENT, computed_text, exact_text

register = Library()

_ROUNDING = Context(prec=200, rounding=ROUND_HALF_UP)
_MINUS = "−"
_RECENT_DAYS = 4
_ISO_DAY = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b")
_SOURCES = {
    "flex": "Flex statement",
    "flex-confirmations": "Flex trade confirmation",
    "flex-summaries": "Flex statement, summed up",
    "flex-funds": "Flex statement of funds",
    "web-api": "Web API",
    "csv": "CSV file",
    "ibkr": "IBKR",
}
_SOURCE = re.compile(rf"(?<![\w-])({'|'.join(sorted(_SOURCES, reverse=True))})(?![\w-])")
_ASSET_CLASSES = {
    "stock": "Stocks",
    "etf": "ETFs",
    "fund": "Funds",
    "option": "Options",
    "future": "Futures",
    "future_option": "Options on futures",
    "bond": "Bonds",
    "cash": "Cash",
    "crypto": "Crypto",
    "warrant": "Warrants",
    "structured": "Structured products",
    "cfd": "CFDs",
    "commodity": "Commodities",
    "other": "Other",
    "unknown": "Unknown",
}


class Unknown(SafeString):
    """The mark in a figure's place when the figure is not known."""


_UNKNOWN = Unknown('<span class="unknown">unknown</span>')


def _text(value: Decimal, digits: int, *, plus: bool = False) -> str:
    """Rounded and grouped, with a true minus; what rounds to zero has no sign."""
    rounded = _ROUNDING.quantize(value, _unit(digits))
    sign = "" if not rounded else _MINUS if rounded < 0 else "+" if plus else ""
    return f"{sign}{rounded.copy_abs():,f}"


@cache
def _unit(digits: int) -> Decimal:
    """1 at the last of so many decimals."""
    return Decimal(1).scaleb(-digits)


def _shortest(value: Decimal, fewest: int, most: int) -> str:
    """With as many decimals as the number has, between the two."""
    exponent = _ROUNDING.quantize(value, _unit(most)).normalize(_ROUNDING).as_tuple().exponent
    return _text(value, max(fewest, -exponent if isinstance(exponent, int) else 0))


@cache
def _digits(currency: str) -> int:
    return get_currency_precision(currency)


def _amount(number: str, currency: str) -> SafeString:
    """A number of our own writing before its currency."""
    return SafeString(number + _after(currency))


@cache
def _after(currency: str) -> str:
    shown = "unknown currency" if currency == UNKNOWN_CURRENCY else currency
    return format_html('\N{NO-BREAK SPACE}<span class="cur">{}</span>', shown)


def plain(value: Decimal, currency: str) -> str:
    """For scripts: rounded to the currency's digits, an ordinary minus, nothing between the digits."""
    return f"{_ROUNDING.quantize(value, _unit(_digits(currency))):f}"


def _toned(text: str, unit: str) -> SafeString:
    """A change with the colour of its sign; what rounds to nothing is neither gain nor loss."""
    tone = {"+": "gain", _MINUS: "loss"}.get(text[0], "")
    return SafeString(f'<span class="{tone}">{text}{unit}</span>')


@register.filter
def money(value: Decimal | None, currency: str) -> SafeString:
    if value is None:
        return _UNKNOWN
    return _amount(_text(value, _digits(currency)), currency)


@register.filter
def signed(value: Decimal | None, currency: str) -> SafeString:
    """An amount that is a change: plus or minus, coloured."""
    if value is None:
        return _UNKNOWN
    return _toned(_text(value, _digits(currency), plus=True), _after(currency))


@register.filter
def moved(value: Decimal | None, currency: str) -> SafeString:
    """An amount that came or went, which is neither gain nor loss: plus or minus, in no colour."""
    return _UNKNOWN if value is None else _amount(_text(value, _digits(currency), plus=True), currency)


@register.filter
def percent(value: Decimal | None, digits: int = 1) -> SafeString:
    """A fraction as percent: 0.05 is 5.0%."""
    return _UNKNOWN if value is None else SafeString(f"{_text(value * 100, digits)}%")


@register.filter
def signed_percent(value: Decimal | None, digits: int = 2) -> SafeString:
    if value is None:
        return _UNKNOWN
    return _toned(_text(value * 100, digits, plus=True), "%")


@register.filter
def number(value: Decimal | None, digits: int = 2) -> str:
    return _UNKNOWN if value is None else _text(value, digits)


@register.filter
def count(value: int) -> str:
    """How many there are: counted, not worked out, so that nothing has to be explained."""
    return f"{value:,}"


@register.filter
def quantity(value: Decimal | None) -> SafeString:
    """Every digit there is: 2.125 shares are 2.125."""
    return _UNKNOWN if value is None else SafeString(_shortest(value, 0, 18))


@register.filter
def price(value: Decimal | None, currency: str) -> SafeString:
    """A price as quoted: at least the currency's digits, at most four decimals, below one eight.

    `currency` is "%" for bonds that are quoted in percent of face.
    """
    if value is None:
        return _UNKNOWN
    if currency == PERCENT:
        return SafeString(f"{_shortest(value, 2, 4)}%")
    most = 4 if abs(value) >= 1 else 8
    return _amount(_shortest(value, _digits(currency), most), currency)


@register.filter
def average(value: Decimal | None, currency: str) -> SafeString:
    """An average price, which has more digits than it means: those of the currency, below one six."""
    if value is not None and currency == PERCENT:
        return SafeString(f"{_text(value, 3)}%")
    if value is None or abs(value) >= 1:
        return money(value, currency)
    return _amount(_shortest(value, _digits(currency), 6), currency)


@register.filter
def in_unit(value: Decimal | None, unit: str) -> str:
    """A figure of any kind: a fraction as percent, an amount with its currency, a plain number as it is."""
    match unit:
        case "fraction":
            return percent(value, 2)
        case "":
            return quantity(value)
        case _:
            return money(value, unit)


@register.filter
def every_digit(value: Decimal, unit: str) -> str:
    """As the JSON has it, grouped, with its currency."""
    currency = "" if unit in ("fraction", UNKNOWN_CURRENCY) else unit
    return f"{Decimal(computed_text(value)):,f} {currency}".rstrip().replace("-", _MINUS)


@register.filter
def because(figure: str, reason: str) -> str:
    """Adds to an unknown figure why it is unknown, on hover and for screen readers; leaves others alone."""
    if not isinstance(figure, Unknown):
        return figure
    return format_html(
        '<span class="unknown" title="{0}">unknown<span class="visually-hidden">: {0}</span></span>', reason
    )


@register.filter
def estimate(figure: str, is_estimate: bool) -> str:
    """Marks a figure that is an estimate; its explanation says what makes it one."""
    if not is_estimate or isinstance(figure, Unknown):
        return figure
    return format_html(
        '<span title="An estimate">~<span class="visually-hidden">about</span></span> {}', figure
    )


@register.filter
def commands(text: str) -> SafeString:
    """A sentence with what stands between backticks as code to be typed."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an odd backtick is just a backtick
        return escape(text)
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if n % 2 else part,) for n, part in enumerate(parts))
    )


@register.filter
def day(value: date | None) -> str:
    return _UNKNOWN if value is None else f"{value.day} {value:%b %Y}"


@register.filter
def dated(text: str) -> str:
    """A sentence of a report or a sync, with its days (2026-12-31) as pages write them (31 Dec 2026)."""

    def written(found: re.Match[str]) -> str:
        try:
            return day(date.fromisoformat(found[0]))
        except ValueError:
            return found[0]

    return _ISO_DAY.sub(written, text)


@register.filter
def typed(value: Decimal) -> str:
    """A number as a form takes it back: every digit, nothing between them."""
    return exact_text(value)


@register.filter
def in_percent(value: Decimal) -> str:
    """A fraction as a form takes it, in percent: 0.125 is 12.5."""
    return exact_text(value * 100)


@register.filter
def period(key: str) -> str:
    """A month (2026-01) or year (2026) of a report."""
    return key if len(key) == 4 else f"{date.fromisoformat(f'{key}-01'):%b %Y}"


@register.filter
def words(name: str) -> str:
    """A name of the ledger as a reader writes it: payment_in_lieu is Payment in lieu."""
    if name == "fx":
        return "Currency exchange"
    return name.replace("_", " ")[:1].upper() + name.replace("_", " ")[1:]


@register.filter
def moment(value: datetime | date | None) -> SafeString | str:
    """A moment in this machine's time zone: the time today, with the date on other days; or a day."""
    if value is None:
        return _UNKNOWN
    if not isinstance(value, datetime):
        return day(value)
    local, today = value.astimezone(), datetime.now(UTC).astimezone().date()
    shown = f"{local:%H:%M}" if local.date() == today else f"{day(local)}, {local:%H:%M}"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.astimezone(UTC).isoformat(timespec="seconds"),
        f"{day(local)}, {local:%H:%M:%S %Z}",
        shown,
    )


@register.filter
def clock(value: datetime) -> str:
    """A moment's time of day to the second, in this machine's time zone."""
    return f"{value.astimezone():%H:%M:%S}"


@register.filter
def age(value: datetime | None) -> SafeString:
    """How long ago a moment was; the page keeps the words true while it stays open (ages.ts)."""
    if value is None:
        return _UNKNOWN
    seconds = int((datetime.now(UTC) - value).total_seconds())
    if seconds < 60:
        words = "just now"
    elif seconds < 3600:
        words = f"{seconds // 60} min ago"
    elif seconds < 48 * 3600:
        words = f"{seconds // 3600} h ago"
    else:
        words = f"{seconds // 86400} days ago"
    return format_html(
        '<time data-age datetime="{}">{}</time>', value.astimezone(UTC).isoformat(timespec="seconds"), words
    )


@register.filter
def is_old(value: datetime | date) -> bool:
    """Whether it is longer ago than a weekend with a holiday."""
    on = value.date() if isinstance(value, datetime) else value
    return (datetime.now(UTC).date() - on).days > _RECENT_DAYS


@register.filter
def until(start: datetime, end: datetime | None) -> str:
    """How long it took from one moment to the other."""
    if end is None:
        return _UNKNOWN
    seconds = (end - start).total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


@register.filter
def asset_class(value: str) -> str:
    return _ASSET_CLASSES.get(value, value)


@register.filter
def one_of_class(value: str) -> str:
    """The asset class of one instrument."""
    match value:
        case "future_option":
            return "Option on a future"
        case "commodity":
            return "Commodity"
        case "cash" | "crypto" | "other" | "unknown":
            return asset_class(value)
        case _:
            return asset_class(value).removesuffix("s")


@register.filter
def position_class(value: str) -> str:
    """As `asset_class`, of positions: a cash position is one currency bought for another."""
    return "Currency pairs" if value == "cash" else asset_class(value)


@register.filter
def currency_name(code: str) -> str:
    return "Unknown" if code == "unknown" else get_currency_name(code, locale="en")


@register.filter
def kept_in(code: str) -> str:
    """The currency of an account, for the middle of a sentence."""
    return "an unknown currency" if code == UNKNOWN_CURRENCY else code


@register.filter
def country_name(code: str) -> str:
    return {"unknown": "Unknown", "cash": "Cash"}.get(code) or Locale("en").territories.get(code, code)


@register.filter
def group_name(key: str, by: str) -> str:
    """The name of one group of an allocation."""
    match by:
        case "asset_class":
            return asset_class(key)
        case "country":
            return country_name(key)
        case "currency":
            return "Unknown" if key == "unknown" else key
        case "broker":
            return broker_name(key)
        case _:
            return {"unknown": "Unknown", "cash": "Cash"}.get(key, key)


@register.filter
def broker_name(name: str) -> str:
    return {"ibkr": "IBKR", "degiro": "DEGIRO", "bitvavo": "Bitvavo", "csv": "imported files"}.get(
        name, name or "the configuration"
    )


@register.filter
def sources(text: str) -> str:
    """A text of a report with the sources that it names (web-api) as readers know them (Web API)."""
    return _SOURCE.sub(lambda found: _SOURCES[found[0]], text)


@register.filter
def file_kind(name: str) -> str:
    """What an imported file holds."""
    return {"fx": "Exchange rates"}.get(name) or words(sources(name))


@register.filter
def part_of(value: Decimal, whole: Decimal) -> str:
    """For drawings: the size of the value as a number from 0 to 100."""
    return f"{min(abs(value / whole) * 100, Decimal(100)):.2f}"

"""Where the figures of a page are explained.

A figure that stands alone is a link. In tables, where a link in each cell would be heavy and slow to tab
through, the table says the path of its rows (`data-explain`), each row its key (`data-row`), each figure
its name (`data-x`), and one link per row leads to all of its figures; a click on a figure opens its own
(explain.ts).
"""

from typing import Any
from urllib.parse import urlencode

from django.template import Library
from django.template.context import Context

from stonks_overwatch.reports.documents import Document
from stonks_overwatch.reports.explain.keys import key_of

register = Library()


@register.simple_tag(takes_context=True)
def explain(context: Context, figure: str, *rows: str, **asked: Any) -> str:
    """The address of a figure's explanation, asked as the page is (`explained` in its context)."""
    words: dict[str, Any] = {**(context.get("explained") or {}), **asked}
    pairs = [(name, value) for name, value in words.items() if value not in (None, "")]
    query = urlencode([*pairs, *(("row", row) for row in rows)])
    return f"/explain/{figure}?{query}" if query else f"/explain/{figure}"


_LIVE = {
    "price": "price",
    "value": "market_value_base",
    "own": "market_value",
    "exposure": "exposure_base",
    "own-exposure": "exposure",
    "profit": "unrealized_pnl_base",
    "own-profit": "unrealized_pnl",
    "return": "unrealized_return",
    "weight": "weight",
    "group-value": "market_value_base",
    "group-profit": "unrealized_pnl_base",
    "group-weight": "weight",
}


@register.simple_tag
def live_names() -> str:
    """For a table of holdings (`data-names`): which figure is which of those that move (`data-live`)."""
    return " ".join(f"{live}:{name}" for live, name in _LIVE.items())


@register.filter
def row_key(row: Document) -> str:
    return key_of(row)

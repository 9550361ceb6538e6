"""IBKR's exchange codes, against ISO 10383 and the codes the reference answers hold."""

import csv
import re
from importlib.resources import files

import pytest
from babel import Locale

from stonks_overwatch.services.brokers.ibkr.exchanges import UNKNOWN, market

TABLE = files("stonks_overwatch.services.brokers.ibkr").joinpath("exchanges.csv").read_text(encoding="utf-8")
ROWS = list(csv.DictReader(TABLE.splitlines()))


@pytest.mark.parametrize(
    ("code", "mic", "country"),
    # From the ISO 10383 register.
    [
        ("IBIS2", "XETR", "DE"),
        ("AEB", "XAMS", "NL"),
        ("LSEETF", "XLON", "GB"),
        ("EBS", "XSWX", "CH"),
        ("TSE", "XTSE", "CA"),
        ("TSEJ", "XTKS", "JP"),
        ("SEHK", "XHKG", "HK"),
        ("NASDAQ", "XNAS", "US"),
        ("ARCA", "ARCX", "US"),
        ("BVME", "MTAA", "IT"),
    ],
)
def test_a_code_is_its_market(code: str, mic: str, country: str) -> None:
    assert (market(code).mic, market(code).country) == (mic, country)


@pytest.mark.parametrize("code", ["NOWHERE", "", None])
def test_a_code_that_is_not_in_the_table_is_not_guessed(code: str | None) -> None:
    assert market(code) == UNKNOWN


def test_the_table_holds_each_code_once_with_well_formed_values() -> None:
    codes = [row["code"] for row in ROWS]
    countries = Locale("en").territories

    assert len(codes) == len(set(codes)) >= 150
    assert codes == sorted(codes)
    for row in ROWS:
        assert re.fullmatch(r"[A-Z0-9]{4}|", row["mic"]), row
        assert row["market"], row
        assert not row["country"] or row["country"] in countries, row

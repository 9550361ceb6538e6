"""Exchanges are called by the names of their markets, those that are in no table by the broker's code."""

import pytest
from django.test import Client

from tests.reports import builders
from tests.web.conftest import Configure
from tests.web.test_pages import text, updated

pytestmark = pytest.mark.django_db


def test_an_instrument_names_its_market(configure: Configure, reader: Client) -> None:
    configure()
    named = builders.instrument("AAA", exchange="AEB", market="Euronext Amsterdam", mic="XAMS")
    unnamed = builders.instrument("BBB", exchange="NEWVENUE")
    holder = updated()
    for held in (named, unnamed):
        builders.position(holder, held)
    assert "· Euronext Amsterdam ·" in text(reader.get(f"/instrument/{named.pk}"))
    assert "· NEWVENUE ·" in text(reader.get(f"/instrument/{unnamed.pk}"))


def test_the_diversification_by_exchange_names_markets_beside_their_codes(
    configure: Configure, reader: Client
) -> None:
    configure()
    holder = updated()
    builders.position(holder, builders.instrument("AAA", exchange="AEB", market="Euronext Amsterdam"))
    builders.position(holder, builders.instrument("BBB", exchange="NEWVENUE"))
    page = text(reader.get("/diversification?by=exchange"))
    assert "Euronext Amsterdam AEB" in page
    assert "NEWVENUE" in page
    document = reader.get("/api/v1/diversification?by=exchange").json()
    assert {group["key"] for group in document["groups"]} >= {"AEB", "NEWVENUE"}

import json
import re

import pytest
from django.core.management import call_command
from django.test import Client

from stonks_overwatch import config
from tests.reports import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Client:
    return Client(headers={"host": "127.0.0.1"})


@pytest.fixture
def portfolio() -> None:
    builders.rate("USD", "EUR", "0.8")
    one, two = builders.account("U1"), builders.account("U2", "USD")
    share = builders.instrument("AAA", sector="Technology")
    builders.position(one, share, "2.125", "12")
    builders.cash(two, "USD", "100")
    builders.activity(one, "buy", of=share, quantity="2.125", gross="-20")
    builders.activity(one, "deposit", gross="50")
    builders.run("ok")


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("holdings", ["holdings"]),
        ("holdings?base=usd&account=U1", ["holdings", "--base", "USD", "--account", "U1"]),
        ("holdings?as_of=2026-01-31", ["holdings", "--as-of", "2026-01-31"]),
        ("allocation", ["allocation"]),
        ("allocation?by=sector&broker=ibkr", ["allocation", "--by", "sector", "--broker", "ibkr"]),
        ("activities", ["activities"]),
        (
            "activities?kind=buy&from=2026-01-01&to=2026-12-31",
            ["activities", "--kind", "buy", "--from", "2026-01-01", "--to", "2026-12-31"],
        ),
        ("reconcile", ["reconcile"]),
        ("holdings?method=average", ["holdings", "--method", "average"]),
        ("lots?method=hifo", ["lots", "--method", "hifo"]),
        ("what-if?ref=AAA&quantity=1&price=20", ["lots", "--what-if", "AAA", "1", "--price", "20"]),
        ("realized?year=2026", ["realized", "--year", "2026"]),
    ],
)
def test_the_api_serves_what_the_command_prints(
    path: str, command: list[str], api: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = api.get(f"/api/v1/{path}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    call_command(command[0], *command[1:], "--json")
    assert answer.json() == json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("path", ["accounts", "dashboard", "sync"])
def test_the_documents_of_the_pages_are_served_too(path: str, api: Client) -> None:
    assert api.get(f"/api/v1/{path}").status_code == 200


@pytest.mark.usefixtures("portfolio")
def test_decimals_are_texts_and_times_say_their_zone(api: Client) -> None:
    row = api.get("/api/v1/holdings").json()["holdings"][0]
    assert row["quantity"] == "2.125"
    assert row["price_as_of"] == "2026-03-04T12:00:00Z"
    assert row["isin"] is None


@pytest.mark.usefixtures("portfolio")
def test_the_configured_currency_is_the_base_unless_another_is_asked_for(api: Client) -> None:
    assert api.get("/api/v1/holdings").json()["base_currency"] == config.load().base_currency
    assert api.get("/api/v1/holdings?base=CHF").json()["base_currency"] == "CHF"


@pytest.mark.usefixtures("portfolio")
def test_an_unknown_account_is_not_found_and_says_which_there_are(api: Client) -> None:
    answer = api.get("/api/v1/holdings?account=U9")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "unknown_account"
    assert "U1 (ibkr)" in error["next_step"]


@pytest.mark.parametrize(
    ("path", "argument"),
    [
        ("holdings?as_of=yesterday", "as_of"),
        ("holdings?base=EURO", "base"),
        ("holdings?base=ZZZ", "base"),
        ("allocation?by=colour", "by"),
        ("activities?kind=gift", "kind"),
        ("activities?from=1", "from"),
        ("performance?from=2026-05-01&to=2025-01-01", "to"),
    ],
)
def test_a_wrong_argument_is_named(path: str, argument: str, api: Client) -> None:
    answer = api.get(f"/api/v1/{path}")
    assert answer.status_code == 422
    assert f"argument {argument} " in answer.json()["error"]["what"]


def test_an_account_left_empty_is_none_in_particular(api: Client) -> None:
    assert api.get("/api/v1/holdings?account=&broker=").status_code == 200


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_only_reads(method: str, api: Client) -> None:
    assert getattr(api, method)("/api/v1/holdings").status_code == 405


def test_every_command_of_the_reports_is_described(api: Client) -> None:
    described = api.get("/api/v1/openapi.json").json()
    assert {"/api/v1/holdings", "/api/v1/allocation", "/api/v1/activities", "/api/v1/reconcile"} <= set(
        described["paths"]
    )
    properties = described["components"]["schemas"]["Holding"]["properties"]
    assert properties["multiplier"]["type"] == "string"
    assert "strike" not in properties


def test_the_documentation_works_under_the_strict_policy_with_what_is_here(api: Client) -> None:
    page = api.get("/api/v1/docs")
    html = page.content.decode()
    assert "script-src 'self';" in page["Content-Security-Policy"] + ";"
    assert not re.search(r"<script(?![^>]*(src=|application/json))|<style|\son\w+=|\sstyle=", html)
    addresses = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/static/")
        assert api.get(address).status_code == 200

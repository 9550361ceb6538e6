import pytest
from django.db.models import QuerySet

from stonks_overwatch.ledger.models import Account
from stonks_overwatch.ledger.sql import prepared
from tests.reports import builders

pytestmark = pytest.mark.django_db


def test_a_prepared_query_is_put_into_words_once_and_reads_each_time() -> None:
    asked = []

    @prepared
    def names(accounts: tuple[int, ...]) -> QuerySet[Account, tuple[str]]:
        asked.append(accounts)
        return Account.objects.filter(pk__in=accounts).values_list("account")

    one = builders.account("U1").pk
    assert names((one,)) == [("U1",)]
    Account.objects.update(account="U2")
    two = builders.account("U3").pk
    assert names((one,)) == [("U2",)]
    assert sorted(names((one, two))) == [("U2",), ("U3",)]
    assert names(()) == [], "of no account there is nothing to ask the database"
    assert asked == [(one,), (one, two), ()]

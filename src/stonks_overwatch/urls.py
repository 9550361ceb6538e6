"""The addresses of the pages and of the JSON API."""

from django.urls import URLPattern, URLResolver, path

from stonks_overwatch.web import (
    activities,
    cashflow,
    connect,
    diversification,
    explanations,
    exposures,
    gains,
    importing,
    performance,
    reconcile,
    targets,
    views,
)
from stonks_overwatch.web.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.dashboard_page, name="dashboard"),
    path("holdings", views.holdings_page, name="holdings"),
    path("instrument/<int:number>", gains.instrument_page, name="instrument"),
    path("realized", gains.realized_page, name="realized"),
    path("realized/method", gains.set_method, name="lot-method"),
    path("performance", performance.performance_page, name="performance"),
    path("income", cashflow.income_page, name="income"),
    path("fees", cashflow.fees_page, name="fees"),
    path("contributions", cashflow.contributions_page, name="contributions"),
    path("cash", cashflow.cash_page, name="cash"),
    path("targets", targets.targets_page, name="targets"),
    path("targets/save", targets.save_targets, name="save-targets"),
    path("exposures", exposures.exposures_page, name="exposures"),
    path("diversification", diversification.diversification_page, name="diversification"),
    path("reconcile", reconcile.reconcile_page, name="reconcile"),
    path("accounts", views.accounts_page, name="accounts"),
    path("import", importing.import_page, name="import"),
    path("import/<int:number>/undo", importing.undo_import, name="undo-import"),
    path("sync", views.sync_page, name="sync"),
    path("sync/now", views.sync_now, name="sync-now"),
    path("settings", views.settings_page, name="settings"),
    path("settings/test", views.test_connection, name="test-connection"),
    path("welcome", views.welcome_page, name="welcome"),
    path("connect/ibkr", connect.connect_page, name="connect-ibkr"),
    path("connect/ibkr/step", connect.connect_step, name="connect-ibkr-step"),
    path("connect/ibkr/file/<str:name>", connect.upload_file, name="connect-ibkr-file"),
    path("activities", activities.activities_page, name="activities"),
    path("explain/<str:figure>", explanations.explain_page, name="explain"),
    path("events", views.events, name="events"),
    path("api/v1/", api.urls),
]

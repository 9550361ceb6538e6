from stonks_overwatch.settings import *  # noqa: F403  # all that Django reads

MIGRATION_MODULES = {"stonks_overwatch": "tests.later.migrations"}

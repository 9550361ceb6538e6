"""What tests of several folders share: IBKR's local double with keys made once, and who runs which test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox

StartSandbox = Callable[..., Sandbox]


@pytest.fixture(scope="session")
def sandbox_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake user's keys and config.json; RSA keys take a second to make, so once."""
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture
def sandbox(sandbox_directory: Path) -> Iterator[StartSandbox]:
    """Starts sandboxes that end with the test: `sandbox()`, `sandbox("demo", today=..., pace=True)`."""
    with ExitStack() as running:

        def start(scenario: str = "small", *, today: date | None = None, pace: bool = False) -> Sandbox:
            return running.enter_context(
                Sandbox.start(sandbox_directory, scenario=scenario, today=today, pace=pace)
            )

        yield start


DEMO = "tests/web/test_browser.py"


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Every test goes to the next free process; those that share one demo stay together and begin first."""

    def _split_scope(self, nodeid: str) -> str:
        return DEMO if nodeid.startswith(DEMO) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's tests first: they take longest, and the others run meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)

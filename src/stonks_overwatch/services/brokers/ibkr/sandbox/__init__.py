"""A local server that speaks IBKR's Web API: for the demo, for tests and for fault drills.

The unmodified iBind logs in to it with OAuth 1.0a and reads a scripted account. It listens on the
loopback address only and knows nothing of the rest of the product, which knows nothing of it either:
they meet at the address in IBIND_OAUTH1A_REST_URL.

    with Sandbox.start(Path("sandbox"), scenario="small") as sandbox:
        os.environ["IBIND_OAUTH1A_REST_URL"] = sandbox.rest_url
        os.environ["STONKS_OVERWATCH_CONFIG"] = str(sandbox.config_file)
"""

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

from stonks_overwatch.errors import PortBusyError
from stonks_overwatch.services.brokers.ibkr.sandbox.demo import FIRST_DAY
from stonks_overwatch.services.brokers.ibkr.sandbox.expected import Expectation, expected
from stonks_overwatch.services.brokers.ibkr.sandbox.faults import PRESETS, Fault, Faults, preset
from stonks_overwatch.services.brokers.ibkr.sandbox.flex import QUERY, TOKEN, Flex
from stonks_overwatch.services.brokers.ibkr.sandbox.identity import prepare
from stonks_overwatch.services.brokers.ibkr.sandbox.live import Streams
from stonks_overwatch.services.brokers.ibkr.sandbox.oauth import OAuth
from stonks_overwatch.services.brokers.ibkr.sandbox.pacing import Pacing
from stonks_overwatch.services.brokers.ibkr.sandbox.scenarios import SCENARIOS
from stonks_overwatch.services.brokers.ibkr.sandbox.selfservice import PORTAL_PATH, SelfService
from stonks_overwatch.services.brokers.ibkr.sandbox.server import (
    BASE_PATH,
    CONTROL_PATH,
    Call,
    HttpServer,
    Service,
)
from stonks_overwatch.services.brokers.ibkr.sandbox.world import World

__all__ = ["PRESETS", "SCENARIOS", "Call", "Expectation", "Fault", "Sandbox", "preset"]


class Sandbox:
    """A running server, its world and its faults. A context manager; `stop` ends it at once."""

    def __init__(self, server: HttpServer, service: Service, config_file: Path) -> None:
        self._server = server
        self._service = service
        self.config_file = config_file
        self._thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), name="sandbox", daemon=True
        )
        self._thread.start()

    @classmethod
    def start(
        cls,
        directory: Path,
        port: int = 0,
        scenario: str = "demo",
        today: date | None = None,
        *,
        pace: bool = True,
        flex: bool = False,
    ) -> Self:
        """Serve a scenario on 127.0.0.1 (port 0: any free one).

        The user's keys, secrets and config.json are kept in the directory and made at the first start.
        `today` is the last day of the script, now if None. Without `pace` no call comes too early; it
        is still recorded. With `flex` its config.json asks for statements too, from the
        first day of the script on.

        Raises: KeyError for an unknown scenario; PortBusyError; ConfigError if the directory holds
        somebody else's config.json; DemoError for a day before the demo's script.
        """
        script = SCENARIOS[scenario]
        statements = {"flex": {"token": TOKEN, "query_id": QUERY}, "start_date": FIRST_DAY.isoformat()}
        identity = prepare(directory, statements if flex else None)
        try:
            server = HttpServer(port)
        except OSError as err:
            raise PortBusyError(
                f"Port {port} cannot be used ({err.strerror}).", next_step="Give another with --port, or 0."
            ) from err
        rest_url = f"http://127.0.0.1:{server.server_port}{BASE_PATH}"
        service = Service(
            identity, rest_url, script(today or datetime.now(UTC).date()), pace=pace, moves=scenario == "demo"
        )
        service.flex.polls = 0 if flex else service.flex.polls  # who looks at the demo waits for it
        server.service = service
        return cls(server, service, identity.config_file)

    @property
    def rest_url(self) -> str:
        """The value for IBIND_OAUTH1A_REST_URL."""
        return self._service.oauth.base_url

    @property
    def flex_url(self) -> str:
        """The value for STONKS_OVERWATCH_IBKR_FLEX_URL."""
        return self._service.flex.address

    @property
    def flex(self) -> Flex:
        return self._service.flex

    @property
    def streams(self) -> Streams:
        """The websocket's connections and what they brought."""
        return self._service.streams

    @property
    def ws_url(self) -> str:
        """The value for IBIND_OAUTH1A_WS_URL."""
        return f"ws{self.rest_url.removeprefix('http')}ws"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{CONTROL_PATH}"

    @property
    def world(self) -> World:
        return self._service.world

    @property
    def faults(self) -> Faults:
        return self._service.faults

    @property
    def oauth(self) -> OAuth:
        return self._service.oauth

    @property
    def pacing(self) -> Pacing:
        return self._service.pacing

    @property
    def selfservice(self) -> SelfService:
        return self._service.selfservice

    @property
    def portal_url(self) -> str:
        """The page where a login is registered."""
        return f"http://127.0.0.1:{self._server.server_port}{PORTAL_PATH}"

    @property
    def calls(self) -> list[Call]:
        """Every request under the API's address so far, oldest first."""
        return list(self._service.calls)

    def pass_time(self, seconds: float) -> None:
        """Let time pass at once, for what counts calls and waits until a penalty is over."""
        self._service.skipped += seconds

    def expected(self, base_currency: str) -> Expectation:
        return expected(self.world, base_currency)

    def stop(self) -> None:
        self._server.stop()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

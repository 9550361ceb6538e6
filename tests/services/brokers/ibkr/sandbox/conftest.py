"""The real iBind, logged in to a sandbox as its documentation says, without our client around it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from ibind import IbkrClient
from ibind.oauth.oauth1a import OAuth1aConfig

from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox

LogIn = Callable[..., IbkrClient]


@pytest.fixture
def log_in() -> Iterator[LogIn]:
    """`log_in(sandbox)`; credentials may be replaced, `timeout` and `max_retries` set."""
    with ExitStack() as clients:

        def start(sandbox: Sandbox, timeout: float = 10, max_retries: int = 0, **replaced: Any) -> IbkrClient:
            credentials = json.loads(sandbox.config_file.read_text())["ibkr"]["credentials"]
            config = OAuth1aConfig(
                oauth_rest_url=sandbox.rest_url,
                **credentials | replaced,
                init_brokerage_session=False,
                maintain_oauth=False,
                shutdown_oauth=False,
            )
            client = IbkrClient(
                use_oauth=True,
                oauth_config=config,
                auto_register_shutdown=False,
                timeout=timeout,
                max_retries=max_retries,
            )
            clients.enter_context(closing(client))
            return client

        yield start

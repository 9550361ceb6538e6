"""A browser-less reader of the pages, and the configuration that they find."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

LOGIN = {
    "credentials": {
        "consumer_key": "TESTCONSKEY",
        "access_token": "an-access-token",
        "access_token_secret": "an-access-token-secret",
        "dh_prime": "a1" * 128,
        "encryption_key_fp": "encryption.pem",
        "signature_key_fp": "signature.pem",
    }
}

Configure = Callable[..., Path]


@pytest.fixture
def reader() -> Client:
    return Client(headers={"host": "127.0.0.1"})


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Writes config.json: `configure()` with one login, `configure(base_currency="USD")`, or a raw text."""
    file = tmp_path / "config.json"
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(file))

    def write(text: str | None = None, **values: object) -> Path:
        file.write_text(json.dumps({"ibkr": LOGIN, **values}) if text is None else text)
        file.chmod(0o600)
        return file

    return write

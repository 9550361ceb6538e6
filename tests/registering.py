"""What a user does on IBKR's self-service page, done at the sandbox's."""

import functools
from pathlib import Path

import requests
from Crypto.PublicKey import RSA

from stonks_overwatch.services.brokers.ibkr import keys
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from stonks_overwatch.services.brokers.ibkr.sandbox.identity import PRIME


def have_parameters(folder: Path) -> None:
    """Parameters that are there already: to find new ones takes minutes."""
    keys.own_folder(folder)
    keys.write_private(folder / keys.PARAMETERS, keys.parameters_text(PRIME))


def have_keys(folder: Path) -> None:
    """All that is to be made for a registration, there already; the same keys for every folder."""
    have_parameters(folder)
    for (private, public), key in zip(keys.PAIRS, _two_keys(), strict=True):
        keys.write_private(folder / private, key.export_key().decode())
        keys.write_private(folder / public, key.public_key().export_key().decode())


@functools.cache
def _two_keys() -> tuple[RSA.RsaKey, RSA.RsaKey]:
    return RSA.generate(2048), RSA.generate(2048)


def register(server: Sandbox, folder: Path, consumer_key: str, accounts: str = "") -> tuple[str, str]:
    """Upload the three files; returns the access token and its secret."""
    answer = requests.post(
        server.portal_url,
        data={"consumer_key": consumer_key, "accounts": accounts},
        files={
            "signature_key": (folder / keys.PUBLIC_SIGNATURE).read_bytes(),
            "encryption_key": (folder / keys.PUBLIC_ENCRYPTION).read_bytes(),
            "dh_parameters": (folder / keys.PARAMETERS).read_bytes(),
        },
        headers={"Accept": "application/json"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    given = answer.json()
    return given["access_token"], given["access_token_secret"]

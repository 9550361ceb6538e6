"""Makes what a registration at IBKR asks for: two RSA key pairs and Diffie-Hellman parameters.

A 2048-bit safe prime takes about a minute to find, with luck less and without it several. So the work is
a process of its own (`start`), which says how far it is in a file beside the keys and ends with the
process that started it. What is there already is kept: an interrupted start goes on where it was.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from Crypto.PublicKey import RSA
from Crypto.Util.asn1 import DerSequence
from Crypto.Util.number import isPrime
from filelock import FileLock, Timeout

from stonks_overwatch.errors import ConfigError

RSA_BITS = 2048
PRIME_BITS = 2048
GENERATOR = 2
CANDIDATES_PER_PRIME = 3_300
"""How many candidates are tried for one prime of 2048 bits on average; a single search varies widely."""

PRIVATE_SIGNATURE = "private_signature.pem"
PUBLIC_SIGNATURE = "public_signature.pem"
PRIVATE_ENCRYPTION = "private_encryption.pem"
PUBLIC_ENCRYPTION = "public_encryption.pem"
PARAMETERS = "dhparam.pem"
PAIRS = ((PRIVATE_SIGNATURE, PUBLIC_SIGNATURE), (PRIVATE_ENCRYPTION, PUBLIC_ENCRYPTION))
FILES = (PRIVATE_SIGNATURE, PUBLIC_SIGNATURE, PRIVATE_ENCRYPTION, PUBLIC_ENCRYPTION, PARAMETERS)
UPLOADS = (PUBLIC_SIGNATURE, PUBLIC_ENCRYPTION, PARAMETERS)
"""What IBKR is given; the private files stay here."""

_PROGRESS = "making.json"
_LOCK = "making.lock"
_SECONDS_BETWEEN_PROGRESS = 0.5

_children: dict[Path, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is: the file being made, the candidates tried for the prime, why it ended early."""

    file: str = ""
    tried: int = 0
    error: str = ""


def missing(folder: Path) -> tuple[str, ...]:
    """The files that are still to be made, in the order of the work."""
    return tuple(name for name in FILES if not (folder / name).exists())


def start(folder: Path) -> None:
    """Begin to make what is missing, unless a process is at it already.

    Raises: ConfigError when the folder cannot be written to.
    """
    if not missing(folder) or is_making(folder):
        return
    own_folder(folder)
    _note(folder, Progress(next(iter(missing(folder)))))
    command = [sys.executable, "-m", "stonks_overwatch.services.brokers.ibkr.keys", str(folder)]
    # Its standard input is how it notices that this process has ended.
    _children[folder] = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )


def is_making(folder: Path) -> bool:
    """Whether a process is at work, started here or elsewhere."""
    child = _children.get(folder)
    if child is not None:
        if child.poll() is None:
            return True
        del _children[folder]
    if not (folder / _LOCK).exists():
        return False
    try:
        with FileLock(folder / _LOCK, timeout=0):
            return False
    except Timeout:
        return True


def progress(folder: Path) -> Progress:
    """How far the latest work is or was."""
    try:
        return Progress(**json.loads((folder / _PROGRESS).read_text()))
    except (OSError, ValueError, TypeError):
        return Progress()


def stop(folder: Path) -> None:
    """End the work that this process has started; what is made so far stays."""
    child = _children.pop(folder, None)
    if child is not None:
        child.kill()
        child.wait()


def set_aside(folder: Path, names: tuple[str, ...] = FILES) -> Path | None:
    """Move files into a new folder inside; None when there is nothing to move."""
    there = [name for name in names if (folder / name).exists()]
    if not there:
        return None
    kept = folder / f"before-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    kept.mkdir(mode=0o700)
    for name in there:
        (folder / name).rename(kept / name)
    return kept


def own_folder(folder: Path) -> None:
    """Make the folder, for its owner alone. Raises: ConfigError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as err:
        raise ConfigError(
            f"The folder {folder} cannot be written to: {err.strerror or 'unknown reason'}.",
            next_step="Make it writable for you, or move the configuration with STONKS_OVERWATCH_CONFIG.",
        ) from None


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, at no moment otherwise; a reader sees all or nothing.

    Raises: ConfigError, for example when the disk is full; the file is then as it was.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    except OSError as err:
        part.unlink(missing_ok=True)
        raise ConfigError(
            f"{file} cannot be written: {err.strerror or 'unknown reason'}.",
            next_step="Check the free space and the rights of its folder, then try again.",
        ) from None


# --- the work -------------------------------------------------------------------------------------


def make(folder: Path) -> None:
    """Make what is missing; what is there is never changed. Raises: ConfigError."""
    own_folder(folder)
    for private, public in PAIRS:
        if not (folder / private).exists():
            _note(folder, Progress(private))
            # A public key without its private one is of no use to anybody.
            set_aside(folder, (public,))
            write_private(folder / private, _pem(RSA.generate(RSA_BITS).export_key()))
        if not (folder / public).exists():
            key = RSA.import_key((folder / private).read_bytes())
            write_private(folder / public, _pem(key.public_key().export_key()))
    if not (folder / PARAMETERS).exists():
        prime = 0
        noted_at = 0.0
        for tried, found in enumerate(_search(PRIME_BITS)):
            prime = found
            if time.monotonic() - noted_at > _SECONDS_BETWEEN_PROGRESS:
                _note(folder, Progress(PARAMETERS, tried))
                noted_at = time.monotonic()
        write_private(folder / PARAMETERS, parameters_text(prime))


def parameters_text(prime: int) -> str:
    """Diffie-Hellman parameters as `openssl dhparam` writes them."""
    body = base64.encodebytes(DerSequence([prime, GENERATOR]).encode()).decode().replace("\n", "")
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN DH PARAMETERS-----\n{lines}\n-----END DH PARAMETERS-----\n"


def _search(bits: int) -> Iterator[int]:
    """Candidates for a safe prime of this size; the last one is it, (p - 1) / 2 being prime too.

    p is 23 modulo 24, so that 2 generates the subgroup of prime order, as with openssl's parameters.
    """
    rows = 1 << 17
    small = [prime for prime in _primes_below(1 << 20) if prime > 3]
    while True:
        # The two highest bits are set: the product of none of the steps below can overflow the size.
        start = secrets.randbits(bits - 2) | (3 << (bits - 2))
        start += 23 - start % 24
        is_open = bytearray(b"\1") * rows
        for prime in small:
            step = pow(24, -1, prime)
            for zero in (0, 1):  # where p itself, and where (p - 1) / 2 is divisible
                first = (zero - start) * step % prime
                is_open[first::prime] = bytes(len(range(first, rows, prime)))
        for row in range(rows):
            if is_open[row]:
                candidate = start + 24 * row
                yield candidate
                if _is_safe(candidate):
                    return


def _is_safe(prime: int) -> bool:
    half = prime >> 1
    # One quick test first: it sorts out nearly all.
    return pow(2, half - 1, half) == 1 and pow(2, prime - 1, prime) == 1 and isPrime(half) and isPrime(prime)


def _primes_below(limit: int) -> Iterator[int]:
    is_prime = bytearray(b"\1") * limit
    for number in range(2, limit):
        if is_prime[number]:
            yield number
            if number * number < limit:
                is_prime[number * number :: number] = bytes(len(range(number * number, limit, number)))


def _pem(key: bytes) -> str:
    return key.decode() + "\n"


def _note(folder: Path, at: Progress) -> None:
    write_private(folder / _PROGRESS, json.dumps(asdict(at)))


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def main(folder: Path) -> int:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        # Not at once: whoever looks whether somebody is at work holds it for a moment.
        with FileLock(folder / _LOCK, timeout=5, mode=0o600):
            make(folder)
            (folder / _PROGRESS).unlink(missing_ok=True)
    except Timeout:
        return 0  # another process is at it
    except ConfigError as err:
        (folder / _PROGRESS).unlink(missing_ok=True)
        _note(folder, Progress(error=f"{err.what} {err.next_step}"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

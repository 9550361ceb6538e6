"""`doctor ibkr` with one fault after the other. Each is a row of the table in docs/IBKR.md.

The table is what is tested: the fault as it is named there is made, and the finding must say what the
second column says and advise what the third does ("…" stands for any text).
"""

import base64
import dataclasses
import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA
from Crypto.Util.number import getPrime

from stonks_overwatch.management.commands.doctor import Command
from stonks_overwatch.services.brokers.ibkr import pace
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrAnswer, IbkrCall
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox, preset
from stonks_overwatch.services.brokers.ibkr.sandbox.flex import QUERY, TOKEN
from tests.conftest import StartSandbox
from tests.hours import WORKING, its_clock, moment
from tests.running import COMMAND, environment

GUIDE = Path(__file__).parents[2] / "docs" / "IBKR.md"

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class User:
    """Somebody at the sandbox whose configuration, way to IBKR or computer gets a fault."""

    folder: Path
    broker: Sandbox
    monkeypatch: pytest.MonkeyPatch
    running: ExitStack
    port: int = 0
    launcher: tuple[str, ...] = ()  # before the command, where the fault needs a process of its own
    as_process: bool = False
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def config_file(self) -> Path:
        return self.folder / "config.json"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.config_file.read_text())
        return document

    def credential(self, name: str) -> str:
        return str(self.document()["ibkr"]["credentials"][name])

    def change(self, **credentials: str) -> None:
        document = self.document()
        document["ibkr"]["credentials"].update(credentials)
        self.config_file.write_text(json.dumps(document))

    def change_login(self, **values: object) -> None:
        document = self.document()
        document["ibkr"].update(values)
        self.config_file.write_text(json.dumps(document))

    def set(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(name, value)
        self.variables[name] = value

    def new_key(self, name: str, content: str) -> str:
        file = self.folder / name
        file.write_text(content)
        file.chmod(0o600)
        return str(file)

    def fault(self, name: str, **changes: Any) -> None:
        self.broker.faults.add(preset(name, **changes))

    def findings(self, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
        arguments = ["doctor", "ibkr", "--json", "--port", str(self.port)]
        if self.as_process or self.launcher:
            ended = subprocess.run(
                [*self.launcher, *COMMAND, *arguments],
                env=environment(self.folder, IBIND_OAUTH1A_REST_URL=self.broker.rest_url, **self.variables),
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            if ended.stderr.startswith("error: "):
                what, next_step = (line.partition(": ")[2] for line in ended.stderr.splitlines()[:2])
                return [{"check": "", "status": "error", "what": what, "next_step": next_step}]
            output = ended.stdout
        else:
            with suppress(SystemExit):  # 1, when there is an error among them
                Command().run_from_argv(["stonks-overwatch", *arguments])
            output = capsys.readouterr().out
        findings: list[dict[str, str]] = json.loads(output)["findings"]
        return findings


@pytest.fixture
def user(sandbox: StartSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[User]:
    broker = sandbox("small")
    config_file = tmp_path / "config.json"
    config_file.write_text(broker.config_file.read_text())
    config_file.chmod(0o600)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(config_file))
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", broker.rest_url)
    monkeypatch.setenv("STONKS_OVERWATCH_IBKR_FLEX_URL", broker.flex_url)

    def wait(seconds: float) -> None:
        IbkrCall.objects.update(last_at=datetime.min.replace(tzinfo=UTC))

    monkeypatch.setattr(pace, "wait", wait)
    with ExitStack() as running:
        yield User(tmp_path, broker, monkeypatch, running)


def table() -> list[tuple[str, str, str]]:
    """The rows of the guide's table: fault, what doctor says, what to do."""
    text = GUIDE.read_text()
    part = text[text.index("## When it does not work") :]
    rows = [
        tuple(cell.strip() for cell in line.strip().strip("|").split(" | "))
        for line in part.splitlines()
        if line.startswith("| ")
    ]
    return [(row[0], row[1], row[2]) for row in rows[1:]]


def pattern(words: str) -> re.Pattern[str]:
    return re.compile(re.escape(words).replace("…", ".*"), re.DOTALL)


# --- the faults, by their name in the guide ---------------------------------------------------------

SEEDS: dict[str, Callable[[User], None]] = {}


def seed(name: str) -> Callable[[Callable[[User], None]], Callable[[User], None]]:
    def add(function: Callable[[User], None]) -> Callable[[User], None]:
        SEEDS[name] = function
        return function

    return add


@seed("no configuration")
def _no_configuration(user: User) -> None:
    user.config_file.unlink()


@seed("config.json is not valid JSON")
def _no_json(user: User) -> None:
    user.config_file.write_text(user.config_file.read_text().replace("}", ",}", 1))


@seed("a key of config.json is misspelt")
def _misspelt(user: User) -> None:
    user.change_login(start_dat="2020-01-01")


@seed("config.json belongs to another user")
def _unreadable(user: User) -> None:
    user.config_file.chmod(0)
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("an administrator may read everything here")
        user.launcher = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@seed("a value of the template was never filled in")
def _template(user: User) -> None:
    user.change(access_token="YOUR_ACCESS_TOKEN")


@seed("wrong consumer key")
def _wrong_consumer_key(user: User) -> None:
    user.change(consumer_key="WRONGKEYS")


@seed("consumer key mistyped")
def _mistyped_consumer_key(user: User) -> None:
    user.change(consumer_key=user.credential("consumer_key").lower())


@seed("key file missing")
def _missing(user: User) -> None:
    user.change(signature_key_fp=str(user.folder / "gone.pem"))


@seed("key file open to others")
def _open(user: User) -> None:
    copy = user.new_key("open.pem", Path(user.credential("signature_key_fp")).read_text())
    Path(copy).chmod(0o644)
    user.change(signature_key_fp=copy)


@seed("public key in place of the private one")
def _public(user: User) -> None:
    key = RSA.import_key(Path(user.credential("signature_key_fp")).read_bytes())
    user.change(signature_key_fp=user.new_key("public.pem", key.public_key().export_key().decode()))


@seed("key protected by a passphrase")
def _passphrase(user: User) -> None:
    key = RSA.import_key(Path(user.credential("encryption_key_fp")).read_bytes())
    locked = key.export_key(passphrase="secret", pkcs=8).decode()
    user.change(encryption_key_fp=user.new_key("locked.pem", locked))


@seed("signature and encryption key swapped")
def _swapped(user: User) -> None:
    one, other = user.credential("signature_key_fp"), user.credential("encryption_key_fp")
    user.change(signature_key_fp=other, encryption_key_fp=one)


@seed("the same key for both")
def _same(user: User) -> None:
    user.change(encryption_key_fp=user.credential("signature_key_fp"))


@seed("key file damaged")
def _damaged(user: User) -> None:
    lines = Path(user.credential("signature_key_fp")).read_text().splitlines(keepends=True)
    user.change(signature_key_fp=user.new_key("damaged.pem", "".join(lines[:5] + lines[7:])))


@seed("key file saved with Windows line ends and a byte-order mark")
def _windows(user: User) -> None:
    text = Path(user.credential("signature_key_fp")).read_text()
    file = user.folder / "windows.pem"
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    file.chmod(0o600)
    user.change(signature_key_fp=str(file))


@seed("key too short")
def _short(user: User) -> None:
    user.change(signature_key_fp=user.new_key("short.pem", RSA.generate(1024).export_key().decode()))


@seed("signature key is not the registered one")
def _other_signature_key(user: User) -> None:
    user.change(signature_key_fp=user.new_key("other.pem", RSA.generate(2048).export_key().decode()))


@seed("encryption key is not the registered one")
def _other_encryption_key(user: User) -> None:
    user.change(encryption_key_fp=user.new_key("other.pem", RSA.generate(2048).export_key().decode()))


@seed("public file beside the key is of another pair")
def _other_public(user: User) -> None:
    user.new_key("public_key.pem", RSA.generate(2048).public_key().export_key().decode())
    private = Path(user.credential("signature_key_fp")).read_text()
    user.change(signature_key_fp=user.new_key("private_key.pem", private))


@seed("wrong access token")
def _wrong_token(user: User) -> None:
    user.change(access_token="0123456789abcdef0123")


@seed("access token secret cut")
def _cut_secret(user: User) -> None:
    user.change(access_token_secret=user.credential("access_token_secret")[:300])


@seed("access token secret of another token")
def _other_secret(user: User) -> None:
    key = RSA.import_key(Path(user.credential("encryption_key_fp")).read_bytes())
    sealed = PKCS1_v1_5.new(key.public_key()).encrypt(bytes(32))
    user.change(access_token_secret=base64.b64encode(sealed).decode())


@seed("prime in a wrong form")
def _no_number(user: User) -> None:
    user.change(dh_prime="a prime number")


@seed("prime with a digit wrong")
def _no_prime(user: User) -> None:
    prime = user.credential("dh_prime")
    user.change(dh_prime=prime[:-1] + "d")


@seed("prime is not the registered one")
def _other_prime(user: User) -> None:
    user.change(dh_prime=f"{getPrime(2048):x}")


@seed("token revoked or replaced by a newer one")
def _revoked(user: User) -> None:
    now = datetime.now(UTC)
    IbkrAnswer.objects.create(
        login="", endpoint="GET portfolio/accounts", request="{}", content=b"", digest="",
        fetched_at=now - timedelta(days=2), last_seen_at=now - timedelta(days=1),
    )  # fmt: skip
    user.fault("login_401")


@seed("registration not activated yet")
def _not_active(user: User) -> None:
    user.fault("login_401")


@seed("Web API not enabled")
def _not_enabled(user: User) -> None:
    user.fault("not_enabled")


@seed("account not visible to the login")
def _not_visible(user: User) -> None:
    user.change_login(accounts=["U0000001"])


@seed("clock off")
def _clock(user: User) -> None:
    user.fault("clock_skew", seconds=900.0)


@seed("penalty box after too many calls")
def _box(user: User) -> None:
    user.fault("busy")


@seed("competing login")
def _competing(user: User) -> None:
    status = {"authenticated": False, "competing": True, "connected": True}
    body = json.dumps({"session": "x", "iserver": {"authStatus": status}})
    user.broker.faults.add(Fault("status", "POST tickle", status=200, body=body))


def _at(user: User, when: datetime) -> None:
    """Let IBKR's clock show this moment, and IBKR be down."""
    user.fault("unavailable")
    user.broker.faults.add(its_clock(when))


@seed("nightly reset")
def _nightly(user: User) -> None:
    _at(user, moment(2, 1, 10))


@seed("weekend maintenance")
def _weekend(user: User) -> None:
    _at(user, moment(5, 22))


@seed("IBKR down at another time")
def _down(user: User) -> None:
    _at(user, moment(*WORKING))


@seed("login moved to another IBKR address")
def _moved(user: User) -> None:
    user.fault("gone")


@seed("DNS failure")
def _dns(user: User) -> None:
    user.set("IBIND_OAUTH1A_REST_URL", "https://ibkr.invalid/v1/api/")


@seed("no connection")
def _refused(user: User) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    user.set("IBIND_OAUTH1A_REST_URL", f"https://127.0.0.1:{port}/v1/api/")


def _serve(user: User, answer: Callable[[socket.socket], None]) -> int:
    """A server whose connections are handed to `answer`; returns its port."""
    server = user.running.enter_context(closing(socket.create_server(("127.0.0.1", 0))))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with closing(connection):
                try:
                    answer(connection)
                except OSError:
                    continue  # the other side has ended it

    threading.Thread(target=accept, daemon=True).start()
    port: int = server.getsockname()[1]
    return port


@seed("TLS interception")
def _tls(user: User) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "tls.key", "-out", "tls.crt",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        cwd=user.folder, capture_output=True, check=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(user.folder / "tls.crt", user.folder / "tls.key")

    def answer(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    user.set("IBIND_OAUTH1A_REST_URL", f"https://localhost:{_serve(user, answer)}/v1/api/")


@seed("proxy that asks for a password")
def _proxy(user: User) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    user.set("IBIND_OAUTH1A_REST_URL", "https://api.ibkr.example/v1/api/")
    user.set("HTTPS_PROXY", f"http://127.0.0.1:{_serve(user, answer)}")


@seed("proxy or sign-in page in between")
def _sign_in(user: User) -> None:
    user.fault("html")
    user.broker.faults.add(its_clock(moment(*WORKING)))


@seed("IBKR does not answer in time")
def _stall(user: User) -> None:
    user.change_login(timeout_seconds=1)
    user.fault("stall")


@seed("address variable wrong")
def _address(user: User) -> None:
    user.set("IBIND_OAUTH1A_REST_URL", "http://example.org/v1/api/")


@seed("port busy")
def _port(user: User) -> None:
    user.port = _serve(user, lambda connection: connection.sendall(b"hello\r\n"))


@seed("data folder not writable")
def _read_only(user: User) -> None:
    user.data.mkdir()
    user.as_process = True
    if os.geteuid() == 0:
        user.launcher = _mounted(user, "mount --bind -o ro {0} {0} && mount -o remount,bind,ro {0}")
    else:
        user.data.chmod(0o500)


@seed("disk full")
def _full(user: User) -> None:
    user.data.mkdir()
    # Room for the folders, but not for the database.
    user.launcher = _mounted(user, "mount -t tmpfs -o size=64k tmpfs {0}")


def _mounted(user: User, command: str) -> tuple[str, ...]:
    """What starts a command in which the data folder is mounted differently, for it alone."""
    enter = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
    script = command.format(user.data)
    tried = subprocess.run([*enter, "sh", "-c", script], capture_output=True, check=False)
    if shutil.which("unshare") is None or tried.returncode != 0:
        pytest.skip("this computer does not let us mount anything")
    return (*enter, "sh", "-c", f'{script} && exec "$@"', "sh")


def _have_database(user: User) -> Path:
    user.as_process = True
    subprocess.run(
        [*COMMAND, "holdings"], env=environment(user.folder), capture_output=True, check=True, timeout=120
    )
    return user.data / "db.sqlite3"


@seed("database locked")
def _locked(user: User) -> None:
    holder = user.running.enter_context(closing(sqlite3.connect(_have_database(user), isolation_level=None)))
    holder.execute("BEGIN EXCLUSIVE")


@seed("database damaged")
def _broken(user: User) -> None:
    _have_database(user).write_bytes(b"this is not a database" * 1000)


@seed("database damaged, with a backup")
def _broken_with_backup(user: User) -> None:
    file = _have_database(user)
    subprocess.run(
        [*COMMAND, "backup"], env=environment(user.folder), capture_output=True, check=True, timeout=120
    )
    file.write_bytes(b"this is not a database" * 1000)


@seed("database damaged in the middle")
def _broken_page(user: User) -> None:
    file = _have_database(user)
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    content[3 * 4096 : 30 * 4096] = b"\xff" * (27 * 4096)
    file.write_bytes(content)


def _with_flex(user: User, token: str = TOKEN, query: str = QUERY) -> None:
    user.change_login(flex={"token": token, "query_id": query})


@seed("Flex token expired")
def _flex_expired(user: User) -> None:
    _with_flex(user)
    user.broker.flex.fail("SendRequest", 1012)


@seed("Flex token wrong")
def _flex_wrong(user: User) -> None:
    _with_flex(user, token="123456")


@seed("Flex query unknown")
def _flex_query(user: User) -> None:
    _with_flex(user, query="1")


@seed("Flex IP restriction")
def _flex_ip(user: User) -> None:
    _with_flex(user)
    user.broker.flex.fail("SendRequest", 1013)


@seed("Flex query lacks sections")
def _flex_sections(user: User) -> None:
    _with_flex(user)
    style = user.broker.flex.style
    kept = tuple(name for name in style.sections if name not in ("CorporateActions", "Transfers"))
    user.broker.flex.style = dataclasses.replace(style, sections=kept)


# --- the tests --------------------------------------------------------------------------------------


def test_the_guides_table_and_the_faults_made_here_are_the_same() -> None:
    assert [row[0] for row in table()] == list(SEEDS)
    assert len(SEEDS) >= 25


@pytest.mark.parametrize(("fault", "says", "advice"), table(), ids=[row[0] for row in table()])
def test_doctor_tells_the_cause_and_the_remedy(
    fault: str, says: str, advice: str, user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    SEEDS[fault](user)
    findings = user.findings(capsys)
    if advice == "nothing to do":
        assert all(finding["status"] == "ok" for finding in findings), findings
        assert any(pattern(says).search(finding["what"]) for finding in findings)
        return
    problems = [finding for finding in findings if finding["status"] != "ok"]
    assert any(
        pattern(says).search(finding["what"]) and pattern(advice).search(finding["next_step"])
        for finding in problems
    ), json.dumps(problems, indent=1)


def test_the_backup_that_doctor_names_repairs_a_damaged_database(
    user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    _broken_with_backup(user)
    (step,) = [one["next_step"] for one in user.findings(capsys) if one["check"] == "database"]
    command = re.search("`stonks-overwatch (.*)`", step)
    assert command is not None
    ended = subprocess.run(
        [*COMMAND, *shlex.split(command[1])],
        env=environment(user.folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert {one["status"] for one in user.findings(capsys) if one["check"] == "database"} == {"ok"}
    (kept,) = (user.data / "backups").glob("damaged-*")
    assert kept.read_bytes().startswith(b"this is not a database")

"""Django's settings. What a user may change is in config/config.json (config.py), not here."""

import os
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from csp.constants import NONE, SELF
from django.core.management.utils import get_random_secret_key

from stonks_overwatch import paths

PACKAGE = Path(__file__).resolve().parent
# As an app it would be imported by every command; what it has for an app are these files of one page.
NINJA = Path(str(cast("ModuleSpec", find_spec("ninja")).origin)).parent
DATA_DIR = paths.data_dir()
DEBUG = False


def _secret_key() -> str:
    """The key that signs CSRF tokens, made once and kept owner-only in the data folder."""
    file = DATA_DIR / "secret_key"
    if not file.exists():
        DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Renamed when it is whole: a kill leaves no half key behind.
        fresh = file.with_name(f"secret_key.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(get_random_secret_key())
        fresh.replace(file)
    return file.read_text()


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "stonks_overwatch",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "stonks_overwatch.web.middleware.StaticFiles",
    "stonks_overwatch.web.middleware.private",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "stonks_overwatch.urls"
ASGI_APPLICATION = "stonks_overwatch.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PACKAGE / "web" / "templates", NINJA / "templates"],
        "OPTIONS": {
            "builtins": [
                "stonks_overwatch.web.templatetags.explaining",
                "stonks_overwatch.web.templatetags.figures",
                "stonks_overwatch.web.templatetags.icons",
            ],
            "context_processors": ["django.template.context_processors.request"],
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["django.template.loaders.filesystem.Loader"],
                )
            ],
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "db.sqlite3",
        "OPTIONS": {
            # An import of millions of rows is one transaction; who wants to write meanwhile waits for it.
            "timeout": 120,
            # IMMEDIATE: a transaction that will write waits for its turn at the start; one that
            # upgrades half-way cannot wait in WAL mode and fails with "database is locked".
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
STATIC_URL = "/static/"
STATICFILES_DIRS = [PACKAGE / "web" / "static", NINJA / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_ALLOW_ALL_ORIGINS = False
# Asked for anew with each page, which costs nothing on this machine; after an update no old file is left.
# Files with a hash in their name never change.
WHITENOISE_MAX_AGE = 0
WHITENOISE_IMMUTABLE_FILE_TEST = r"-[0-9A-Z]{8}\.\w+$"

# Everything a page needs comes from this process; nothing inline, nothing from outside.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_HTTPONLY = True

LOGGING_CONFIG = None  # logging is set up by the command that runs, see management/commands/run.py

"""Where log lines go: always the file data/logs/stonks-overwatch.log, the terminal when asked."""

import logging.config
from typing import Any

from django.conf import settings

MEGABYTE = 2**20
# What they would say at a lower level (every byte, timer and tick) hides what matters.
QUIET = {
    "asyncio": "INFO",
    "django.template": "INFO",
    "filelock": "INFO",
    "huey": "WARNING",
    "urllib3": "INFO",
}


def configure(*, debug: bool = False, terminal: bool = False) -> None:
    """Log to the file, and to the terminal too if asked; no line leaves with a secret that was loaded."""
    folder = settings.DATA_DIR / "logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handlers: dict[str, dict[str, Any]] = {
        "file": {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": folder / "stonks-overwatch.log",
            "maxBytes": 5 * MEGABYTE,
            "backupCount": 4,
            "encoding": "utf-8",
            "delay": True,
            "formatter": "line",
            "level": "DEBUG" if debug else "INFO",
        }
    }
    if terminal:
        handlers["terminal"] = {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "level": "DEBUG" if debug else "WARNING",
        }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": "stonks_overwatch.redaction.RedactingFormatter",
                    "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
                    "datefmt": "%Y-%m-%dT%H:%M:%S%z",
                }
            },
            "handlers": handlers,
            "root": {"handlers": list(handlers), "level": "DEBUG" if debug else "INFO"},
            "loggers": {name: {"level": level} for name, level in QUIET.items()},
        }
    )
    # A full disk must not turn every log line into a traceback on the terminal.
    logging.raiseExceptions = False

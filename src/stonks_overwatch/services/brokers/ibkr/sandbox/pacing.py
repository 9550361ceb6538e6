"""How often IBKR lets itself be asked, and the penalty box for those who ask too often."""

import re
import threading
from collections import defaultdict, deque

PER_SECOND = 50  # per username under OAuth, all endpoints together
BOX_SECONDS = 10 * 60
_LIMITS: tuple[tuple[re.Pattern[str], float], ...] = tuple(
    (re.compile(pattern), seconds)
    for pattern, seconds in (
        (r"portfolio/(sub)?accounts", 5),
        (r"pa/(performance|allperiods|summary|transactions)", 15 * 60),
        (r"tickle", 1),
        (r"sso/validate", 60),
        (r"iserver/account/(trades|orders|pnl/partitioned)", 5),
    )
)


class Pacing:
    """Counts calls and says which come too early. One call too many boxes the login for ten minutes."""

    def __init__(self, *, enforced: bool) -> None:
        self.enforced = enforced
        self._calls: dict[str, deque[float]] = defaultdict(deque)
        self._boxed_until = 0.0
        self._lock = threading.Lock()

    def box(self, until: float) -> None:
        """Answer everything with 429 until then."""
        with self._lock:
            self._boxed_until = max(self._boxed_until, until)

    def unbox(self) -> None:
        with self._lock:
            self._boxed_until = 0.0

    def is_boxed(self, now: float) -> bool:
        with self._lock:
            return now < self._boxed_until

    def breaches(self, path: str, now: float, user: str) -> bool:
        """Record one call of a user; True if it came before its time. Boxes if pacing is enforced."""
        with self._lock:
            breached = self._is_early(f"{user} *", PER_SECOND, 1.0, now)
            for pattern, seconds in _LIMITS:
                if pattern.fullmatch(path):
                    breached |= self._is_early(f"{user} {path}", 1, seconds, now)
            if breached and self.enforced:
                self._boxed_until = now + BOX_SECONDS
            return breached

    def _is_early(self, key: str, allowed: int, seconds: float, now: float) -> bool:
        calls = self._calls[key]
        while calls and calls[0] <= now - seconds:
            calls.popleft()
        calls.append(now)
        return len(calls) > allowed

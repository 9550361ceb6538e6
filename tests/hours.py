"""Moments by the hour in New York, by which IBKR's interruptions go."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, preset

NEW_YORK = ZoneInfo("America/New_York")


def moment(weekday: int, hour: int, minute: int = 0) -> datetime:
    """One of the coming week; Monday is 0."""
    today = datetime.now(NEW_YORK).date()
    day: date = today + timedelta(days=(weekday - today.weekday()) % 7)
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)


def its_clock(shows: datetime) -> Fault:
    """Lets IBKR's clock show a moment. What does not need a login is as it is then."""
    return preset("clock_skew", seconds=(shows - datetime.now(NEW_YORK)).total_seconds())


WORKING = (2, 9, 30)
"""Nothing of IBKR's is reset or maintained then, in no region."""

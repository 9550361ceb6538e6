"""Those of the app, from their own folder, and one more."""

from stonks_overwatch import migrations

__path__ += migrations.__path__

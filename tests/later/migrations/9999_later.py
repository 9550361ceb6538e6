import pkgutil
from typing import ClassVar

from django.db import migrations

from stonks_overwatch import migrations as present

_LAST = max(module.name for module in pkgutil.iter_modules(present.__path__))


class Migration(migrations.Migration):
    dependencies: ClassVar = [("stonks_overwatch", _LAST)]
    operations: ClassVar = [
        migrations.RunSQL("ALTER TABLE stonks_overwatch_account ADD COLUMN later text NOT NULL DEFAULT 'new'")
    ]

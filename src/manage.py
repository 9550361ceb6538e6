#!/usr/bin/env python
"""Django's own entry, for development in a checkout; users type `stonks-overwatch`."""

from stonks_overwatch.__main__ import main

if __name__ == "__main__":
    main()

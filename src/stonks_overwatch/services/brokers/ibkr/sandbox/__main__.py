"""`python -m stonks_overwatch.services.brokers.ibkr.sandbox`: prints one line of JSON, then serves."""

import argparse
import sys

from stonks_overwatch.errors import StonksError
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox, process


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox", description="a local server that speaks IBKR's Web API")
    process.add_arguments(parser)
    try:
        process.serve(parser.parse_args(), _announce)
    except StonksError as err:
        sys.stderr.write(f"error: {err.what}\nnext step: {err.next_step}\n")
        sys.exit(1)


def _announce(sandbox: Sandbox) -> None:
    sys.stdout.write(f"{process.as_json(sandbox)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

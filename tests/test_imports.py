"""Reads every import of the product: data goes one way, and nothing reaches back."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "stonks_overwatch"
BROKERS = "services.brokers"
IBKR = f"{BROKERS}.ibkr"
SANDBOX = f"{IBKR}.sandbox"

# Folder or module -> what of ours it may import; itself it may always. The most exact entry counts.
ALLOWED: dict[str, set[str]] = {
    "engine": set(),
    "errors": set(),
    "redaction": set(),
    "paths": set(),
    "ledger": {"errors"},
    BROKERS: {"errors", "redaction", "ledger.types"},
    IBKR: {"errors", "redaction", "ledger.types", f"{BROKERS}.base"},
    f"{IBKR}.credentials": {"errors", "redaction", "paths", f"{BROKERS}.base"},
    f"{IBKR}.repositories": {"ledger.fields"},
    SANDBOX: {"errors"},
    "config": {"errors", "redaction", "paths", f"{IBKR}.credentials"},
    "config_edit": {"errors"},
    "ibkr_setup": {"config", "config_edit", "errors", "paths", "redaction", BROKERS},
    "imports": {"database", "errors", "ledger", IBKR},
    "exports": {"errors", "imports", "ledger"},
    "live": {"config", "errors", "ledger.models", "ledger.types", "reports", BROKERS},
    "reports": {"errors", "ledger", "engine"},
    "sync": {"config", "errors", "imports", "paths", "redaction", BROKERS, "ledger.store", "ledger.models"},
    "tasks": {"config", "ibkr_setup", "memory", "sync", "errors", "ledger.models", "reports"},
    "checks": {"config", "database", "errors", "ledger.models", "paths", "sync", BROKERS},
    "web": {
        "checks",
        "config",
        "demo",
        "errors",
        "ibkr_setup",
        "imports",
        "ledger.choices",
        "ledger.lots",
        "ledger.targets",
        "ledger.types",
        "live",
        "paths",
        "redaction",
        "reports",
        "sync",
        "tasks",
        BROKERS,
    },
    "management": {
        "checks",
        "config",
        "database",
        "demo",
        "errors",
        "exports",
        "ibkr_setup",
        "imports",
        "ledger.choices",
        "ledger.lots",
        "ledger.models",
        "ledger.targets",
        "ledger.types",
        "logs",
        "memory",
        "paths",
        "redaction",
        "reports",
        "sync",
        "tasks",
        BROKERS,
    },
    "management.commands.sandbox": {SANDBOX, "errors", "management.command", "paths"},
    "models": {"ledger.models", f"{IBKR}.repositories.models"},
    "settings": {"paths"},
    "urls": {"web"},
    "asgi": set(),
    "database": {"errors"},
    "demo": {"errors", "paths"},
    "logs": set(),
    "memory": set(),
    "__main__": {"demo", "paths"},
}
# Libraries that one place alone may use.
ONE_PLACE = {
    "ibind": f"{IBKR}.client",
    "numpy": "engine",
    "pyxirr": "engine",
    "uvicorn": "management.commands.run",
    "huey": "tasks",
}

FILES = sorted(
    file for file in (SOURCE / PACKAGE).rglob("*.py") if not {"migrations", "node_modules"} & {*file.parts}
)


def module_of(file: Path) -> str:
    """The module's name below the package: `ledger.store`; the package itself is the empty text."""
    parts = file.relative_to(SOURCE / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file) for file in FILES}


def imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name; one of ours by its name below the package."""
    package = [PACKAGE, *file.relative_to(SOURCE / PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.removeprefix(f"{PACKAGE}.")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{origin}.{alias.name}".removeprefix(f"{PACKAGE}.")
                yield name if name in MODULES else origin.removeprefix(f"{PACKAGE}.")


def inside(module: str, folder: str) -> bool:
    return module == folder or module.startswith(f"{folder}.")


@pytest.mark.parametrize("file", FILES, ids=lambda file: module_of(file) or PACKAGE)
def test_a_module_imports_only_what_its_folder_may(file: Path) -> None:
    module = module_of(file)
    rule = max((folder for folder in ALLOWED if inside(module, folder)), key=len, default=None)
    ours = {name for name in imports(file) if name in MODULES and name not in ("", module)}
    if rule is None:
        assert not ours, f"{module} needs a rule in ALLOWED"
        return
    wrong = {
        name
        for name in ours
        if not any(inside(name, folder) for folder in {rule, *ALLOWED[rule]})
        or (inside(name, SANDBOX) and not inside(module, SANDBOX) and SANDBOX not in ALLOWED[rule])
    }
    assert not wrong, f"{module} must not import {sorted(wrong)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: module_of(file) or PACKAGE)
def test_a_library_with_one_place_is_used_there_alone(file: Path) -> None:
    module = module_of(file)
    for name in imports(file):
        place = ONE_PLACE.get(name.partition(".")[0])
        assert place is None or inside(module, place), f"{name} is for {place} alone"


def test_every_rule_is_about_something_that_is_there() -> None:
    stale = {folder for folder in ALLOWED if not any(inside(module, folder) for module in MODULES)}
    assert not stale

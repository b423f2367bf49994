"""The form of the code, held by tests: who imports whom, how long things are, where names and settings live.

A rule is a test; what it found is the failure's text. An exception goes into the table beside the rule, with its why.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "executor", ROOT / "betfair_sandbox")
TOP_LEVEL = ("beat_schedule", "celeryconfig", "flowerconfig")

MAX_FILE_LINES = 320
MAX_FUNCTION_LINES = 60

# A part of `executor`, or the top-level package -> the parts that it may import. A part is the longest prefix listed.
ALLOWED = {
    "errors": set[str](),
    "keys": set[str](),
    "domain": {"domain", "errors"},
    "ports": {"ports", "domain", "errors"},
    "engine": {"engine", "ports", "domain", "errors"},
    "adapters": {"adapters", "ports", "domain", "errors", "keys", "settings.urls"},
    "adapters.betfair": {"adapters.betfair", "adapters.clock", "ports", "domain", "errors", "settings"},
    "adapters.redis": {"adapters.redis", "ports", "domain", "errors", "keys", "settings.urls"},
    "adapters.sql": {"adapters.sql", "ports", "domain", "errors"},
    "settings": {"settings", "domain", "errors"},
    # Of the adapters, what label values are made of: the exchange's codes.
    "observability": {"observability", "adapters.betfair.outcomes", "settings", "ports", "domain", "errors"},
    "operations": {
        "operations",
        "wiring",
        "tasks",
        "engine",
        "adapters",
        "settings",
        "ports",
        "domain",
        "errors",
        "keys",
    },
    # What acts is in `operations`; of the engine, what these acts answer with, and what it would do.
    "console": {
        "console",
        "operations",
        "app",
        "wiring",
        "engine.cancel_until_clear",
        "engine.hedging",
        "engine.manual_resolution",
        "observability",
        "settings",
        "ports",
        "domain",
        "errors",
    },
    "betfair_sandbox": {"betfair_sandbox"},
}
# Part -> what it must not import, by the start of the module's name; "*" is every part without a line.
FORBIDDEN = {
    "*": ("betfair_sandbox", "executor.cli", "executor.devstack"),
    "adapters": ("celery", "kombu"),
    "domain": ("celery", "kombu", "redis", "requests", "sqlalchemy", "prometheus_client", "tornado", "structlog"),
    "ports": ("celery", "kombu", "redis", "requests", "sqlalchemy", "prometheus_client", "tornado"),
    "engine": ("celery", "kombu", "redis", "requests", "sqlalchemy", "prometheus_client", "tornado", "time", "random"),
    "betfair_sandbox": ("celery", "kombu", "redis", "requests", "prometheus_client", "executor"),
    "tasks": ("betfair_sandbox", "executor.cli", "executor.devstack", "executor.adapters", "redis", "requests"),
    "console": ("betfair_sandbox", "executor.cli", "executor.devstack", "redis", "requests", "sqlalchemy"),
    "cli": (),  # `sandbox`, `up` and `demo` start what they are named for
    "devstack": ("executor.cli",),  # it may start the sandbox; it stands beside the system, and looks into all of it
}  # fmt: skip

# The core computes: it is given times and numbers, and asks nobody. `math` would bring floats.
DOMAIN_STDLIB = {"bisect", "collections", "dataclasses", "datetime", "decimal", "enum", "functools", "hashlib",
                 "itertools", "json", "operator", "re", "string", "types", "typing"}  # fmt: skip
DOMAIN_PACKAGES = {"executor", "pydantic"}
CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}

# `settings` reads the environment for everybody else; prometheus_client takes its folder from nowhere but there.
# `stack` hands it on to the processes that it starts, `connect_running` takes over that of an `executor up`.
READS_ENVIRONMENT = {
    "executor.settings.load",
    "executor.observability.command_counts",
    "executor.observability.exporter",
    "executor.cli.connect_running",
    "executor.devstack.stack",
}

# How keys and channels start (executor/keys.py); a task is named executor.something, which none of these matches.
KEY = re.compile(
    r"(risk:|trading:enabled|pnl:|channel:|executor:|stream:|failed:orders|positions:|exposure:|signal:|order:|market:)\S*"
)
LUA_KEY = re.compile(rf"""["']{KEY.pattern}["']""")
VAGUE_NAMES = {"base", "common", "helpers", "manager", "misc", "utils"}


def part_of(name: str) -> str:
    """Return the part that a module is in: the longest prefix that the tables list, else its first part."""
    inside = name.removeprefix("executor.")
    parts = inside.split(".")
    prefixes = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((prefix for prefix in prefixes if prefix in ALLOWED or prefix in FORBIDDEN), parts[0])


class Module:
    """A Python file of ours, parsed once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text, filename=str(path))
        parts = path.relative_to(ROOT).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.part = part_of(self.name)

    def where(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"

    def imports(self) -> Iterator[tuple[str, ast.AST]]:
        """Yield every imported module, wherever in the file the import stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.where(node)}: a relative import"
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield (full if full in names() else str(node.module)), node


@cache
def modules() -> tuple[Module, ...]:
    sources = (path for package in PACKAGES for path in sorted(package.rglob("*.py")))
    paths = [*sources, *(ROOT / f"{name}.py" for name in TOP_LEVEL)]
    return tuple(Module(path) for path in paths)


@cache
def names() -> frozenset[str]:
    paths = (path.relative_to(ROOT).with_suffix("") for package in PACKAGES for path in package.rglob("*.py"))
    return frozenset(".".join(path.parts).removesuffix(".__init__") for path in paths) | frozenset(TOP_LEVEL)


def in_part(part: str) -> Iterator[Module]:
    return (module for module in modules() if module.part == part)


def starts_with(name: str, prefixes: tuple[str, ...] | set[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


# --- who imports whom -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_what_it_may(part: str) -> None:
    allowed = {name if name == "betfair_sandbox" else f"executor.{name}" for name in ALLOWED[part]}
    members = list(in_part(part))
    assert members
    wrong = [
        f"{module.where(node)} imports {name}"
        for module in members
        for name, node in module.imports()
        if starts_with(name, {"executor", "betfair_sandbox"}) and not starts_with(name, allowed)
    ]
    assert not wrong


def test_no_part_imports_what_it_must_not() -> None:
    wrong = [
        f"{module.where(node)} imports {name}"
        for module in modules()
        for name, node in module.imports()
        if starts_with(name, FORBIDDEN.get(module.part, FORBIDDEN["*"]))
    ]
    assert not wrong


def test_no_use_case_imports_the_poll_and_placing_no_settlement() -> None:
    graph = {module.name: {name for name, _ in module.imports()} for module in modules()}

    def reached(name: str) -> set[str]:
        found, waiting = set[str](), [name]
        while waiting:
            new = {
                module for module in graph.get(waiting.pop(), set()) if module.startswith("executor.engine.")
            } - found
            found |= new
            waiting += new
        return found

    engine = {name for name in graph if name.startswith("executor.engine.")}
    assert not [name for name in sorted(engine) if "executor.engine.reconciliation" in reached(name)]
    placing = {"executor.engine.validation", "executor.engine.placement", "executor.engine.sending"}
    assert not [name for name in sorted(placing) if "executor.engine.settlement" in reached(name)]


def test_the_domain_is_pure() -> None:
    assert sys.stdlib_module_names >= DOMAIN_STDLIB
    wrong = []
    for module in in_part("domain"):
        wrong += [
            f"{module.where(node)} imports {name}"
            for name, node in module.imports()
            if name.split(".")[0] not in DOMAIN_STDLIB | DOMAIN_PACKAGES
        ]
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                wrong.append(f"{module.where(node)} has the float {node.value}")
            elif isinstance(node, ast.Name) and node.id in {"float", "open", "print", "input"}:
                wrong.append(f"{module.where(node)} uses {node.id}")
            elif isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS:
                wrong.append(f"{module.where(node)} asks the clock")
    assert not wrong


def test_imports_have_no_cycle() -> None:
    graph = {module.name: {name for name, _ in module.imports() if name in names()} for module in modules()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for imported in sorted(graph[name]):
                visit(imported, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


# Run in a process of its own: loads every module and lets none reach a socket, a program or a file to write. urllib3
# comes first: when imported, it tries whether this machine has IPv6.
_IMPORT_ALL = """
import importlib, os, sys
import urllib3
forbidden = {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.remove"}
def watch(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if event in forbidden or writes:
        raise SystemExit(f"importing {current} does I/O: {event} {args[:2]}")
current = ""
sys.addaudithook(watch)
for current in sys.argv[1:]:
    importlib.import_module(current)
"""


def test_importing_a_module_does_no_io(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-B", "-c", _IMPORT_ALL, *sorted(names())],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr


# --- sizes and names --------------------------------------------------------------------------------------------------


def test_files_and_functions_are_short() -> None:
    long = [
        f"{module.where(module.tree)} has {lines} lines"
        for module in modules()
        if (lines := len(module.text.splitlines())) > MAX_FILE_LINES
    ]
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.append(f"{module.where(node)} {node.name} has {lines} lines")
    assert not long


def test_a_module_says_what_it_is_and_is_named_for_it() -> None:
    assert not [module.name for module in modules() if not ast.get_docstring(module.tree)]
    assert not [name for name in names() if name.split(".")[-1] in VAGUE_NAMES]


def test_nothing_is_left_for_later() -> None:
    mark = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b")
    sources = [
        path for folder in (*PACKAGES, ROOT / "tests") for path in folder.rglob("*") if path.suffix in {".py", ".lua"}
    ]
    assert not [str(path) for path in sources if mark.search(path.read_text(encoding="utf-8"))]


# --- one place each ---------------------------------------------------------------------------------------------------


def docstrings(tree: ast.AST) -> set[ast.AST]:
    """Return the docstrings' nodes; prose may name keys."""
    return {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def test_keys_and_channels_are_named_in_one_file() -> None:
    wrong = []
    for module in modules():
        if module.name == "executor.keys":
            continue
        prose = docstrings(module.tree)
        wrong += [
            f"{module.where(node)} {node.value!r}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in prose
            and KEY.fullmatch(node.value)
        ]
    wrong += [str(path) for path in PACKAGES[0].rglob("*.lua") if LUA_KEY.search(path.read_text(encoding="utf-8"))]
    assert not wrong


def test_the_environment_is_read_in_one_place() -> None:
    assert names() >= READS_ENVIRONMENT
    wrong = [
        module.where(node)
        for module in modules()
        if module.name not in READS_ENVIRONMENT
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
        or (isinstance(node, ast.ImportFrom) and {"environ", "getenv"} & {alias.name for alias in node.names})
    ]
    assert not wrong

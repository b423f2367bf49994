"""What tests of the console stand on: the real `executor` program in a process of its own, and orders for it to see.

Owns nothing that lasts. Invariants: the program's environment holds what a test names and nothing else; orders come
about as they do in production, through intake, validation and placement. Units: milliseconds for deadlines.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from executor import wiring
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.paper_book import PaperBookExchange
from executor.adapters.sql.ledger import SqlLedger
from executor.devstack.redis_server import PrivateRedis
from executor.domain.signal import SignalKind
from executor.engine import accounting, placement, reconciliation, validation
from executor.engine.engine import Engine
from executor.engine.intake import receive
from executor.settings.load import Settings, load_settings

PROGRAM: Final = Path(sys.executable).with_name("executor")
PATH: Final = {"PATH": os.defpath}
MARKET: Final = "1.200000000"


@dataclass(frozen=True)
class Ran:
    """What a run of the program left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Console:
    """The program in a folder, with these settings in its environment."""

    folder: Path
    environ: Mapping[str, str]

    def run(self, *words: str, stdin: str = "") -> Ran:
        """Run a command to its end; nobody may ever see a traceback or, unless on a terminal, a colour."""
        done = subprocess.run(
            [PROGRAM, *words],
            cwd=self.folder,
            env={**PATH, **self.environ},
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=90,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command that does not end by itself."""
        return subprocess.Popen(
            [PROGRAM, *words],
            cwd=self.folder,
            env={**PATH, **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_all(self, commands: Sequence[str]) -> dict[str, Ran]:
        """Run several commands at once; none may disturb another."""
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(commands, pool.map(lambda words: self.run(*words.split()), commands), strict=True))

    def but(self, **environ: str) -> "Console":
        """Return the program with other settings."""
        return replace(self, environ={**self.environ, **environ})

    @property
    def settings(self) -> Settings:
        """What the program reads."""
        return load_settings(environ=self.environ, folder=self.folder)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Give the engine that a worker with these settings would have; its db is claimed and polled once."""
        settings = self.settings
        wiring.claim(settings)
        engine = wiring.build(settings)
        try:
            reconciliation.poll(engine)
            yield engine
        finally:
            assert isinstance(engine.ledger, SqlLedger)
            engine.ledger.close()
            if isinstance(engine.exchange, BetfairExchange | PaperBookExchange):
                engine.exchange.close()

    def trade(self, engine: Engine, signal_id: str, **changes: Any) -> str:
        """Carry a strategy signal through the whole chain; returns its order's id."""
        raw = json.dumps(message(signal_id, **changes)).encode()
        record = receive(wiring.intake(self.settings), SignalKind.STRATEGY, raw, engine.store.now(), "test:1:bridge")
        assert record is not None
        decision = validation.validate(engine, record.signal_id, record.market_id)
        assert decision.orders, decision
        placement.place(engine, record.signal_id, record.market_id)
        accounting.write_ledger(engine)
        return decision.orders[0]


def console(folder: Path, redis: PrivateRedis, environ: Mapping[str, str]) -> Console:
    """Return the program on db 0 of `redis`, in paper mode unless `environ` says otherwise."""
    ours = {"EXECUTOR_REDIS__URL": redis.url(0), "EXECUTOR_METRICS__PORT": "0", "EXECUTOR_METRICS__BRIDGE_PORT": "0"}
    return Console(folder, {**ours, **environ})


def message(signal_id: str, *, market: str = MARKET, selection: int = 1, price: object = 3, size: object = 10) -> Any:
    """Return a strategy signal: by default a back of 10 at 3."""
    return {
        "signalId": signal_id,
        "marketId": market,
        "strategy": "[bold]test",
        "primarySelection": {
            "selectionId": str(selection),
            "recommendedOdds": price,
            "stake": size,
            "betType": "Back",
        },
        "validityWindow": 30,
    }

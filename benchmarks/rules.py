"""The decision step with everything of docs/risk.md on, beside the same step with the seven rules alone.

`python -m benchmarks.rules [COUNT]`: both in one process on one private Redis, ten decisions of each in turns, so that
both meet the same machine. Exit 1 when the median is more than 1.15 times the plain one's.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from benchmarks.figures import percentile
from executor.devstack.redis_server import PrivateRedis

_MOST: Final = 1.15
_TURN: Final = 10
_WARM: Final = 40
_RUNNERS: Final = 12
_MARKET: Final = "1.300000000"


def main(words: list[str]) -> int:
    """Run both in turns and print their medians."""
    number = int(words[0]) if words else 1000
    with tempfile.TemporaryDirectory(prefix="bench-rules-") as name:
        folder = Path(name)
        with PrivateRedis(folder, append_only=False) as server:
            os.environ |= {
                "EXECUTOR_REDIS__URL": server.url(0),
                "EXECUTOR_REDIS__BROKER_URL": server.url(1),
                "EXECUTOR_DATA_DIR": str(folder / "data"),
                "EXECUTOR_LOGGING__LEVEL": "CRITICAL",
                "EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "1000000",
                "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "1000000",
            }
            taken = _measure(number)
    plain, full = (percentile(taken[kind][_WARM:], 0.5) for kind in ("plain", "full"))
    ratio = full / plain
    sys.stdout.write(f"decision p50: seven rules {plain:.3f} ms, all of it {full:.3f} ms: {ratio:.2f} x, <= {_MOST}\n")
    return 0 if ratio <= _MOST else 1


def _measure(number: int) -> dict[str, list[float]]:
    # The settings are read when `executor` is asked for them: after the environment was made.
    from executor import wiring  # noqa: PLC0415
    from executor.adapters.redis.client import connect  # noqa: PLC0415
    from executor.adapters.redis.store import RedisStore, Retention, Sums  # noqa: PLC0415
    from executor.domain.confidence import parse_scale  # noqa: PLC0415
    from executor.domain.market import Market  # noqa: PLC0415
    from executor.domain.risk import Reason  # noqa: PLC0415
    from executor.domain.signal import SignalKind  # noqa: PLC0415
    from executor.engine import limits, reconciliation  # noqa: PLC0415
    from executor.engine.intake import receive  # noqa: PLC0415
    from executor.engine.placement import release  # noqa: PLC0415
    from executor.engine.validation import validate  # noqa: PLC0415
    from executor.observability import exporter  # noqa: PLC0415
    from executor.observability.logs import configure_logging  # noqa: PLC0415
    from executor.ports import Funds  # noqa: PLC0415

    settings = wiring.get_settings()
    exporter.prepare(settings.data_dir, 0)
    configure_logging(settings, process="bench")
    wiring.claim(settings)
    plain = wiring.get_engine()
    limits.apply_limits(plain, missing_only=False)
    rules = replace(
        plain.policy.rules, netting=True, check_funds=True, currency="GBP", confidence=parse_scale("0.5:0.25,0.9:1")
    )
    store = RedisStore(connect(settings.redis.url), settings.identity, Retention(3600, 3600, 600), Sums(netting=True))
    engines = {"plain": plain, "full": replace(plain, store=store, policy=replace(plain.policy, rules=rules))}
    plain.accounts.save_currency("EUR")
    plain.accounts.save_rates({"EUR": Decimal("1.15")}, "GBP")
    names = tuple(range(1, _RUNNERS + 1))
    facts = Market(_MARKET, "WIN", "ODDS", "CLASSIC", winners=1, runners=names, complete=True, raw="x" * 8000)
    plain.market_facts.save_facts([replace(facts, read_at=plain.store.now())], [])
    intake, taken = wiring.intake(settings), {kind: list[float]() for kind in engines}
    for turn in range((number + _WARM) // _TURN):
        reconciliation.poll(plain)
        plain.accounts.save_account(Funds(Decimal(10_000_000), Decimal(0)), Decimal(0))
        for kind, engine in engines.items():
            signals = [f"{kind}-{turn}-{at}" for at in range(_TURN)]
            for at, signal_id in enumerate(signals):
                raw = _message(signal_id, at % _RUNNERS + 1)
                if receive(intake, SignalKind.STRATEGY, raw, engine.store.now(), "bench") is None:
                    raise RuntimeError("the signal was not new")
            for signal_id in signals:
                begun = time.perf_counter()
                step = validate(engine, signal_id, _MARKET)
                taken[kind].append((time.perf_counter() - begun) * 1000)
                if step.verdict != "ACCEPTED":
                    raise RuntimeError(f"the signal was {step}")
            for signal_id in signals:
                release(engine, signal_id, _MARKET, Reason.TRADING_DISABLED, "only measured")
    return taken


def _message(signal_id: str, selection_id: int) -> bytes:
    leg = {"selectionId": str(selection_id), "recommendedOdds": 3, "stake": 2, "betType": "Back"}
    message = {"signalId": signal_id, "marketId": _MARKET, "strategy": "bench", "confidence": 0.8, "validityWindow": 60}
    return json.dumps({**message, "primarySelection": leg}).encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

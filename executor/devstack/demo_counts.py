"""The demo's reckoning: every number from every place that has it, side by side.

Invariant: nothing is taken from what the demo itself did but the number of messages it published and what it expected
of each; all else is read back: records in Redis, counters of all instances, the ledger, the exchange's own books.
Amounts in account currency.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, cast

import redis
import requests
from prometheus_client.parser import text_string_to_metric_families

from executor import keys, wiring
from executor.adapters.redis.client import connect
from executor.adapters.redis.records import decode_signal
from executor.devstack.demo_signals import ACCEPTED, Publish
from executor.devstack.redis_server import HOST
from executor.devstack.sandbox_client import Json, SandboxClient
from executor.domain.money import ZERO
from executor.domain.order import UNPLACED, Order, TradeKind
from executor.domain.risk import Reason
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.settings.load import Settings

_PREFIX: Final = "aibetting_executor_"
_TIMEOUT_S: Final = 10
_MANY: Final = 10_000  # far more than a demo makes
_REFUSED: Final = frozenset({SignalStatus.REJECTED, SignalStatus.EXPIRED})

Number = int | Decimal


@dataclass(frozen=True, slots=True)
class Row:
    """One number as several places know it."""

    name: str
    values: Mapping[str, Number]

    @property
    def agrees(self) -> bool:
        """Tell whether all say the same."""
        return len(set(self.values.values())) == 1

    @property
    def value(self) -> Number:
        """Return what the first place says."""
        return next(iter(self.values.values()))


class Counters:
    """`/metrics` of every instance, added up."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._sums: Counter[tuple[str, str | None]] = Counter()  # (counter, reason, None for all) -> sum
        with requests.Session() as session:
            session.trust_env = False  # loopback, whatever proxy the environment names
            for port in ports:
                self._add(session.get(f"http://{HOST}:{port}/metrics", timeout=_TIMEOUT_S).text)

    def _add(self, page: str) -> None:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    name = sample.name.removeprefix(_PREFIX)
                    for reason in {None, sample.labels.get("reason")}:
                        self._sums[name, reason] += int(sample.value)

    def __call__(self, name: str, reason: str | None = None) -> int:
        """Return a counter's sum over all instances and labels, or over those with one reason."""
        return self._sums[name, reason]


def _signals(client: "redis.Redis") -> list[SignalRecord]:
    names = list(client.scan_iter(keys.signal("*"), count=1000))
    texts = cast("list[str | None]", client.mget(names)) if names else []
    return [decode_signal(text) for text in texts if text]


def _fills(client: "redis.Redis") -> int:
    entries = cast("list[tuple[str, dict[str, str]]]", client.xrange(keys.TRADES))
    return sum(fields["type"] in {TradeKind.FILL, TradeKind.VOID} for _, fields in entries)


def collect_counts(
    settings: Settings, ports: Iterable[int], sandbox: SandboxClient, sent: Sequence[Publish]
) -> list[Row]:
    """Read every count from every place that has it."""
    count = Counters(ports)
    client = connect(settings.redis.url)
    signals, fills = _signals(client), _fills(client)
    orders = wiring.store(settings).recent_orders(_MANY)
    return [
        *_of_signals(count, signals, sent),
        *_of_reasons(count, signals, sent),
        *_of_orders(count, orders, sandbox),
        *_of_money(settings, orders, fills, sandbox),
    ]


def _of_signals(count: Counters, signals: Sequence[SignalRecord], sent: Sequence[Publish]) -> list[Row]:
    repeats = count("signals_rejected_total", Reason.DUPLICATE_SIGNAL)
    refused = sum(record.status in _REFUSED for record in signals)
    accepted = sum(message.expected == ACCEPTED for message in sent)
    rejected = count("signals_rejected_total")
    return [
        Row(
            "signals",
            {
                "published": len(sent),
                "metrics": count("signals_received_total"),
                "Redis + repeats": len(signals) + repeats,
            },
        ),
        Row(
            "accepted",
            {
                "Redis": len(signals) - refused,
                "published - rejected": len(sent) - rejected,
                "script": accepted,
            },
        ),
        Row(
            "rejected",
            {
                "metrics": rejected,
                "Redis + repeats": refused + repeats,
                "script": len(sent) - accepted,
            },
        ),
        Row("signals without an end", {"Redis": sum(not record.finished_at for record in signals), "script": 0}),
    ]


def _of_reasons(count: Counters, signals: Sequence[SignalRecord], sent: Sequence[Publish]) -> list[Row]:
    expected = Counter(message.expected for message in sent)
    recorded = Counter(record.reason for record in signals if record.status in _REFUSED)
    rows = []
    for reason in Reason:
        values: dict[str, Number] = {
            "metrics": count("signals_rejected_total", reason),
            "script": expected[reason],
        }
        if reason is not Reason.DUPLICATE_SIGNAL:  # a repeat is counted and leaves no record of its own
            values["Redis"] = recorded[reason]
        if any(values.values()):
            rows.append(Row(f"rejected: {reason}", values))
    return rows


def _of_orders(count: Counters, orders: Sequence[Order], sandbox: SandboxClient) -> list[Row]:
    bets = sandbox.orders()
    full = sum(bet["sizeMatched"] == bet["priceSize"]["size"] for bet in bets)
    ended = sum(bet["sizeCancelled"] + bet["sizeLapsed"] > 0 for bet in bets)
    return [
        Row(
            "placed",
            {
                "exchange": len(bets),
                "its journal": _placed_by_journal(sandbox.journal("placeOrders")),
                "metrics": count("orders_placed_total"),
                "Redis": sum(bool(order.bet_id) for order in orders),
                "references there": len({bet.get("customerOrderRef") for bet in bets}),
            },
        ),
        Row(
            "matched",
            {
                "exchange": full,
                "metrics": count("orders_matched_total"),
                "Redis": sum(bool(order.bet_id) and order.size_matched == order.size for order in orders),
            },
        ),
        Row(
            "cancelled",
            {
                "exchange": ended,
                "metrics": count("orders_cancelled_total"),
                "Redis": sum(order.size_cancelled + order.size_lapsed > ZERO for order in orders),
                "placed - matched": len(bets) - full,
            },
        ),
        Row(
            "failed",
            {
                "metrics": count("orders_failed_total"),
                "Redis": sum(order.status in UNPLACED for order in orders),
            },
        ),
    ]


def _placed_by_journal(calls: Iterable[Json]) -> int:
    return sum(len(call["params"]["instructions"]) for call in calls if call["status"] == "SUCCESS")


def _of_money(settings: Settings, orders: Sequence[Order], fills: int, sandbox: SandboxClient) -> list[Row]:
    ledger = wiring.ledger(settings)
    entries = ledger.entries(_MANY)
    matched = sum((entry["size"] if entry["kind"] == TradeKind.FILL else -entry["size"] for entry in entries), ZERO)
    booked = sum((net for day in ledger.profits(settings.identity).values() for net in day.values()), ZERO)
    count = ledger.count()
    ledger.close()
    state = wiring.state(settings).read()
    won = sum((account["balance"] for account in sandbox.accounts()), ZERO) - settings.risk.bankroll
    return [
        Row("trades", {"ledger": count, "Redis": fills}),
        Row(
            "amount matched",
            {
                "ledger": matched,
                "exchange": sum((bet["sizeMatched"] for bet in sandbox.orders()), ZERO),
                "Redis": sum((order.size_matched for order in orders), ZERO),
            },
        ),
        Row(
            "net profit",
            {
                "Redis": state.total_pnl if state.total_pnl is not None else ZERO,
                "ledger": booked,
                "account there": won,
            },
        ),
        Row("exposure left", {"Redis": state.total_exposure, "script": ZERO}),
    ]

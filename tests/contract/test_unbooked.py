"""What is laid over the ledger before it is booked is what the ledger tells afterwards, wherever booking stands."""

from contextlib import closing
from pathlib import Path

import pytest
import redis
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.redis_ports import RedisPorts
from support.store_worlds import IDENTITY, settled_entry

from executor import keys
from executor.adapters.redis.client import hash_of
from executor.adapters.redis.unbooked import unbooked_entries
from executor.adapters.sql.ledger import SqlLedger
from executor.domain.ledger_entry import LedgerEntry, SignalEnd, decode_entry
from executor.operations.unbooked import with_ends, with_settlements

DAY = "2026-11-20"
OTHER = "live another.host ben bot"
WHICH = st.tuples(
    st.sampled_from(["settlement", "void", "part void", "end"]),
    st.integers(1, 3),
    st.integers(-5, 5),
    st.sampled_from([IDENTITY, IDENTITY, OTHER]),
)


def entry_of(kind: str, number: int, net: int, identity: str) -> LedgerEntry:
    """Return an entry about one of three bets or signals."""
    if kind == "end":
        texts = {"kind": "strategy", "strategy": f"s{net % 2}", "market_id": "1.1", "detail": f"{net}"}
        status = "REJECTED" if net % 2 else "COMPLETED"
        times = {"received_at": 1000, "finished_at": 2000 + abs(net)}
        return SignalEnd(signal_id=f"signal-{number}", status=status, reason="", identity=identity, **texts, **times)  # type: ignore[arg-type]
    bet = settled_entry(DAY, f"bet-{number}", f"{net}.00", identity=identity, at=f"{DAY}T12:00:0{abs(net)}.000Z")
    if kind != "settlement":
        bet |= {"type": "void", "size_matched": "0" if kind == "void" else "4.00"}
    return decode_entry(bet)


@example([("end", 3, 0, IDENTITY), ("end", 3, 0, OTHER)], 0, 0)
@given(st.lists(WHICH, max_size=12), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_it_is_what_the_ledger_tells_later(
    tmp_path_factory: pytest.TempPathFactory, which: list[tuple[str, int, int, str]], booked: int, acknowledged: int
) -> None:
    entries = [(f"{at + 1}-1", entry_of(*one)) for at, one in enumerate(which)]
    waiting = entries[min(booked, acknowledged) :]  # what is booked may not be acknowledged yet
    folder = tmp_path_factory.mktemp("ledger")
    with closing(SqlLedger(f"sqlite:///{folder}/ledger.db")) as ledger:
        ledger.write(entries[:booked])
        shown = with_settlements(ledger.settled(IDENTITY), waiting, IDENTITY)
        wanted = {"strategy": "s1"}
        ends = with_ends(ledger.ended(50), waiting, {})
        some = with_ends(ledger.ended(50, filters=wanted), waiting, wanted)
        ledger.write(entries)
        assert shown == ledger.settled(IDENTITY)
        assert ends == ledger.ended(50)
        assert some == ledger.ended(50, filters=wanted)


def test_a_look_takes_nothing_from_the_ledger(redis_client: "redis.Redis", tmp_path: Path) -> None:
    del tmp_path
    feed = RedisPorts.on(redis_client, redis_client, IDENTITY).trade_feed
    assert unbooked_entries(redis_client, 10) == []
    ids = [str(redis_client.xadd(keys.TRADES, hash_of(settled_entry(DAY, f"b{at}", "1.00")))) for at in range(4)]
    assert [entry_id for entry_id, _ in unbooked_entries(redis_client, 10)] == ids
    assert [entry_id for entry_id, _ in feed.read_trades(2)] == ids[:2]
    feed.acknowledge_trades(ids[:1])
    assert [entry_id for entry_id, _ in unbooked_entries(redis_client, 10)] == ids[1:]
    feed.acknowledge_trades(ids[1:2])
    assert [entry_id for entry_id, _ in unbooked_entries(redis_client, 10)] == ids[2:]
    assert [entry_id for entry_id, _ in feed.read_trades(5)] == ids[2:]
    feed.acknowledge_trades(ids[2:])
    assert unbooked_entries(redis_client, 10) == []
    redis_client.delete(keys.TRADES)
    redis_client.set(keys.TRADES, "junk")
    assert unbooked_entries(redis_client, 10) == []

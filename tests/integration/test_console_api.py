"""The HTTP API without a browser: every route of the contract, on a real Redis and ledger."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support.console_rig import PASSWORD, ConsoleRig, console_rig
from support.store_worlds import settled_entry

from executor import keys, wiring
from executor.adapters.redis.client import hash_of
from executor.console.app import make_app, schema
from executor.console.principal import Role
from executor.devstack.redis_server import PrivateRedis, free_port
from executor.domain.signal import SignalKind
from executor.engine.intake import receive

MARKET = "1.200000000"


@pytest.fixture
def rig(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis") -> Iterator[ConsoleRig]:
    del redis_client
    with console_rig(tmp_path, private_redis) as made:
        yield made


def test_status_is_that_of_the_command(rig: ConsoleRig) -> None:
    viewer = rig.bearer(Role.VIEWER)
    rig.program.trade(rig.engine, "signal-1")
    found, printed = viewer.get("/api/status").json(), rig.program.run("status", "--json").json
    moving = {"at", "processes", "last_success", "queues"}
    assert {name: value for name, value in found.items() if name not in moving} == {
        name: value for name, value in printed.items() if name not in moving
    }
    assert found["exposure"]["total"] == "10.00"
    assert {line["name"]: line["result"] for line in viewer.get("/api/check").json()}["redis"] == "ok"


def test_a_halt_is_read_back_and_booked_and_a_resume_names_what_is_in_the_way(
    rig: ConsoleRig, redis_client: "redis.Redis"
) -> None:
    anna = rig.person("anna")
    answer = anna.post("/api/trading/halt", json={"reason": "prices look wrong", "cancel": True})
    assert (answer.status_code, answer.json()["enabled"], answer.json()["cancel"]) == (200, False, "done")
    assert redis_client.get("trading:enabled") == "false"
    assert anna.get("/api/status").json()["trading"]["enabled"] is False
    assert anna.post("/api/trading/halt").json()["enabled"] is False, "no body is needed"
    redis_client.set("pnl:daily:" + anna.get("/api/status").json()["at"][:10], "-900")
    resumed = anna.post("/api/trading/resume").json()
    assert resumed["enabled"] is True
    assert "daily loss limit" in resumed["obstacles"][0]
    other = anna.post("/api/trading/resume", json={"expect_identity": "live somewhere"})
    assert (other.status_code, other.json()["code"]) == (409, "not_allowed")
    rig.book()
    acts = anna.get("/api/audit").json()["items"]
    assert [(act["who"], act["via"], act["action"]) for act in acts[:2]] == [
        ("anna", "console", "resume"),
        ("anna", "console", "halt"),
    ]
    assert acts[-1]["action"] in {"halt", "cancel"}


def test_limits_as_the_reference_sends_them(rig: ConsoleRig, redis_client: "redis.Redis") -> None:
    operator = rig.bearer(Role.OPERATOR)
    sent = {"MaxStakePerOrder": 50, "maxDailyLoss": "2000", "MaxRiskPerTradePercent": 0.01}
    answer = operator.post("/api/risk/limits", json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["old"] == {"MaxStakePerOrder": "100", "MaxDailyLoss": "500", "MaxRiskPerTradePercent": "0.02"}
    assert answer.json()["new"] == {"MaxStakePerOrder": "50", "MaxDailyLoss": "2000", "MaxRiskPerTradePercent": "0.01"}
    assert redis_client.hget("risk:limits", "MaxStakePerOrder") == "50"
    raw = json.dumps(
        {
            "signalId": "too-much",
            "marketId": MARKET,
            "primarySelection": {"selectionId": "1", "recommendedOdds": 2, "stake": 60, "betType": "Back"},
        }
    )
    from executor import wiring  # noqa: PLC0415
    from executor.domain.signal import SignalKind  # noqa: PLC0415
    from executor.engine import validation  # noqa: PLC0415
    from executor.engine.intake import receive  # noqa: PLC0415

    receive(wiring.intake(rig.console.settings), SignalKind.STRATEGY, raw.encode(), rig.engine.store.now(), "b:1:x")
    verdict = validation.validate(rig.engine, "too-much", MARKET)
    assert (verdict.verdict, verdict.reason) == ("REJECTED", "MAX_STAKE_PER_ORDER"), "the next signal obeys"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"MaxStakePerOrder": -1}, 422, "MaxStakePerOrder"),
        ({"MaxStakePerOrder": "NaN"}, 422, "MaxStakePerOrder"),
        ({"MaxStakePerOrder": "1e400"}, 422, "MaxStakePerOrder"),
        ({"MaxStakePerOrder": True}, 422, "MaxStakePerOrder"),
        ({"MaxStakePerOrder": None}, 422, "MaxStakePerOrder"),
        ({"MaxStakePerOrder": [1]}, 422, "MaxStakePerOrder"),
        ({"MaxRiskPerTradePercent": 2}, 422, "MaxRiskPerTradePercent"),
        ({"MaxStake": 5}, 422, "MaxStake"),
        ({"MaxStakePerOrder": 5, "maxstakeperorder": 6}, 422, "given twice"),
        ({}, 422, "no limit"),
        ([1], 422, "body"),
        ("5", 422, "body"),
    ],
)
def test_wrong_limits_name_the_field_and_change_nothing(
    rig: ConsoleRig, redis_client: "redis.Redis", body: Any, status: int, says: str
) -> None:
    before = redis_client.hgetall("risk:limits")
    answer = rig.bearer(Role.OPERATOR).post("/api/risk/limits", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert says in answer.text
    if says.startswith("Max"):
        assert answer.json()["errors"][0]["field"] == says
    assert redis_client.hgetall("risk:limits") == before


@pytest.mark.parametrize("raw", [b'{"Bankroll": 1e400}', b'{"Bankroll": Infinity}', b'{"Bankroll": NaN}'])
def test_numbers_that_are_none_are_422_not_500(rig: ConsoleRig, raw: bytes) -> None:
    answer = rig.bearer(Role.OPERATOR).post(
        "/api/risk/limits", content=raw, headers={"content-type": "application/json"}
    )
    assert answer.status_code in {400, 422}, answer.text


def test_what_is_no_json_is_400(rig: ConsoleRig) -> None:
    operator = rig.bearer(Role.OPERATOR)
    for path in ("/api/risk/limits", "/api/trading/halt", "/api/orders/cancel"):
        answer = operator.post(path, content=b"{no", headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (400, "not_json"), path


def test_two_operators_at_once_lose_no_change_silently(rig: ConsoleRig) -> None:
    anna, program = rig.person("anna"), rig.bearer(Role.OPERATOR)
    seen = anna.get("/api/risk/limits")
    version = seen.headers["etag"]
    assert version.strip('"') == seen.json()["version"]
    assert program.post("/api/risk/limits", json={"MaxDailyLoss": 300}).status_code == 200
    late = anna.post("/api/risk/limits", json={"MaxDailyLoss": 900}, headers={"if-match": version})
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")
    assert anna.get("/api/risk/limits").json()["limits"]["MaxDailyLoss"] == "300"
    fresh = anna.get("/api/risk/limits").json()["version"]
    assert anna.post("/api/risk/limits", json={"MaxDailyLoss": 900}, headers={"if-match": fresh}).status_code == 200
    for tags, code in (("*", 200), (f'"older", {version}', 412), ('"older", "oldest"', 412)):
        assert anna.post("/api/risk/limits", json={"MaxDailyLoss": 901}, headers={"if-match": tags}).status_code == code
    tag = anna.get("/api/risk/limits").headers["etag"]
    both = anna.post("/api/risk/limits", json={"MaxDailyLoss": 900}, headers={"if-match": f'"older", {tag}'})
    assert both.status_code == 200


def test_orders_signals_trades_and_markets(rig: ConsoleRig) -> None:
    viewer = rig.bearer(Role.VIEWER)
    ids = [rig.program.trade(rig.engine, f"signal-{number}", size=2 + number) for number in range(5)]
    rig.book()
    first = viewer.get("/api/orders?limit=2").json()
    second = viewer.get("/api/orders", params={"limit": 2, "after": first["next"]}).json()
    third = viewer.get("/api/orders", params={"limit": 2, "after": second["next"]}).json()
    paged = [order["order_id"] for page in (first, second, third) for order in page["items"]]
    assert sorted(paged) == sorted(ids)
    assert third["next"] is None
    assert viewer.get(f"/api/orders/{ids[0]}").json()["price"] == "3.00"
    assert viewer.get("/api/orders/nothing").json()["code"] == "not_found"
    biggest = viewer.get("/api/orders?sort=-size&limit=1").json()["items"][0]
    assert biggest["size"] == "6.00"
    assert viewer.get("/api/orders?status=PENDING").json()["items"] == []
    assert viewer.get("/api/orders?sort=nonsense").status_code == 422
    assert viewer.get("/api/orders?limit=100000").status_code == 422
    assert viewer.get("/api/orders?after=nonsense").status_code == 422
    for since, code in (("", 200), ("2026-02-28", 200), ("2026-02-30", 422), ("2026-99-99", 422), ("today", 422)):
        assert viewer.get("/api/pnl", params={"since": since}).status_code == code, since
    assert viewer.get("/api/trades", params={"market": "1.1\0"}).status_code == 422
    assert viewer.get("/api/signals", params={"strategy": "a\0"}).status_code == 422
    journey = viewer.get("/api/signals/signal-1").json()
    assert [step["what"] for step in journey["steps"]][:3] == [
        "received",
        "accepted, exposure reserved",
        "sent to the exchange",
    ]
    assert journey["steps"][-1]["what"] == "completed"
    assert all(step["at"].endswith("Z") for step in journey["steps"])
    assert journey["trades"][0]["size"] == "3.00"
    assert json.loads(journey["payload"])["signalId"] == "signal-1"
    page = viewer.get("/api/signals?limit=3").json()
    rest = viewer.get("/api/signals", params={"limit": 3, "after": page["next"]}).json()
    assert len({signal["signal_id"] for signal in page["items"] + rest["items"]}) == 5
    assert len(viewer.get("/api/signals?status=REJECTED").json()["items"]) == 0
    trades = viewer.get("/api/trades?limit=3").json()
    assert len(trades["items"]) == 3
    assert len(viewer.get("/api/trades", params={"limit": 3, "after": trades["next"]}).json()["items"]) == 2
    market = viewer.get(f"/api/markets/{MARKET}").json()
    assert market["selections"][0] | {} == {
        "selection_id": 1,
        "back_size": "20.00",
        "back_price": "3.0000",
        "lay_size": "0",
        "lay_price": "0",
        "open_size": "0",
        "exposure": "20.00",
        "if_it_wins": "40.00",
    }
    assert market["if_none_wins"] == "-20.00"
    assert viewer.get("/api/markets/1.1").status_code == 404


def test_what_the_ledger_has_not_got_yet_is_shown_all_the_same(rig: ConsoleRig, redis_client: "redis.Redis") -> None:
    viewer = rig.person("vic")
    today = viewer.get("/api/status").json()["at"][:10]
    settled = settled_entry(today, "bet-1", "7.35", identity="paper")
    redis_client.xadd("stream:trades", hash_of(settled))
    redis_client.mset({f"pnl:daily:{today}": "7.35", "pnl:total": "7.35"})
    receive(
        wiring.intake(rig.program.settings), SignalKind.STRATEGY, b'{"signalId": "odd"}', rig.engine.store.now(), "b"
    )
    deadline = time.monotonic() + 5
    while "+7.35" not in (overview := viewer.get("/").text):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert overview.count("+7.35") >= 3, "the tile, the sum, and the curve"
    assert "1 bet settled today" in overview
    page = viewer.get("/pnl").text
    assert page.count("+7.35") >= 4
    assert "entries wait" not in page
    assert viewer.get("/api/pnl").json()["total"]["net_profit"] == "7.35"
    assert rig.program.run("pnl", "--json").json["total"]["net_profit"] == "7.35"
    assert [row["signal_id"] for row in rig.program.run("signals", "--json").json] == ["odd"]
    assert [row["signal_id"] for row in viewer.get("/api/signals").json()["items"]] == ["odd"]
    assert viewer.get("/api/signals?reason=MAX_DAILY_LOSS").json()["items"] == []
    redis_client.set("pnl:total", "9.00")
    rig.console.cache.clear()
    assert "entries wait" in viewer.get("/pnl").text


def test_paper_positions_are_cleared_and_their_profit_is_read(rig: ConsoleRig) -> None:
    operator = rig.bearer(Role.OPERATOR)
    rig.program.trade(rig.engine, "signal-1")
    assert operator.post("/api/paper/clear").json() == {"ended": 1}
    rig.book()
    found = operator.get("/api/pnl").json()
    assert (found["total"]["bets"], found["by_strategy"][0]["strategy"]) == (1, "[bold]test")
    text = operator.get("/api/pnl?format=csv&by=market")
    assert text.headers["content-type"].startswith("text/csv")
    assert text.text.splitlines() == ["market,bets,profit,commission,net_profit", f"{MARKET},1,0,0,0"]
    assert operator.get("/api/pnl?since=yesterday").status_code == 422


def test_cancels_say_what_came_of_each(rig: ConsoleRig) -> None:
    operator = rig.bearer(Role.OPERATOR)
    order = rig.program.trade(rig.engine, "signal-1")
    answer = operator.post(f"/api/orders/{order}/cancel")
    assert answer.status_code == 200
    assert answer.json()["state"] == "not all"
    assert "MATCHED" in answer.json()["not_cancelled"][0]
    assert operator.post("/api/orders/cancel", json={"all": True}).json() == {
        "state": "done",
        "cancelled": [],
        "not_cancelled": [],
    }
    assert operator.post("/api/orders/cancel", json={}).status_code == 422
    assert operator.post("/api/orders/cancel", json={"ids": ["x"], "all": True}).status_code == 422
    assert operator.post("/api/orders/nothing/cancel").status_code == 404
    assert operator.post(f"/api/orders/{order}/resolve", json={}).status_code == 422
    refused = operator.post(f"/api/orders/{order}/resolve", json={"not_placed": True})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_allowed")
    assert operator.post("/api/orders/cancel", json={"ids": [], "every": 1}).json()["errors"][0]["field"] == "every"


def test_failed_tasks_are_retried_and_discarded(rig: ConsoleRig) -> None:
    operator = rig.bearer(Role.OPERATOR)
    rig.program.trade(rig.engine, "signal-1")
    rig.console.access.failed.keep("place-signal-1", {"task": "executor.place_order", "signal_id": "signal-1"})
    rig.console.access.failed.keep("a/b?c", {"task": "executor.place_order", "signal_id": "gone"})
    assert {task["task_id"] for task in operator.get("/api/failed").json()} == {"place-signal-1", "a/b?c"}
    again = operator.post("/api/failed/place-signal-1/retry", json={"force": True})
    assert (again.status_code, again.json()["code"]) == (409, "not_allowed")
    assert "MATCHED" in again.json()["detail"]
    assert operator.post("/api/failed/nothing/retry").status_code == 404
    assert operator.delete("/api/failed/a%2Fb%3Fc").status_code == 204
    assert operator.delete("/api/failed/a%2Fb%3Fc").status_code == 404
    assert [task["task_id"] for task in operator.get("/api/failed").json()] == ["place-signal-1"]


def test_without_redis_reads_are_503_and_health_says_so(
    rig: ConsoleRig, tmp_path: Path, private_redis: PrivateRedis
) -> None:
    del private_redis
    viewer = rig.bearer(Role.VIEWER)
    assert rig.client().get("/health").json() == {"status": "ok", "redis": "ok"}
    from executor.errors import StoreUnavailable  # noqa: PLC0415

    def away() -> None:
        raise StoreUnavailable("Redis: away")

    rig.console.access.state.read = away  # type: ignore[method-assign, assignment]
    rig.console.cache.clear()
    assert rig.client().get("/health").status_code == 503
    answer = viewer.get("/api/status")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "redis_unavailable", "1")
    page = rig.person("vic").get("/")
    assert page.status_code == 503
    assert "Unknown" in page.text
    assert tmp_path.exists()


def test_a_ledger_that_is_away_stops_no_halt(rig: ConsoleRig, redis_client: "redis.Redis") -> None:
    anna = rig.person("anna")
    folder = rig.console.settings.data_dir
    rig.console.access.ledger.close()
    (folder / "ledger.db").unlink(missing_ok=True)
    (folder / "ledger.db").mkdir()
    assert anna.get("/api/trades").json()["code"] == "ledger_unavailable"
    assert anna.get("/").status_code == 200, "the overview shows what it can"
    assert anna.post("/api/trading/halt").json()["enabled"] is False
    assert redis_client.get("trading:enabled") == "false"


def test_the_description_is_the_one_that_is_committed(rig: ConsoleRig) -> None:
    found = schema(make_app(rig.console))
    committed = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert found == committed, "write it anew: make openapi"
    assert rig.bearer(Role.VIEWER).get("/api/openapi.json").json()["paths"].keys() == committed["paths"].keys()
    assert rig.client().get("/api/openapi.json").status_code == 401
    assert PASSWORD not in json.dumps(found)


def signal(signal_id: str, **changes: Any) -> dict[str, Any]:
    primary = {"selectionId": "1", "recommendedOdds": 3, "stake": 10, "betType": "Back"}
    return {"signalId": signal_id, "marketId": MARKET, "strategy": "s", "primarySelection": primary, **changes}


def test_a_signal_over_http_is_recorded_once_and_nobody_need_listen(
    rig: ConsoleRig, redis_client: "redis.Redis"
) -> None:
    publisher = rig.bearer(Role.PUBLISHER, "strategies")
    answer = publisher.post("/api/signals", json=signal("http-1", unknownField=1))
    assert (answer.status_code, answer.headers["location"]) == (202, "/api/signals/http-1")
    assert (answer.json()["status"], answer.json()["market_id"]) == ("RECEIVED", MARKET)
    assert redis_client.get("signal:http-1") is not None
    again = publisher.post("/api/signals", json=signal("http-1"))
    assert (again.status_code, again.json()["received_at"]) == (200, answer.json()["received_at"])
    assert publisher.get("/api/signals/http-1").json()["payload"]
    other = rig.bearer(Role.PUBLISHER, "others")
    assert other.get("/api/signals/http-1").json()["code"] == "not_permitted"
    assert rig.bearer(Role.VIEWER).get("/api/signals/http-1").status_code == 200
    assert [record.signal_id for record in rig.dispatched] == ["http-1"], "one chain, not two"


def test_a_surebet_sent_again_is_known_by_its_content(rig: ConsoleRig) -> None:
    publisher = rig.bearer(Role.PUBLISHER)
    surebet = {
        "marketId": MARKET,
        "backSelectionId": 1,
        "backOdds": 3,
        "stakeBack": 10,
        "laySelectionId": 1,
        "layOdds": 3,
    }
    first = publisher.post("/api/signals", json={**surebet, "stakeLay": 10})
    assert (first.status_code, first.json()["kind"]) == (202, "surebet")
    again = publisher.post("/api/signals", json={**surebet, "stakeLay": 10})
    assert (again.status_code, again.json()["signal_id"]) == (200, first.json()["signal_id"])


@pytest.mark.parametrize(
    ("raw", "status", "field"),
    [
        (b"{no", 400, ""),
        (b"", 400, ""),
        (b"[1]", 422, "message"),
        (json.dumps(signal("x", marketId="what")).encode(), 422, "marketId"),
        (json.dumps(signal("x", primarySelection={"selectionId": 1})).encode(), 422, "primarySelection"),
        (b'{"signalId": "x", "marketId": "1.2", "primarySelection": {"stake": NaN}}', 422, "message"),
        (b"[" * 3000, 400, ""),
        (b"eyJhbGciOiJub25lIn0.e30.", 422, "signature"),
    ],
)
def test_what_is_no_signal_is_named_and_recorded(rig: ConsoleRig, raw: bytes, status: int, field: str) -> None:
    answer = rig.bearer(Role.PUBLISHER).post("/api/signals", content=raw)
    assert answer.status_code == status, answer.text
    if field:
        assert answer.json()["code"] == "malformed_signal"
        assert answer.json()["errors"][0]["field"].startswith(field)
    rig.book()
    ended = rig.bearer(Role.VIEWER, "looker").get("/api/signals").json()["items"]
    assert [(signal["status"], signal["reason"]) for signal in ended] == [("REJECTED", "MALFORMED_SIGNAL")]


def test_a_publisher_who_hurries_is_told_to_wait(rig: ConsoleRig) -> None:
    rig.console.pace._clock = lambda: 1.0
    publisher = rig.bearer(Role.PUBLISHER)
    codes = [publisher.post("/api/signals", json=signal(f"fast-{number}")).status_code for number in range(32)]
    assert codes == [202] * 30 + [429] * 2


def test_events_begin_with_a_snapshot_and_tell_what_happens(rig: ConsoleRig) -> None:
    import asyncio  # noqa: PLC0415

    from executor import wiring  # noqa: PLC0415
    from executor.console.events import Events  # noqa: PLC0415

    events = Events(wiring.updates(rig.console.settings))

    async def listen() -> list[str]:
        found: list[str] = []
        async for text in events.stream(lambda: {"at": "now"}):
            found.append(text)
            if len(found) == 1:
                await asyncio.sleep(0.5)
                await asyncio.to_thread(rig.person("anna").post, "/api/trading/halt", json={})
            if any(line.startswith("event: trading") for line in found):
                break
        return found

    found = asyncio.run(asyncio.wait_for(listen(), 20))
    events.stop()
    assert found[0] == 'event: snapshot\ndata: {"at": "now"}\n\n'
    assert any('"trading_disabled"' in line for line in found)


@pytest.mark.slow
def test_a_console_that_cannot_listen_says_so_in_a_line(rig: ConsoleRig, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no certificate", encoding="utf-8")
    tls = {"EXECUTOR_CONSOLE__TLS_CERTIFICATE": str(nothing), "EXECUTOR_CONSOLE__TLS_KEY": str(nothing)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for wrong, named in (
            ({"EXECUTOR_CONSOLE__PORT": port}, "EXECUTOR_CONSOLE__PORT"),
            ({"EXECUTOR_CONSOLE__PORT": str(free_port()), **tls}, "EXECUTOR_CONSOLE__TLS_CERTIFICATE"),
        ):
            ran = rig.program.but(EXECUTOR_METRICS__CONSOLE_PORT="0", **wrong).run("console")
            assert ran.code == 1, ran.err
            assert named in ran.err.splitlines()[-1]
            assert "Traceback" not in ran.err
            assert "once=" not in ran.out, "no link to a console that is not there"


def test_junk_where_redis_keeps_who_may_use_it_lets_nobody_in_and_keeps_nobody_out(
    rig: ConsoleRig, redis_client: "redis.Redis"
) -> None:
    program, person = rig.bearer(Role.VIEWER), rig.person("anna")
    for digest, text in redis_client.hgetall(keys.CONSOLE_TOKENS).items():
        redis_client.hset(keys.CONSOLE_TOKENS, digest, json.dumps({**json.loads(text), "expires_at": "soon"}))
    assert program.get("/api/status").status_code == 401
    for key in redis_client.scan_iter(keys.console_session("*")):
        redis_client.set(key, json.dumps({**json.loads(str(redis_client.get(key))), "began": "1e400"}))
    assert person.get("/api/status").status_code == 401
    for junk in ("junk", "7", "9" * 5000, ""):  # without an end
        for of in ("anna 127.0.0.1", "127.0.0.1"):
            redis_client.set(keys.console_failures(of), junk)
        rig.person("anna")
    for of in ("anna 127.0.0.1", "127.0.0.1"):
        redis_client.delete(keys.console_failures(of))
        redis_client.rpush(keys.console_failures(of), "junk")
    rig.person("anna")

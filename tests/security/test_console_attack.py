"""The console under attack: who may not, who is not who he says, and what is no request at all. All of it refused."""

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from httpx2 import ASGITransport, AsyncClient
from starlette.websockets import WebSocketDisconnect
from support.console_rig import BASE, OURS, PASSWORD, ConsoleRig, console_rig

from executor.console.app import hosts
from executor.console.principal import Role
from executor.devstack.redis_server import PrivateRedis
from executor.settings.load import SettingsError, load_settings

ACTS = [
    ("POST", "/api/trading/halt", {}),
    ("POST", "/api/trading/resume", {}),
    ("POST", "/api/risk/limits", {"MaxDailyLoss": 1}),
    ("POST", "/api/orders/cancel", {"all": True}),
    ("POST", "/api/orders/some-order/cancel", {}),
    ("POST", "/api/orders/some-order/resolve", {"not_placed": True}),
    ("POST", "/api/failed/some-task/retry", {"force": True}),
    ("DELETE", "/api/failed/some-task", None),
    ("POST", "/api/paper/clear", {}),
]
READS = ["/api/check", "/api/status", "/api/risk/limits", "/api/orders", "/api/orders/x", "/api/signals", "/api/trades",
         "/api/pnl", "/api/hedges", "/api/failed", "/api/alerts", "/api/audit", "/api/events", "/api/markets/1.1",
         "/api/openapi.json"]  # fmt: skip
PAGES = ["/", "/orders", "/signals", "/signals/x", "/markets", "/markets/1.1", "/pnl", "/limits", "/failed", "/alerts",
         "/hedges", "/processes", "/audit"]  # fmt: skip
XSS = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>"


@pytest.fixture
def rig(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis") -> Iterator[ConsoleRig]:
    del redis_client
    with console_rig(tmp_path, private_redis) as made:
        yield made


def controls(client: "redis.Redis") -> tuple[object, ...]:
    return client.get("trading:enabled"), client.hgetall("risk:limits"), client.hgetall("executor:failed_tasks")


def test_every_acting_route_is_in_the_list(rig: ConsoleRig) -> None:
    """A new route must be attacked, too."""
    paths = rig.bearer(Role.VIEWER).get("/api/openapi.json").json()["paths"]
    found = {(method.upper(), path) for path, item in paths.items() for method in item if method != "get"}
    names = {"some-order": "{order_id}", "some-task": "{task_id}"}
    covered = set()
    for method, path, _ in ACTS:
        for example, name in names.items():
            path = path.replace(example, name)  # noqa: PLW2901 - one after the other
        covered.add((method, path))
    assert found - {("POST", "/api/signals")} == covered


def test_nobody_gets_in_without_a_session_or_token(rig: ConsoleRig, redis_client: "redis.Redis") -> None:
    nobody = rig.client(**OURS)
    before = controls(redis_client)
    for path in READS:
        answer = nobody.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated"), path
    for path in PAGES:
        answer = nobody.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/login?next="), path
    for method, path, body in [*ACTS, ("POST", "/halt", {}), ("POST", "/api/signals", {})]:
        assert nobody.request(method, path, json=body).status_code == 401, path
    assert controls(redis_client) == before
    assert set(rig.refusals) == {"not_authenticated"}


@pytest.mark.parametrize("kind", ["viewer's token", "publisher's token", "viewer's session", "publisher's session"])
def test_who_only_looks_changes_nothing(rig: ConsoleRig, redis_client: "redis.Redis", kind: str) -> None:
    role = Role(kind.partition("'")[0])
    name = {Role.VIEWER: "vic", Role.PUBLISHER: "paula"}[role]
    someone = rig.bearer(role) if kind.endswith("token") else rig.person(name)
    before = controls(redis_client)
    for method, path, body in [*ACTS, ("POST", "/halt", {})]:
        answer = someone.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted"), path
    assert controls(redis_client) == before
    if role is Role.PUBLISHER:
        for path in (path for path in READS if path != "/api/events"):
            assert someone.get(path).status_code == 403, path
    rig.book()
    acts = rig.bearer(Role.OPERATOR, "auditor").get("/api/audit").json()["items"]
    assert any(act["outcome"].startswith("refused: ") and act["role"] == role for act in acts), "refusals are booked"
    assert rig.refusals.count("not_permitted") >= len(ACTS)


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:3000", "null", "https://localhost:8080"])
def test_another_origin_changes_nothing_with_somebodys_cookie(
    rig: ConsoleRig, redis_client: "redis.Redis", origin: str
) -> None:
    browser = rig.person("anna")
    before = controls(redis_client)
    for headers in ({"origin": origin, "sec-fetch-site": "cross-site"}, {"origin": origin}, {}):
        browser.headers.pop("sec-fetch-site", None)
        for method, path, body in [*ACTS, ("POST", "/halt", {}), ("POST", "/logout", {})]:
            answer = browser.request(method, path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "refused_origin"), path
    assert controls(redis_client) == before
    assert browser.get("/api/status").status_code == 200, "the session is still there"


def test_a_token_is_judged_alone_never_by_a_cookie_beside_it(rig: ConsoleRig) -> None:
    browser = rig.person("anna")
    headers = {"authorization": "Bearer exe_wrong", "origin": "http://evil.example"}
    assert browser.post("/api/trading/halt", headers=headers).status_code == 401
    assert browser.post("/api/trading/halt", headers={"authorization": "Basic YTpi"}).status_code == 401


def test_nothing_changes_by_get(rig: ConsoleRig, redis_client: "redis.Redis") -> None:
    anna = rig.person("anna")
    before = controls(redis_client)
    for _, path, _ in [*ACTS, ("POST", "/halt", {}), ("POST", "/logout", {})]:
        assert anna.get(path).status_code in {404, 405, 200}, path
    assert controls(redis_client) == before


def test_a_name_that_is_not_ours_is_not_answered(rig: ConsoleRig) -> None:
    anna = rig.person("anna")
    for host in ("evil.example", "localhost.evil.example", "169.254.169.254"):
        assert anna.get("/", headers={"host": host}).status_code == 421
    assert hosts(rig.console.settings) == {"localhost", "127.0.0.1", "::1"}


def test_a_websocket_is_refused(rig: ConsoleRig) -> None:
    with pytest.raises(WebSocketDisconnect) as caught, rig.person("anna").websocket_connect("/api/events"):
        pass
    assert caught.value.code == 1008
    assert "websocket" in rig.refusals


def test_guessing_a_password_ends_in_429_and_locks_nobody_else(rig: ConsoleRig) -> None:
    slept: list[float] = []
    rig.console.sessions._sleep = slept.append
    far = rig.client("203.0.113.9", **OURS)
    codes = [far.post("/login", data={"name": "anna", "password": f"guess-{n}"}).status_code for n in range(7)]
    assert codes == [401] * 5 + [429] * 2
    answer = far.post("/login", data={"name": "anna", "password": PASSWORD})
    assert answer.status_code == 429, "the right one comes too late"
    assert int(answer.headers["retry-after"]) > 0
    assert rig.person("anna").get("/api/status").status_code == 200, "from elsewhere she gets in"
    near = rig.client(**OURS)
    local = [near.post("/login", data={"name": "vic", "password": "guess"}).status_code for _ in range(7)]
    assert local == [401] * 7
    assert slept == [2.0, 2.0], "somebody here is slowed, not locked out"
    many = [far.post("/login", data={"name": f"name-{n}", "password": "guess"}).status_code for n in range(20)]
    assert many[-1] == 429, "trying other names does not help"


@pytest.mark.slow
def test_who_tries_passwords_in_a_crowd_holds_up_nobody(rig: ConsoleRig) -> None:
    over = threading.Event()

    def slowed(_: float) -> None:
        over.wait(30)  # as long as it takes

    rig.console.sessions._sleep = slowed
    for _ in range(5):
        rig.console.sessions._failed("anna 127.0.0.1", "127.0.0.1")
    token = rig.bearer(Role.OPERATOR).headers["authorization"]

    async def crowd() -> tuple[int, list[int], list[str]]:
        async with AsyncClient(transport=ASGITransport(rig.app), base_url=BASE) as client:
            wrong = {"name": "anna", "password": "guess"}
            tries = [asyncio.create_task(client.post("/login", data=wrong, headers=OURS)) for _ in range(60)]
            await asyncio.sleep(0)
            try:
                halt = client.post("/api/trading/halt", json={}, headers={"authorization": token})
                halted = await asyncio.wait_for(halt, 10)
            finally:
                over.set()
            answers = await asyncio.gather(*tries)
        again = [answer.headers.get("retry-after", "") for answer in answers if answer.status_code == 429]
        return halted.status_code, [answer.status_code for answer in answers], again

    halted, codes, again = asyncio.run(crowd())
    assert halted == 200
    assert (codes.count(401), codes.count(429)) == (32, 28), "so many wait, the others come again"
    assert set(again) == {"2"}
    assert rig.person("anna").get("/api/status").status_code == 200


def test_wrong_tokens_are_refused_at_once_and_counted(rig: ConsoleRig) -> None:
    rig.console.sessions._sleep = lambda _: pytest.fail("a thread is held up")
    near, held = rig.client(), rig.bearer(Role.VIEWER)
    codes = [near.get("/api/status", headers={"authorization": f"Bearer exe_{n}"}).status_code for n in range(8)]
    assert codes == [401] * 5 + [429] * 3
    assert rig.refusals == ["not_authenticated"] * 5 + ["too_many_attempts"] * 3
    assert held.get("/api/status").status_code == 200, "one that holds is never asked how often others were wrong"
    rig.refusals.clear()
    assert near.get("/api/signals/x").status_code == 401
    assert rig.refusals == ["not_authenticated"], "the way of a signal is for anybody, not for nobody"


def test_a_session_that_is_over_ends_in_words(rig: ConsoleRig) -> None:
    anna = rig.person("anna")
    rig.console.sessions.log_out(next(iter(anna.cookies.values())))
    form = anna.post("/halt", headers={"accept": "text/html"})
    assert (form.status_code, "Nothing was done" in form.text, "password" in form.text) == (401, True, True)
    assert anna.post("/api/trading/halt", json={}).json()["code"] == "not_authenticated"
    out = anna.post("/logout")
    assert (out.status_code, out.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("place", [
    ["9" * 400, "x"], ["\u00b2", "x"], ["9" * 30, "x"], ["abc", "x"], ["-1", "x"], ["\ud800", "\ud800"],
    ["2026-01-01T00:00:00.000Z", "\u0000"], [None, None], ["1"], ["1", "2", "3"], {"1": 1, "2": 2}, "ab", 5,
])  # fmt: skip
def test_a_place_in_a_list_that_was_made_up_is_refused(rig: ConsoleRig, place: object) -> None:
    after = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
    viewer, vic = rig.bearer(Role.VIEWER), rig.person("vic")
    numbered = [viewer.get(f"/api/{name}", params={"after": after}) for name in ("orders", "trades")]
    assert {answer.status_code for answer in numbered} == {422}
    for path in ("/api/signals", "/api/audit", "/orders", "/signals", "/audit"):
        answer = (viewer if path.startswith("/api") else vic).get(path, params={"after": after})
        assert answer.status_code in {200, 422}, (path, answer.text)


def test_guessing_tokens_ends_in_429(rig: ConsoleRig) -> None:
    far = rig.client("203.0.113.9")
    codes = [far.get("/api/status", headers={"authorization": f"Bearer exe_{n}"}).status_code for n in range(8)]
    assert codes[:5] == [401] * 5
    assert codes[-1] == 429


def test_what_strategies_call_themselves_is_text(rig: ConsoleRig) -> None:
    raw = {
        "signalId": XSS,
        "marketId": "1.200000000",
        "strategy": XSS,
        "primarySelection": {"selectionId": "1", "recommendedOdds": 3, "stake": 10, "betType": "Back"},
    }
    from executor import wiring  # noqa: PLC0415
    from executor.domain.signal import SignalKind  # noqa: PLC0415
    from executor.engine import placement, validation  # noqa: PLC0415
    from executor.engine.intake import receive  # noqa: PLC0415

    record = receive(
        wiring.intake(rig.console.settings),
        SignalKind.STRATEGY,
        json.dumps(raw).encode(),
        rig.engine.store.now(),
        "b:1:x",
    )
    assert record is not None
    validation.validate(rig.engine, XSS, record.market_id)
    placement.place(rig.engine, XSS, record.market_id)
    rig.console.access.failed.keep(XSS, {"task": XSS, "signal_id": XSS, "error": XSS, "traceback": XSS})
    rig.program.run("paper", "clear")
    rig.book()
    anna = rig.person("anna")
    anna.post("/api/trading/halt", json={"reason": XSS})
    rig.book()
    from urllib.parse import quote  # noqa: PLC0415

    for path in [*PAGES, f"/signals/{quote(XSS, safe='')}", "/markets/1.200000000", f"/orders?market={quote(XSS)}"]:
        page = anna.get(path)
        assert "<script>alert" not in page.text, path
        assert "<img src=x" not in page.text, path
        assert 'onerror=alert(2)>"' not in page.text, path
        assert "script-src 'self'" in page.headers["content-security-policy"]
    shown = anna.get(f"/signals/{quote(XSS, safe='')}")
    assert (shown.status_code, "&lt;script&gt;alert(1)" in shown.text) == (200, True)
    assert "&lt;script&gt;" in anna.get("/failed").text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static//etc/passwd",
        "/static/....//app.py",
        "/static/\\..\\app.py",
        "/static/console.css%00.py",
        "/signals/..%2f..%2fetc%2fpasswd",
        "/markets/..%2f..%2fetc",
    ],
)
def test_no_path_leads_out(rig: ConsoleRig, path: str) -> None:
    answer = rig.person("anna").get(path)
    assert answer.status_code in {400, 404, 503}, path
    assert "root:" not in answer.text
    assert "def make_app" not in answer.text


def test_bodies_of_ten_megabytes_are_not_read(rig: ConsoleRig) -> None:
    anna = rig.person("anna")
    big = b"x" * 10_000_000
    assert anna.post("/api/trading/halt", content=big).status_code == 413
    assert rig.client(**OURS).post("/login", content=big).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            yield b'{"reason": "' + b"x" * 50_000

    answer = anna.post("/api/trading/halt", content=pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 413, "a length that is not said"
    assert rig.refusals.count("body") >= 3


@pytest.mark.parametrize(
    "raw", [b'{"reason": NaN}', b"[" * 60_000, b'{"reason": "' + b"\xff" * 9 + b'"}', b"null", b'"x"', b"1e400"]
)
def test_bodies_that_are_none_are_refused_without_a_trace(rig: ConsoleRig, raw: bytes) -> None:
    answer = rig.person("anna").post("/api/trading/halt", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code in {200, 400, 422}, answer.text
    assert (answer.status_code == 200) == (raw == b"null"), "null is no body, and a halt needs none"
    assert "Traceback" not in answer.text


def test_answers_do_not_repeat_what_was_sent(rig: ConsoleRig) -> None:
    answer = rig.bearer(Role.OPERATOR).post("/api/risk/limits", json={"Bankroll": "hunter2-" + "s" * 100})
    assert answer.status_code == 422
    answer = rig.person("anna").post("/api/orders/cancel", json={"ids": "hunter2"})
    assert answer.status_code == 422
    assert "hunter2" not in answer.text
    wrong = rig.client(**OURS).post("/login", data={"name": "anna", "password": "hunter2-hunter2"})
    assert "hunter2" not in wrong.text


def test_a_link_leads_to_no_other_place_after_login(rig: ConsoleRig) -> None:
    browser = rig.client(**OURS)
    for there in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        answer = browser.post("/login", data={"name": "anna", "password": PASSWORD, "next": there})
        assert answer.headers["location"] == "/", there
    kept = browser.post("/login", data={"name": "anna", "password": PASSWORD, "next": "/orders?active=1"})
    assert kept.headers["location"] == "/orders?active=1"


def test_the_cookie_is_kept_from_scripts_and_other_sites(rig: ConsoleRig) -> None:
    answer = rig.client(**OURS).post("/login", data={"name": "anna", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "executor-8080=" in cookie


def test_a_session_ends_with_log_out_and_with_its_line(rig: ConsoleRig, redis_client: "redis.Redis") -> None:
    anna = rig.person("anna")
    kept = dict(anna.cookies)
    assert anna.post("/logout").status_code == 303
    ghost = rig.client(**OURS)
    ghost.cookies.update(kept)
    assert ghost.get("/api/status").status_code == 401
    vic = rig.person("vic")
    path = rig.console.settings.console.users_file
    assert path is not None
    text = path.read_text()
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("vic:")) + "\n")
    assert vic.get("/api/status").status_code == 401
    keys = [name for name in redis_client.keys("executor:console:session:*") if kept[next(iter(kept))] in name]
    assert not keys, "a cookie is not kept, only its hash"


def test_the_one_time_link_works_once_and_only_without_users(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis"
) -> None:
    del redis_client
    with console_rig(tmp_path, private_redis, users=False) as rig:
        secret = rig.console.sessions.one_time_link()
        first = rig.client(**OURS)
        assert "once" in first.get(f"/login?once={secret}").text
        assert first.get(f"/login?once={secret}").status_code == 200, "looking does not use it up"
        assert first.post("/login", data={"once": secret}).status_code == 303
        assert first.get("/api/status").status_code == 200
        assert rig.client(**OURS).post("/login", data={"once": secret}).status_code == 401
        assert rig.client(**OURS).post("/login", data={"once": "guess"}).status_code == 401
        assert rig.client(**OURS).post("/login", data={"name": "local", "password": "x"}).status_code == 401


def test_it_does_not_start_open(tmp_path: Path) -> None:
    for more in ({}, {"EXECUTOR_CONSOLE__USERS_FILE": "users"}, {"EXECUTOR_CONSOLE__BEHIND_TLS_PROXY": "true"}):
        with pytest.raises(SettingsError, match="is not loopback"):
            load_settings({"EXECUTOR_CONSOLE__HOST": "0.0.0.0", **more}, tmp_path)
    both = {"EXECUTOR_CONSOLE__USERS_FILE": "users", "EXECUTOR_CONSOLE__BEHIND_TLS_PROXY": "true"}
    assert load_settings({"EXECUTOR_CONSOLE__HOST": "0.0.0.0", **both}, tmp_path).console.host == "0.0.0.0"
    with pytest.raises(SettingsError, match="TLS_KEY"):
        load_settings({"EXECUTOR_CONSOLE__TLS_CERTIFICATE": "c.pem"}, tmp_path)


@pytest.mark.slow
def test_a_token_is_kept_as_a_hash_expires_and_is_revoked(rig: ConsoleRig, redis_client: "redis.Redis") -> None:
    made = rig.program.run("token", "add", "strategies", "--role", "viewer")
    secret = made.out.strip()
    assert secret.startswith("exe_")
    program = rig.client(authorization=f"Bearer {secret}")
    assert program.get("/api/status").status_code == 200
    assert secret not in json.dumps(redis_client.hgetall("executor:console:tokens"))
    assert rig.program.run("token", "add", "strategies", "--role", "viewer").code == 1
    assert rig.program.run("token", "add", "x y", "--role", "viewer").code == 1
    assert rig.program.run("token", "add", "other", "--role", "king").code == 2
    listed = rig.program.run("token", "list", "--json")
    assert listed.json[0]["name"] == "strategies"
    assert secret not in listed.out
    digest, text = next(iter(redis_client.hgetall("executor:console:tokens").items()))
    redis_client.hset("executor:console:tokens", digest, json.dumps({**json.loads(text), "expires_at": "1"}))
    assert program.get("/api/status").status_code == 401
    assert rig.program.run("token", "revoke", "strategies").code == 0
    assert rig.program.run("token", "revoke", "strategies").code == 1
    line = rig.program.run("console", "passwd", "zoe", "--role", "viewer", stdin="a long enough password\n")
    assert line.out.startswith("zoe:viewer:scrypt$15$8$1$")
    assert rig.program.run("console", "passwd", "zoe", "--role", "viewer", stdin="short\n").code == 1

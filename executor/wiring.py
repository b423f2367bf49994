"""Settings -> Engine: which adapter stands behind which port. Once per process, lazily, so after a fork."""

import os
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from executor.adapters.redis.client import connect, connect_bytes
from executor.engine.engine import Engine
from executor.errors import ExecutorError, IdentityMismatch
from executor.policy import policy
from executor.ports import ConsoleAccess, Exchange, OrderStream, Telemetry, Updates
from executor.settings.load import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from executor.adapters.redis.controls import RedisControls
    from executor.adapters.redis.failed import FailedTasks
    from executor.adapters.redis.locks import RedisLocks
    from executor.adapters.redis.signal_stream import SignalStream
    from executor.adapters.redis.snapshot import RedisSnapshot
    from executor.adapters.redis.store import RedisStore
    from executor.adapters.redis.stream_status import RedisStreamStatus
    from executor.adapters.signatures import JwsSignatures
    from executor.adapters.sql.ledger import SqlLedger
    from executor.engine.intake import Intake

_VALIDATION_QUEUE = "signals"
_ORDER_KEEP_S = 7 * 24 * 3600  # finished orders stay readable for a week; the ledger has them for good


@cache
def get_settings() -> Settings:
    """Return the settings, read once."""
    return load_settings()


def controls(settings: Settings, identity: str | None = None) -> "RedisControls":
    """Return the switch, the limits and the breaker in Redis, in another's name where one is given."""
    from executor.adapters.redis.controls import RedisControls

    return RedisControls(connect(settings.redis.url), identity or settings.identity)


def locks(settings: Settings) -> "RedisLocks":
    """Return the locks and signs of life in Redis."""
    from executor.adapters.redis.locks import RedisLocks

    return RedisLocks(connect(settings.redis.url), connect(settings.redis.broker_url))


def store(settings: Settings) -> "RedisStore":
    """Return the signals and orders in Redis."""
    from executor.adapters.redis.store import RedisStore, Retention, Sums

    retention = Retention(
        signal_s=settings.signals.dedup_seconds,
        order_s=_ORDER_KEEP_S,
        breaker_window_s=settings.risk.circuit_breaker_window_seconds,
    )
    sums = Sums(netting=settings.risk.market_exposure == "net")
    return RedisStore(connect(settings.redis.url), settings.identity, retention, sums)


def state(settings: Settings) -> "RedisSnapshot":
    """Return what looks at the whole system."""
    from executor.adapters.redis.snapshot import RedisSnapshot

    return RedisSnapshot(
        connect(settings.redis.url),
        connect(settings.redis.broker_url),
        breaker_window_s=settings.risk.circuit_breaker_window_seconds,
    )


def failed_tasks(settings: Settings) -> "FailedTasks":
    """Return the chain tasks that failed for good."""
    from executor.adapters.redis.failed import FailedTasks

    return FailedTasks(connect(settings.redis.url), settings.identity)


def ledger(settings: Settings) -> "SqlLedger":
    """Return the accounts."""
    from executor.adapters.sql.ledger import SqlLedger

    return SqlLedger(settings.ledger.url)


def telemetry(settings: Settings) -> Telemetry:
    """Return what counts, in this process; only after `exporter.prepare` chose where."""
    from executor.adapters.redis.market_facts import RedisMarketFacts
    from executor.observability.counters import PrometheusTelemetry

    return PrometheusTelemetry(RedisMarketFacts(connect(settings.redis.url)).market_type)


def refuse_without_account(settings: Settings) -> None:
    """See that this process may speak to the exchange.

    Raises:
        SettingsError: the account was withheld from it.
    """
    if settings.betfair.withheld and settings.asks_exchange:
        raise SettingsError(
            "EXECUTOR_BETFAIR__WITHHELD: should be false where orders are placed or the exchange is asked"
        )


def exchange(settings: Settings, counting: Telemetry) -> Exchange:
    """Return the exchange: Betfair or the sandbox by URL, or paper, which may read the former's book.

    Raises:
        SettingsError: the account was withheld from this process.
    """
    if not settings.asks_exchange:
        from executor.adapters.paper import PaperExchange

        return PaperExchange(settings.risk.bankroll)
    from executor.adapters.betfair.exchange import BetfairExchange
    from executor.adapters.redis.accounts import RedisAccounts
    from executor.adapters.redis.session import RedisTokenStore
    from executor.observability.logs import add_secret

    # With the app key alone, the console cancels within the workers' session.
    if not settings.betfair.app_key.get_secret_value():
        refuse_without_account(settings)
    tokens = RedisTokenStore(connect(settings.redis.url), settings.identity)
    known_currency = RedisAccounts(connect(settings.redis.url)).currency
    real = BetfairExchange(settings.betfair, tokens, counting, on_token=add_secret, known_currency=known_currency)
    if not settings.trading.enable_paper_trading:
        return real
    from executor.adapters.paper_book import PaperBookExchange

    return PaperBookExchange(settings.risk.bankroll, real, store(settings))


def order_stream(settings: Settings) -> OrderStream:
    """Return the exchange's order stream.

    Raises:
        SettingsError: there is none to listen to.
    """
    import certifi

    from executor.adapters.betfair.exchange import BetfairExchange
    from executor.adapters.betfair.order_stream import BetfairOrderStream

    if settings.trading.enable_paper_trading:
        raise SettingsError("paper trading has no order stream: nothing is sent to the exchange")
    address = settings.betfair.stream_address
    if address is None:
        raise SettingsError(
            "there is no order stream: EXECUTOR_BETFAIR__ORDER_STREAM is false, or API_URL is not Betfair's own and "
            "EXECUTOR_BETFAIR__STREAM_HOST is not set"
        )
    exchange_of_engine = get_engine().exchange
    if not isinstance(exchange_of_engine, BetfairExchange):
        raise TypeError("the engine trades on paper")
    return BetfairOrderStream(
        address,
        exchange_of_engine.session,
        app_key=settings.betfair.app_key.get_secret_value(),
        strategy_ref=settings.betfair.strategy_ref,
        ca_bundle=str(settings.betfair.ca_bundle or certifi.where()),
        proxy=settings.betfair.proxy,
        known_currency=get_engine().accounts.currency,
    )


def stream_status(settings: Settings, process: str) -> "RedisStreamStatus":
    """Return where the order stream's process says how it is."""
    from executor.adapters.redis.stream_status import RedisStreamStatus

    return RedisStreamStatus(connect(settings.redis.url), process)


def console_access(settings: Settings) -> ConsoleAccess:
    """Return who may use the console."""
    from executor.adapters.redis.console_access import RedisConsoleAccess

    return RedisConsoleAccess(connect(settings.redis.url))


def updates(settings: Settings) -> Updates:
    """Return what is published as it happens."""
    from executor.adapters.redis.updates import RedisUpdates

    return RedisUpdates(lambda: connect(settings.redis.url))


def build(settings: Settings) -> Engine:
    """Put an engine together."""
    from executor.adapters.clock import SystemClock
    from executor.adapters.redis.accounts import RedisAccounts
    from executor.adapters.redis.alerts import RedisAlerts
    from executor.adapters.redis.cancel_attempts import RedisCancelAttempts
    from executor.adapters.redis.hedges import RedisHedges
    from executor.adapters.redis.market_facts import RedisMarketFacts
    from executor.adapters.redis.set_aside import RedisSetAside
    from executor.adapters.redis.trade_feed import RedisTradeFeed

    counting = telemetry(settings)
    return Engine(
        store=store(settings),
        controls=controls(settings),
        locks=locks(settings),
        accounts=RedisAccounts(connect(settings.redis.url)),
        trade_feed=RedisTradeFeed(connect(settings.redis.url)),
        market_facts=RedisMarketFacts(connect(settings.redis.url)),
        exchange=exchange(settings, counting),
        ledger=ledger(settings),
        clock=SystemClock(),
        telemetry=counting,
        policy=policy(settings),
        alerts=RedisAlerts(connect(settings.redis.url), state(settings), settings.identity),
        set_aside=RedisSetAside(connect(settings.redis.url)),
        hedges=RedisHedges(connect(settings.redis.url), settings.identity),
        cancel_attempts=RedisCancelAttempts(connect(settings.redis.url)),
    )


def build_for_command(settings: Settings) -> Engine:
    """Put an engine together for a process that has no page: its counts are on a worker's once it is over."""
    from executor.observability import command_counts

    command_counts.prepare(settings.data_dir)
    return build(settings)


def intake(settings: Settings) -> "Intake":
    """Put together what a bridge needs."""
    from executor.adapters.redis.backlog import RedisBacklog
    from executor.engine.intake import Intake
    from executor.engine.overload import Overload

    backlog = RedisBacklog(connect(settings.redis.url), connect(settings.redis.broker_url), _VALIDATION_QUEUE)
    return Intake(store(settings), telemetry(settings), policy(settings), Overload(backlog), signatures(settings))


def signatures(settings: Settings) -> "JwsSignatures":
    """Return what checks signatures.

    Raises:
        KeysUnusable: the file of keys cannot be used.
    """
    from executor.adapters.clock import monotonic
    from executor.adapters.signatures import JwsSignatures

    return JwsSignatures(settings.signals.keys_file, monotonic, required=settings.signals.require_signature)


def signal_stream(settings: Settings, consumer: str) -> "SignalStream":
    """Return the durable door as one process reads it, on a connection of its own: it waits there."""
    from executor.adapters.redis.signal_stream import SignalStream

    return SignalStream(connect_bytes(settings.redis.url), consumer)


def claim(settings: Settings) -> None:
    """Make the Redis db ours, or see that it is.

    Raises:
        IdentityMismatch: it belongs to another account or mode.
        StoreUnavailable: Redis is away.
    """
    owner = controls(settings).claim_identity()
    if owner != settings.identity:
        raise IdentityMismatch(
            f"this Redis db belongs to {owner!r} and the settings say {settings.identity!r}: "
            "use another db (EXECUTOR_REDIS__URL), one per account and mode; for what runs there, its settings, or "
            "the folder of its executor up"
        )


_engines: dict[int, Engine] = {}


def get_engine() -> Engine:
    """Return this process's engine; a forked child makes its own connections."""
    engine = _engines.get(os.getpid())
    if engine is None:
        engine = _engines[os.getpid()] = build(get_settings())
    return engine


def certificate_concerns(settings: Settings) -> list[tuple[str, str]]:
    """Return what is to be done about the client certificate before it stops working: (problem, advice)."""
    from executor.adapters.betfair.certificate import certificate_warnings

    if not settings.asks_exchange or settings.betfair.certificate_path is None:
        return []
    try:
        return list(certificate_warnings(settings.betfair))
    except (ExecutorError, OSError):  # the login says what is wrong with it
        return []


def expiry(settings: Settings) -> float | None:
    """Return when the client certificate expires, epoch seconds; None without one that can be read."""
    from executor.adapters.betfair.certificate import certificate_expiry

    if not settings.asks_exchange or settings.betfair.certificate_path is None:
        return None
    try:
        return certificate_expiry(settings.betfair).timestamp()
    except ExecutorError:
        return None


def collector(settings: Settings) -> Any:  # noqa: ANN401 - a prometheus collector; its module is imported late
    """Return the gauges of the whole system; only after `exporter.prepare` chose where to count."""
    from executor.observability.counters import StateCollector

    paper = settings.trading.enable_paper_trading
    limits = {"MaxTransactionsPerHour": float(settings.trading.max_transactions_per_hour)}
    if settings.risk.circuit_breaker_enabled:
        limits["CircuitBreakerFailures"] = float(settings.risk.circuit_breaker_failures)
    read, own, until = state(settings).read, settings.risk.currency, partial(expiry, settings)
    return StateCollector(read, paper=paper, settled_limits=limits, certificate_expiry=until, limits_currency=own)

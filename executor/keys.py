"""Every Redis key and channel: its type, who writes it, how long it lives. The only file with key names in it.

All values are text. `{m}` is a market id, `{id}` a signal or order id. TTLs are in seconds, named where they are set.
"""

from typing import Final

# --- controls: people write them too -----------------------------------------------------------------------------
TRADING_ENABLED: Final = "trading:enabled"  # string; kill switch; engine on first start and on a breaker trip
HALTED: Final = "executor:halted"  # hash at, reason, by; who switched trading off by command; gone once it is on
LIMITS: Final = "risk:limits"  # hash; engine from the settings, people
LIMITS_APPLIED: Final = "executor:limits:applied"  # hash; the settings' limits as last applied
IDENTITY: Final = "executor:identity"  # string; first start: whose db this is
STARTED: Final = "executor:started"  # string, ms; the first-start decision has been made
RECONCILED: Final = "executor:reconciled"  # string "run id, epoch, time", TTL; each complete poll
PROBE: Final = "executor:probe"  # string, TTL 10 s; `executor check`: can Redis be written?
STORAGE: Final = "executor:storage"  # hash worker -> JSON {problem, until}; data folders that cannot be written
DATA_GENERATION: Final = (
    "executor:epoch"  # string; random, made when missing: who read before a FLUSHALL finds another one after
)

FULL_READ: Final = (
    "executor:full_read"  # string "run id, epoch, time", TTL; the poll last read every order, not only the live ones
)
FULL_READ_S: Final = 3600

# --- the truth: signals and orders ---------------------------------------------------------------------------------
SIGNALS_OPEN: Final = "executor:signals:open"  # zset id -> ms of the last move; signals without a terminal state
ORDERS_ACTIVE: Final = "executor:orders:active"  # zset id -> created ms; SUBMITTED and PENDING
ORDERS_UNSETTLED: Final = "executor:orders:unsettled"  # zset id -> created ms; reserved, live, or matched unsettled
ORDERS_RECENT: Final = "executor:orders:recent"  # zset id -> created ms; the newest, for people to look at
MARKETS: Final = "executor:markets"  # set; markets with orders that count
HEDGES: Final = "executor:hedges"  # hash position -> JSON {attempt, said, waits, at, done}; hedge_exposure
MARKETS_STOPPED: Final = "executor:markets:held"  # hash market id -> why nothing is placed there; each complete poll
FOREIGN_MARKETS: Final = "executor:foreign"  # set; markets with bets that our records cannot hold
SET_ASIDE: Final = "executor:set_aside"  # hash name -> JSON {since, seen, problem}; rows and records not readable
CANCELS_REFUSED: Final = "executor:cancels:refused"  # hash bet id -> JSON; cancels that wait until they are tried again
ACTIVE_COUNT: Final = "executor:active_orders_count"  # string; size of ORDERS_ACTIVE


def signal(signal_id: str) -> str:
    """Name the string (JSON) that holds a signal's record; TTL once terminal."""
    return f"signal:{signal_id}"


def seen(dedup_id: str) -> str:
    """Name the string that remembers who recorded a message; TTL, renewed for surebets."""
    return f"executor:seen:{dedup_id}"


def order(order_id: str) -> str:
    """Name the string (JSON) that holds an order's record; TTL once nothing more is expected of it."""
    return f"order:{order_id}"


def market_orders(market_id: str) -> str:
    """Name the set of order ids that count for a market's exposure."""
    return f"market:{market_id}:orders"


def market_facts(market_id: str) -> str:
    """Name the string (JSON) with what the exchange says that a market is; TTL a week, one not known a minute."""
    return f"market:{market_id}:facts"


def waiting(signal_id: str) -> str:
    """Name the string with the ms since when a signal waits for orders to be reconciled; TTL of a minute."""
    return f"executor:waiting:{signal_id}"


def market_revision(market_id: str) -> str:
    """Name the string that changes with every write to an order of the market: the fence of every commit."""
    return f"market:{market_id}:revision"


def market_lock(market_id: str) -> str:
    """Name the string that says who alone may change the market's orders now; TTL of seconds."""
    return f"market:{market_id}:turn"


def foreign(market_id: str) -> str:
    """Name the hash bet id -> JSON of a market's bets that our records cannot hold; the poll."""
    return f"market:{market_id}:foreign"


def bet(bet_id: str) -> str:
    """Name the string with the id of a bet's order, or `foreign`; TTL as the order's."""
    return f"executor:bet:{bet_id}"


def aside(key: str, at: int) -> str:
    """Name what a key of another type than ours becomes when it is set aside, at Redis TIME in ms."""
    return f"executor:aside:{at}:{key}"


# --- projections, derived from the orders --------------------------------------------------------------------------
def risk_exposure(market_id: str) -> str:
    """Name the hash selection -> exposure that the rules count."""
    return f"risk:exposure:{market_id}"


MARKET_EXPOSURE: Final = "executor:market_exposure"  # hash market -> what rule 4 counts there: sum, or netted
HELD_TOTAL: Final = "executor:market_held:total"  # string; the sum of MARKET_HELD in pennies, kept by each commit
MARKET_HELD: Final = "executor:market_held"  # hash market -> the most that the exchange holds there; netted if known


def matched_exposure(market_id: str) -> str:
    """Name the hash selection -> exposure of matched bets; TTL 24 h renewed."""
    return f"exposure:{market_id}"


def positions(market_id: str) -> str:
    """Name the hash selection -> JSON position; TTL 24 h renewed."""
    return f"positions:{market_id}"


# --- circuit breaker -----------------------------------------------------------------------------------------------
FAILED_ORDERS: Final = "failed:orders"  # zset; score epoch seconds; place_order; 24 h, 1,000 entries
BREAKER: Final = "executor:breaker"  # hash; the trip; absent when closed
BREAKER_SINCE: Final = "executor:breaker:since"  # string, epoch seconds; last success, trip or reset


def transactions(hour: str) -> str:
    """Name the string that counts the instructions sent in a clock hour, yyyy-mm-ddThh; TTL 2 h."""
    return f"executor:transactions:{hour}"


# --- P&L and accounting --------------------------------------------------------------------------------------------
PNL_TOTAL: Final = "pnl:total"  # string; settle_orders
PNL_DAYS: Final = "executor:pnl:days"  # hash day -> net; settle_orders; what pnl:total is the sum of
ORDER_STREAM: Final = "executor:stream"  # hash; the order stream's connection and when it was last heard; TTL 30 s
SETTLED_AT: Final = "executor:settled_at"  # string, ms; last complete settlement read
TRADES: Final = "stream:trades"  # stream; every fill, void and settlement, and how each signal ended
TRADES_GROUP: Final = "ledger"  # its consumer group
AUDIT: Final = "stream:audit"  # stream; what was done by hand; whoever acts; the same group reads it


def pnl_daily(day: str) -> str:
    """Name the string with a UTC day's net settled P&L; TTL 48 h. `day` is yyyy-mm-dd."""
    return f"pnl:daily:{day}"


def settlements(day: str) -> str:
    """Name the hash bet id -> net profit of a UTC day; TTL 100 days."""
    return f"executor:settlements:{day}"


# --- account, session, housekeeping --------------------------------------------------------------------------------
ACCOUNT: Final = "executor:account"  # hash; refresh_account
SWITCH_FIRED: Final = "executor:switch_fired"  # hash {action, at}; for want of heartbeats; TTL 1 day
STREAM_SILENT: Final = "executor:stream:silent"  # string, ms; since when the watchdog hears nothing; TTL 90 s
ALERTS: Final = "executor:alerts"  # hash alert -> JSON {since, detail}; watchdog; those that stand
MARKETS_WANTED: Final = "executor:markets:wanted"  # set; markets whose facts are to be read; validate_risk
MARKET_TYPES: Final = "executor:market_types"  # hash market id -> type; refresh_account
LAST_SUCCESS: Final = "executor:last_success"  # hash task -> epoch seconds
FAILED_SIGNALS: Final = "executor:failed_signals"  # zset id -> ms; signals of whose orders none was placed; 1,000
FAILED_TASKS: Final = "executor:failed_tasks"  # hash task id -> JSON; chain tasks that failed for good


def session(identity: str) -> str:
    """Name the string (JSON) with the exchange session; TTL 12 h."""
    return f"executor:session:{identity}"


def login_lock(identity: str) -> str:
    """Name the lock around a login."""
    return f"executor:lock:login:{identity}"


def login_ban(identity: str) -> str:
    """Name the string that forbids logins until its TTL ends."""
    return f"executor:login_ban:{identity}"


def login_refusals(identity: str) -> str:
    """Name the hash credentials -> JSON {code, at}: refused logins that only a person can mend; no TTL."""
    return f"executor:login_refusals:{identity}"


def order_reads(identity: str) -> str:
    """Name the zset token -> ms when it lapses: who reads orders at the exchange now; TTL."""
    return f"executor:reads:{identity}"


def task_lock(task: str) -> str:
    """Name the single-flight lock of a periodic task."""
    return f"executor:lock:{task}"


def task_cooldown(task: str) -> str:
    """Name the string that says that a task has just been done; its TTL is the pause until the next."""
    return f"executor:turn:{task}"


def heartbeat(process: str) -> str:
    """Name the string that says that a process lives; TTL 30 s. `process` is kind:host:pid."""
    return f"executor:heartbeat:{process}"


HEARTBEATS: Final = "executor:heartbeat:*"

# --- the durable door ----------------------------------------------------------------------------------------------
SIGNALS: Final = "stream:signals"  # stream, in: fields kind (surebet, strategy) and payload; publishers
SIGNALS_GROUP: Final = "bridges"  # its consumer group
SIGNALS_RECORDED: Final = "executor:signals:recorded"  # string; bridges: how many were ever recorded for validation
SIGNALS_FACTS: Final = (
    "executor:signals:stream"  # hash; bridges: how many entries they dropped, and misuse that they saw
)

# --- notifications ---------------------------------------------------------------------------------------------------
NOTICES: Final = "stream:notices"  # stream; what a person may have to know; 10,000 entries
NOTIFY_POSITION: Final = "executor:notify:position"  # string; the notifier: up to where it has read the stream
NOTIFY_MAILBOXES: Final = (
    "executor:notify:mailboxes"  # hash address -> JSON; what waits to be told there, what was told
)
NOTIFY_ADDRESSES: Final = "executor:notify:addresses"  # hash address -> JSON; how each is, for people: no secret
NOTIFY_PROCESSES: Final = "executor:notify:processes"  # string (JSON); which processes there should be


def summary(day: str) -> str:
    """Name the string that says that a UTC day's summary was told; TTL 3 days."""
    return f"executor:summary:{day}"


# --- console: who may use it ----------------------------------------------------------------------------------------
CONSOLE_TOKENS: Final = (
    "executor:console:tokens"  # hash SHA-256 of a token -> JSON {name, role, created_at, expires_at}
)


def console_session(digest: str) -> str:
    """Name the string (JSON) of a person's session, by its cookie's SHA-256; TTL 1 h, renewed by use."""
    return f"executor:console:session:{digest}"


def console_once(digest: str) -> str:
    """Name the string of a one-time link, by its secret's SHA-256; TTL 10 min."""
    return f"executor:console:once:{digest}"


def console_failures(of: str) -> str:
    """Name the string that counts failed logins of a name or an address; TTL 5 min."""
    return f"executor:console:failures:{of}"


# --- pub/sub -------------------------------------------------------------------------------------------------------
SUREBET_SIGNALS: Final = "channel:trading-signals"  # in
STRATEGY_SIGNALS: Final = "channel:strategy-signals"  # in
TRADE_UPDATES: Final = "channel:trades"  # out, as all below: JSON with the identity
ORDER_UPDATES: Final = "channel:order-updates"
EXPOSURE_UPDATES: Final = "channel:exposure-updates"
KILL_SWITCH: Final = "channel:kill-switch"
ALERT_UPDATES: Final = "channel:alerts"  # an alert of the watchdog begins or ends

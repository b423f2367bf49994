"""Settings -> Policy: the settings in the engine's words, and what is no setting but holds for every installation."""

from typing import Final

from executor.domain.confidence import parse_scale
from executor.domain.hedge import HedgePolicy
from executor.domain.risk import LIMIT_FIELDS, Rules
from executor.engine.engine import Policy
from executor.settings.load import Settings

_LATE_ARRIVAL_S: Final = 15  # Betfair: how long a call that timed out may take to show
_BEHIND_PROXY_S: Final = 300  # a proxy may go on sending what we gave up; it gives up itself by then


def policy(settings: Settings) -> Policy:
    """Say the settings in the engine's words."""
    risk, orders, signals = settings.risk, settings.order_manager, settings.signals
    return Policy(
        identity=settings.identity,
        paper=settings.trading.enable_paper_trading,
        rules=Rules(
            enabled=risk.enabled,
            breaker_enabled=risk.circuit_breaker_enabled,
            min_odds=settings.trading.min_odds,
            max_odds=settings.trading.max_odds,
            min_stake=settings.trading.min_stake,
            netting=risk.market_exposure == "net",
            check_funds=risk.check_funds and not settings.trading.enable_paper_trading,  # paper has no account
            currency="" if settings.trading.enable_paper_trading else risk.currency,
            confidence=parse_scale(risk.confidence_scale),
            min_stake_by_currency="min_stake" not in settings.trading.model_fields_set,
        ),
        limits={attribute: getattr(risk, attribute) for attribute in LIMIT_FIELDS.values()},
        max_age_s=signals.max_age_seconds,
        max_validity_s=signals.max_validity_seconds,
        dedup_s=signals.dedup_seconds,
        unmatched_timeout_s=orders.unmatched_order_timeout_seconds,
        api_timeout_s=settings.betfair.api_timeout_seconds,
        late_arrival_s=_LATE_ARRIVAL_S + (_BEHIND_PROXY_S if settings.betfair.proxy else 0),
        poll_interval_s=orders.status_check_interval_seconds,
        max_lookups=orders.max_orders_per_check,
        commission_rate=settings.trading.commission_rate,
        breaker_enabled=risk.circuit_breaker_enabled,
        breaker_failures=risk.circuit_breaker_failures,
        breaker_window_s=risk.circuit_breaker_window_seconds,
        breaker_counts_rejections=risk.circuit_breaker_counts_rejections,
        breaker_ignored=risk.circuit_breaker_ignored_codes,
        breaker_cancels=risk.circuit_breaker_cancels_orders,
        cancel_half_placed=settings.trading.half_placed == "cancel_rest",
        max_transactions_per_hour=settings.trading.max_transactions_per_hour,
        reauthenticate_after_s=settings.betfair.reauthentication_interval_hours * 3600,
        keep_alive_interval_s=settings.betfair.keep_alive_interval_seconds,
        heartbeat_s=settings.betfair.heartbeat_seconds,
        hedge=HedgePolicy(
            mode=settings.hedge.mode,
            at_percent=settings.hedge.at_percent,
            to_percent=settings.hedge.to_percent,
            max_ticks=settings.hedge.max_ticks,
        ),
        order_stream=settings.betfair.stream_address is not None,
    )

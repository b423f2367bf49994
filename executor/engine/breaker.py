"""The circuit breaker's part in a commit: what counts as a failure, when it trips, when it is reset.

A failure is one placeOrders call that ended refused, in error or in timeout, dated by its start; contract section 6.
"""

from dataclasses import replace

from executor.domain.risk import LIMIT_RULES, Reason, is_true
from executor.engine.engine import Policy
from executor.ports import Change, Failure, MarketView


def with_failure(policy: Policy, view: MarketView, change: Change, failure: Failure) -> Change:
    """Add a failed call to a change, and the trip that it causes."""
    if not policy.breaker_enabled or failure.reason in policy.breaker_ignored:
        return change
    change = replace(change, failure=failure)
    count = view.failures + 1
    if count < policy.breaker_failures or view.breaker:
        return change
    why = f"{count} failed order calls within {policy.breaker_window_s} s, the last: {failure.reason}"
    return replace(change, trip=why)


def with_rejection(policy: Policy, view: MarketView, change: Change, signal_id: str, reason: Reason) -> Change:
    """Add a rejection by a limit to a change, where the settings count those too."""
    if not policy.breaker_counts_rejections or reason not in LIMIT_RULES:
        return change
    return with_failure(policy, view, change, Failure(signal_id, reason, view.now))


def is_reset(view: MarketView) -> bool:
    """Tell whether a person has enabled trading again after a trip: the first step to see it removes the trip."""
    return bool(view.breaker) and is_true(view.trading)

"""What needs a person's verdict: tasks that failed for good, orders whose outcome stays unknown.

Invariants: a retry never places what is, or may be, at the exchange; a verdict is recorded with who gave it.
"""

from executor.domain.order import Order
from executor.domain.signal_record import SignalRecord
from executor.engine.manual_resolution import resolve_not_placed, resolve_placed, retry_signal
from executor.errors import NotAllowed
from executor.operations.access import Access, Actor
from executor.operations.audit import audited


def retry_failed(access: Access, actor: Actor, task_id: str, *, force: bool) -> SignalRecord:
    """Run a failed task's signal again, from the risk check on; `force` gives a stale one a new deadline.

    Raises:
        NotAllowed, Contended: it was not started, and why.
        IdentityMismatch, StoreUnavailable: nothing was done.
    """
    with audited(access, actor, "retry --force" if force else "retry", task_id) as act:
        access.require_identity()
        fields = access.failed.all().get(task_id)
        if fields is None:
            raise NotAllowed(f"there is no failed task or signal {task_id}")
        record = retry_signal(access.engine, fields.get("signal_id", ""), force=force, who=str(actor))
        access.dispatch(record)
        access.failed.discard(task_id)
        act.after = {"signal_id": record.signal_id, "attempt": record.attempt}
    return record


def discard_failed(access: Access, actor: Actor, task_id: str) -> None:
    """Drop a failed task from the list; its signal stays as it is.

    Raises:
        NotAllowed: it is not there.
    """
    with audited(access, actor, "discard", task_id):
        access.require_identity()
        if not access.failed.discard(task_id):
            raise NotAllowed(f"there is no failed task or signal {task_id}")


def resolve_order(access: Access, actor: Actor, order_id: str, bet_id: str) -> Order:
    """Book a person's word on an order whose outcome stays unknown: it is this bet, or (empty) it was not placed.

    Raises:
        NotAllowed, Contended: nothing was booked, and why.
        ExecutorError: the exchange could not be asked.
    """
    with audited(access, actor, "resolve", order_id) as act:
        access.require_identity()
        act.after = {"verdict": f"bet {bet_id}" if bet_id else "not placed"}
        if bet_id:
            order = resolve_placed(access.engine, order_id, bet_id, str(actor))
        else:
            order = resolve_not_placed(access.engine, order_id, str(actor))
        act.after = {**act.after, "status": order.status}
    return order

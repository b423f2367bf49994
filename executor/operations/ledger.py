"""What the ledger has not got, and telling it again.

Invariant: what differs is found without an account at the exchange; telling again is an act, and booked as one.
"""

from executor.adapters.redis.accounts import RedisAccounts
from executor.engine.ledger_repair import Difference, find_differences, repair_ledger
from executor.operations.access import Access, Actor
from executor.operations.audit import audited


def differences(access: Access) -> list[Difference]:
    """Compare Redis with the ledger.

    Raises:
        LedgerUnavailable, StoreUnavailable: one of them does not answer.
    """
    identity = access.settings.identity
    return find_differences(identity, access.store, RedisAccounts(access.redis), access.ledger)


def repair(access: Access, actor: Actor) -> int:
    """Tell the ledger again what it has not got; returns how many entries of the feed that are.

    Raises:
        IdentityMismatch, StoreUnavailable, LedgerUnavailable, ExecutorError: nothing, or not all, was told.
    """
    with audited(access, actor, "ledger repair") as act:
        access.require_identity()
        told = repair_ledger(access.engine)
        act.after = {"entries": told}
    return told

"""One sandbox: its exchange, sessions, faults and journal, and how they start anew.

Owns: putting the parts together. Invariant: after a reset with the same seed the same calls give the same answers;
sessions outlive a reset, so that no client has to log in again. Units: epoch milliseconds.
"""

import time
from decimal import Decimal
from typing import Final

from betfair_sandbox.api.operations import Operations
from betfair_sandbox.api.sessions import Sessions
from betfair_sandbox.control.faults import Faults
from betfair_sandbox.journal import Journal
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import FIRST_BET_ID, Exchange
from betfair_sandbox.options import SandboxOptions, as_customer
from betfair_sandbox.replay.recorder import Recorder
from betfair_sandbox.replay.replay import Replay
from betfair_sandbox.stream.hub import Hub

# Bets of a sandbox started later have higher ids, as at Betfair: a client's ledger knows the earlier ones for ever. No
# sandbox takes a thousand bets in every second of its life; the ids keep Betfair's twelve digits for twenty years.
_IDS_PER_S: Final = 1_000
_IDS_SINCE_S: Final = 1_750_000_000


def clock_ms() -> int:
    """Return the time of day."""
    return time.time_ns() // 1_000_000


class World:
    """Everything the server serves."""

    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        self._first_bet_id = FIRST_BET_ID + (clock_ms() // 1000 - _IDS_SINCE_S) * _IDS_PER_S
        self.exchange = self._new_exchange(options.seed, None)
        self.operations = Operations(self.exchange)
        self.sessions = Sessions(self.exchange.accounts, options.session_lifetime_s * 1000, clock_ms)
        self.faults = Faults(options.seed)
        self.journal = Journal()
        self.hub = Hub(self.exchange, clock_ms)
        self.replay = self._new_replay()
        self.recorder = None if options.record is None else Recorder(options.record, self.exchange, clock_ms)

    def reset(
        self, seed: int | None = None, balance: Decimal | None = None, session_lifetime_s: int | None = None
    ) -> None:
        """Start anew: no markets, bets, faults or journal, the accounts it was started with, a replay from its start.

        None takes the value the sandbox was started with; `balance` is every account's.
        """
        seed = self.options.seed if seed is None else seed
        lifetime_s = self.options.session_lifetime_s if session_lifetime_s is None else session_lifetime_s
        self.operations.stop()
        self.exchange = self._new_exchange(seed, balance)
        self.operations = Operations(self.exchange)
        self.sessions.adopt(self.exchange.accounts)
        self.sessions.lifetime_ms = lifetime_s * 1000
        self.faults = Faults(seed)
        self.journal = Journal()
        self.hub.adopt(self.exchange)
        if self.replay is not None:
            self.replay.close()
        self.replay = self._new_replay()
        if self.recorder is not None:
            self.recorder.adopt(self.exchange)

    def open_account(self, name: str, balance: Decimal | None = None) -> Account:
        """Open a further account under a free name, until a reset; None: with the balance of the first at the start."""
        balance = self.options.balance if balance is None else balance
        account = _account(as_customer(self.options, name), balance)
        self.exchange.open_account(account)
        return account

    def tick(self) -> None:
        """Do what is due: the house's moves, the recording of what happened."""
        self.exchange.tick()
        self.operations.tick()
        if self.recorder is not None:
            self.recorder.write()

    def stop(self) -> None:
        """End what outlives a call: waiting orders, streams, the recording."""
        self.operations.stop()
        self.hub.stop()
        if self.replay is not None:
            self.replay.close()
        if self.recorder is not None:
            self.recorder.close()

    def _new_replay(self) -> Replay | None:
        options = self.options
        if options.replay is None:
            return None
        return Replay(self.exchange, options.replay, clock_ms, options.replay_speed, options.replay_from)

    def _new_exchange(self, seed: int, balance: Decimal | None) -> Exchange:
        options = self.options
        customers = [(options, options.balance)]
        customers += [(as_customer(options, name), own) for name, own in options.further_accounts]
        accounts = [_account(customer, own if balance is None else balance) for customer, own in customers]
        return Exchange(accounts, seed, clock_ms, self._first_bet_id)


def _account(customer: SandboxOptions, balance: Decimal) -> Account:
    return Account(
        customer.username,
        customer.password,
        customer.app_key,
        customer.delayed_app_key,
        balance,
        customer.currency,
    )

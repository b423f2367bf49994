"""Errors, named by what the caller must do. A leaf: imports nothing of ours."""


class ExecutorError(Exception):
    """Base of every error of ours; its text is one line that a person can act on."""


class InvalidSignal(ExecutorError):
    """A message is not a signal: count it, record it, drop it. `field` names the offending field."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class NotSent(ExecutorError):
    """Nothing left this machine, or the exchange said that it did not look at the call: a retry is safe."""


class NoLongerAllowed(NotSent):
    """What had allowed a call was gone when its first byte could go: nothing was sent; decide anew. `code` says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Refused(ExecutorError):
    """The exchange said no to the whole call: final. `code` is Betfair's error code."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code = code


class LoginRefused(Refused):
    """The exchange refused the login. Only a `retryable` one may be tried again, not before `after_s` seconds.

    Any other is not tried again by itself until the settings or the files behind them change, or a person says so.
    """

    def __init__(self, code: str, *, retryable: bool, after_s: float = 0) -> None:
        super().__init__(code, "" if retryable else "(log in on the website to see what the account needs)")
        self.retryable = retryable
        self.after_s = after_s


class SessionExpired(ExecutorError):
    """The session token was refused, so the call was not carried out: log in, then repeat it."""


class Throttled(NotSent):
    """The exchange was too busy to look at the call: repeat it after `after_s` seconds."""

    def __init__(self, code: str, after_s: float) -> None:
        super().__init__(code)
        self.code = code
        self.after_s = after_s


class OutcomeUnknown(ExecutorError):
    """The call may or may not have been carried out: never repeat it; ask the exchange by reference."""


class StoreUnavailable(ExecutorError):
    """Redis cannot be read or written: stop, place nothing."""


class RecordUnreadable(StoreUnavailable):
    """A record in Redis is none: nothing is decided where it counts; the rest goes on."""


class SignalUnrecordable(StoreUnavailable):
    """Something else stands in Redis where this one signal is to be remembered: waiting changes nothing."""


class Contended(ExecutorError):
    """Others kept changing what was read: try again, a bounded number of times."""


class NotYet(ExecutorError):
    """What is needed may be there in a moment: try again in a second, nothing was decided."""


class LedgerUnavailable(ExecutorError):
    """The ledger database did not answer: leave the entries in the stream and go on."""


class IdentityMismatch(ExecutorError):
    """This Redis db belongs to another account or mode: refuse to start."""


class NotAllowed(ExecutorError):
    """A person asked for something that the state of things forbids; the text says why."""


class CertificateInvalid(LoginRefused):
    """The client certificate cannot be used: no login is possible until a person does what the text says."""

    def __init__(self, problem: str) -> None:
        super().__init__("CERTIFICATE_INVALID", retryable=False)
        self.args = (problem,)

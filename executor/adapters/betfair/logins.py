"""Why a login is not tried.

Invariant: a refusal that only a person can mend stands for the credentials that it was for, a ban for everybody.
"""

from executor.errors import CertificateInvalid, LoginRefused


class LoginHeldBack(LoginRefused):
    """No login was tried: an earlier refusal stands, or a ban does for `after_s` more seconds."""

    def __init__(self, code: str, *, after_s: float | None = None) -> None:
        super().__init__(code, retryable=after_s is not None, after_s=after_s or 0)
        self.args = (
            f"{code}: no login is tried until the settings or the certificate change, or a person wants it: "
            "executor check --login"
            if after_s is None
            else f"{code}: no login is tried for another {after_s:.0f} s (Betfair bans logins for a while)",
        )


class CertificateRefused(CertificateInvalid):
    """The server does not accept our certificate: it is not tried again before it, or something else, changes."""

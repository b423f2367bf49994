"""One finding of `executor check`: what was looked at, how it is, and what to do."""

from dataclasses import dataclass
from typing import Final, Literal

Result = Literal["ok", "warn", "FAIL", "skip"]

OK: Final = "ok"
WARN: Final = "warn"  # it trades, but not as safely as it could
FAIL: Final = "FAIL"  # it does not trade, or nobody follows the orders up
SKIP: Final = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the doctor's; `advice` is what to do, where something is wrong."""

    name: str
    result: Result
    detail: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it for programs."""
        return {"name": self.name, "result": self.result.lower(), "detail": self.detail, "advice": self.advice}

"""What a storm came to, as one table and, where a promise was broken, the evidence."""

from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from support.stepped_clock import SteppedClock

from storm.books import Books
from storm.breakage import Breakage
from storm.plan import EVERY_S, FAILOVERS
from storm.publisher import Publisher
from storm.verdict import Verdict

_KILLS: Final = tuple(kind for kind in EVERY_S if kind.startswith("kill"))
_PAUSES: Final = tuple(kind for kind in EVERY_S if kind.endswith("pause") or kind.startswith("pause"))
_RESTARTS: Final = ("redis restart", "redis kill", "redis power cut")
_ACCIDENTS: Final = ("line cut", "damage files", "disk full", "odd bet", "odd rows", "clock step")
_REASONS: Final = 6  # why signals were not executed, the commonest
_EVIDENCE: Final = 40  # lines; the first say as much as all


@dataclass
class Result:
    """The numbers of one storm and what was broken."""

    seed: int
    minutes: float
    numbers: dict[str, object] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    mode: str = ""  # of `make storm`, to replay it

    def lines(self) -> list[str]:
        """Return the table and the evidence."""
        width = max(len(name) for name in self.numbers)
        shown = [f"  {name:<{width}}  {value}" for name, value in self.numbers.items()]
        if not self.violations:
            return [*shown, f"storm: ok seed={self.seed} accidents: {self.numbers['accidents']}"]
        more = len(self.violations) - _EVIDENCE
        rest = [f"  ... and {more} more"] if more > 0 else []
        replay = f"replay with: make storm SEED={self.seed} MINUTES={self.minutes:g}{self.mode}"
        return [*shown, *self.violations[:_EVIDENCE], *rest, f"storm: FAILED seed={self.seed}; {replay}"]


def result(
    seed: int, minutes: float, publisher: Publisher, breakage: Breakage, books: Books, judged: Verdict
) -> Result:
    """Count."""
    diary = breakage.diary
    statuses = Counter(record["status"] for record in books.signals.values())
    accepted = [record for record in books.signals.values() if record["status"] in {"COMPLETED", "FAILED"}]
    reasons = Counter(
        str(record.get("reason", "")) for record in books.signals.values() if record["status"] != "COMPLETED"
    )
    took = [(record["finished_at"] - record["received_at"]) / 1000 for record in accepted] or [0.0]
    adopted = sum(order["strategy"] == "adopted" for order in books.orders.values())
    restarts = sum(diary.counts[name] for name in _RESTARTS)
    numbers: dict[str, object] = {
        "seed": seed,
        "minutes": f"{minutes:g}",
        "signals": f"{len(publisher.published)} (published {publisher.said} times, {publisher.over_http} of them over "
        f"HTTP, {publisher.repeats} repeats)",
        "accepted": f"{len(accepted)} ({statuses['COMPLETED']} completed, {statuses['FAILED']} failed)",
        "rejected": f"{statuses['REJECTED'] + statuses['EXPIRED']} ({statuses['EXPIRED']} expired)",
        "why not": ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(_REASONS)),
        "placed": f"{sum(map(len, books.bets.values()))} ({adopted} adopted)",
        "kills": ", ".join(f"{diary.counts[name]} {name.removeprefix('kill ')}" for name in _KILLS),
        "pauses": sum(diary.counts[name] for name in _PAUSES),
        "redis restarts": f"{restarts} ({diary.counts['redis power cut']} losing the last second)",
        "blips": diary.counts["blip"],
        "faults": books.faults,
        "accidents": ", ".join(f"{diary.counts[name]} {name}" for name in _ACCIDENTS),
        "line": breakage.line,
        "odd rows told": books.odd_rows,
        "clocks stepped": ", ".join(sorted(breakage.stepped)) or f"none: {SteppedClock.why_not()}",
        "order streams": f"connected {books.streams} times",
        "trips": diary.counts["trip"],
        **judged.counts,
        "time to resolve": f"p50 {median(took):.2f} s, max {max(took):.1f} s",
    }
    if breakage.failovers:
        numbers |= dict(row.split(" after ") for row in breakage.failovers.phases.table())
        unsaid = ("kills", "pauses", "redis restarts", "blips", "odd rows told", "clocks stepped")
        numbers = {name: value for name, value in numbers.items() if name not in unsaid}
        numbers["accidents"] = ", ".join(f"{diary.counts[kind]} {kind}" for kind in FAILOVERS)
        numbers["next order"] = breakage.failovers.phases.next_order()
    return Result(seed, minutes, numbers, list(judged.violations))

"""`/api/check`, `/api/status`, `/api/alerts`, `/api/audit`: what the system says of itself."""

import json

from fastapi import APIRouter

from executor.console.api.models import ActModel, AlertModel, FindingModel, Page, Status
from executor.console.api.paging import After, Limit, cursor, read_cursor
from executor.console.context import Console, Here, Viewer
from executor.operations.check_exchange import Login
from executor.operations.check_result import Finding
from executor.operations.checks import examine
from executor.operations.status import standing_alerts, status_json

router = APIRouter(tags=["status"])


def findings(console: Console) -> list[Finding]:
    """Examine everything but the login, at most every five seconds."""
    return console.cache.get("check", lambda: list(examine(lambda: console.access, login=Login.NO)), fresh_s=5.0)


@router.get("/check")
def check(who: Viewer, console: Here) -> list[FindingModel]:
    """Examine everything that trading needs; no login is tried."""
    del who
    return [FindingModel(**finding.as_json()) for finding in findings(console)]


@router.get("/status")
def status(who: Viewer, console: Here) -> Status:
    """Return the shape of `executor status --json`."""
    del who
    return plain(status_json(console.settings, console.state()))


def plain(value: object) -> Status:
    """Turn amounts into text."""
    loaded: Status = json.loads(json.dumps(value, default=lambda amount: f"{amount:f}"))
    return loaded


def alerts_of(console: Console) -> list[AlertModel]:
    """Return the alerts that stand, the oldest first."""
    found = console.cache.get("alerts", lambda: standing_alerts(console.access))
    models = [
        AlertModel(alert=name, since=fields.get("since"), detail=fields.get("detail", "")) for name, fields in found
    ]
    return sorted(models, key=lambda model: model.since or "")


@router.get("/alerts")
def alerts(who: Viewer, console: Here) -> list[AlertModel]:
    """Return the alerts that stand."""
    del who
    return alerts_of(console)


def acts_of(console: Console, limit: int, after: str) -> Page[ActModel]:
    """Return what was done by hand, newest first."""
    ledger = console.access.ledger
    place = read_cursor(after)
    rows = ledger.acts(console.settings.identity, limit + 1, after=place) if ledger.exists() else []
    items = [ActModel(**{name: row[name] for name in ActModel.model_fields}) for row in rows[:limit]]
    more = len(rows) > limit
    return Page(items=items, next=cursor(rows[limit - 1]["at"], rows[limit - 1]["entry"]) if more else None)


@router.get("/audit")
def audit(who: Viewer, console: Here, limit: Limit = 50, after: After = "") -> Page[ActModel]:
    """Return what was done by hand or refused, newest first; it is there once the ledger is written."""
    del who
    return acts_of(console, limit, after)

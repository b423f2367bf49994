"""`/api/failed`: what failed for good."""

from fastapi import APIRouter, Response

from executor.console.api.models import FailedModel, RetryBody, SignalModel
from executor.console.context import Console, Here, Operator, Viewer
from executor.console.problems import NotFound
from executor.operations.failed import discard_failed, retry_failed
from executor.operations.signals import signal_json

router = APIRouter(prefix="/failed", tags=["failed"])


@router.get("")
def failed(who: Viewer, console: Here) -> list[FailedModel]:
    """List what failed for good, oldest first."""
    del who
    return [FailedModel(task_id=name, fields=fields) for name, fields in console.access.failed.all().items()]


def _known(console: Console, task_id: str) -> None:
    if task_id not in console.access.failed.all():
        raise NotFound("there is no such failed task or signal")


@router.post("/{task_id:path}/retry", status_code=202)
def retry(who: Operator, console: Here, task_id: str, body: RetryBody | None = None) -> SignalModel:
    """Run its signal again, from the risk check on; never what is, or may be, at the exchange."""
    _known(console, task_id)
    record = retry_failed(console.access, who.actor, task_id, force=bool(body and body.force))
    return SignalModel(**signal_json(record))


@router.delete("/{task_id:path}", status_code=204)
def discard(who: Operator, console: Here, task_id: str) -> Response:
    """Drop it from the list; its signal stays as it is."""
    _known(console, task_id)
    discard_failed(console.access, who.actor, task_id)
    return Response(status_code=204)

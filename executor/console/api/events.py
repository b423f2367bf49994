"""`/api/events`: what happens, as server-sent events for programs; pages of ours poll instead."""

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from executor.console.api.status import plain
from executor.console.context import Here, Viewer
from executor.console.events import Events
from executor.operations.status import status_json

router = APIRouter(tags=["events"])


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
def events(who: Viewer, console: Here, request: Request) -> StreamingResponse:
    """Stream a snapshot of the status, then orders, fills, signals, alerts and trading as they happen."""
    del who
    streams: Events = request.app.state.events
    streams.check_room()
    console.state()  # Redis away: a problem, and no stream of nothing
    answer = streams.stream(lambda: plain(status_json(console.settings, console.state())))
    return StreamingResponse(answer, media_type="text/event-stream")

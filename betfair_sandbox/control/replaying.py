"""What the control API does to a replay: where it is, pause, speed, line by line.

Owns: reading and checking these requests. Units: speed is recorded seconds per second.
"""

from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params
from betfair_sandbox.control.facts import between
from betfair_sandbox.replay.replay import FASTEST, Replay
from betfair_sandbox.world import World

_MOST_LINES: Final = 5_000  # about a second, in which nobody else is answered


def replay_status(world: World, _params: Params) -> Json:
    """Return where the replay is, what it skipped, and what explains each fill."""
    return _replay(world).status()


def replay_action(world: World, params: Params) -> Json:
    """Change speed, pause or go on, play some lines now."""
    replay = _replay(world)
    speed, lines = params.amount("speed"), between(params, "step", 1, _MOST_LINES)
    if speed is not None and not 0 < speed <= FASTEST:
        raise BadValue(f"speed is not in 0..{FASTEST}")
    if speed is not None:
        replay.set_speed(speed)
    if params.has("paused"):
        replay.pause(paused=params.flag("paused"))
    if lines is not None:
        replay.step(lines)
    return {**replay.status(), "fills": []}


def _replay(world: World) -> Replay:
    if world.replay is None:
        raise BadValue("nothing is replayed: start the sandbox with --replay FILE")
    return world.replay

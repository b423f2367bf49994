"""In a network of its own: a Redis that is somebody else's on port 6379, `executor up` with no option, a signal.

Prints what the test looks at as one JSON line.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

from executor.devstack.redis_server import HOST, PrivateRedis

PROGRAM = Path(sys.executable).with_name("executor")
_START_S = 90.0


def wait_for(look: Callable[[], object], what: str) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + _START_S
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come about")
        time.sleep(0.1)


def main() -> None:
    """Run it."""
    folder = Path(sys.argv[1])
    output = folder / "shown"
    with (
        PrivateRedis(folder / "foreign", port=6379),
        redis.Redis(host=HOST, port=6379, decode_responses=True) as foreign,
    ):
        foreign.set("somebody", "else's")
        foreign.config_resetstat()
        with output.open("wb") as shown:
            up = subprocess.Popen(
                [PROGRAM, "up"],
                cwd=folder,
                env={"PATH": os.environ["PATH"]},
                stdout=shown,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(lambda: "Press Ctrl+C" in output.read_text() or up.poll() is not None, "the start")
            line = re.search(r"redis-cli -p (\d+) PUBLISH (\S+) '(\{.*\})'", output.read_text())
            if line is None:
                raise SystemExit(output.read_text())
            with redis.Redis(host=HOST, port=int(line[1])) as ours:
                heard = ours.publish(line[2], line[3].replace("'$(date +%s)'", "1"))
            wait_for(lambda: "fill      1.1/99999" in output.read_text(), "the order")
            ran = subprocess.run([PROGRAM, "status", "--json"], cwd=folder, env={}, capture_output=True, check=True)
            result = {
                "heard": heard,
                "shown": output.read_text(),
                "active": json.loads(ran.stdout)["orders"],
                "commands": sorted(foreign.info("commandstats")),
                "keys": foreign.keys(),
                "peers": len(foreign.client_list()),
            }
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)
    sys.stdout.write(json.dumps(result) + "\n")


main()

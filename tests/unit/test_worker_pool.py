"""Which process of a pool gets a task, and when: at once, the one that was free last. In a process that may fork."""

import json
import subprocess
import sys

# Hands tasks to a pool of three, one behind the other and then all at once, and says who ran them.
POOL = """
import json, os, sys, time
from kombu.asynchronous import Hub, set_event_loop
from executor.worker_pool import TaskPool, WarmPool

def work(seconds):
    time.sleep(seconds)
    return os.getpid()

hub = Hub()
set_event_loop(hub)
pool = (TaskPool if sys.argv[1] == "ours" else TaskPool.__base__).Pool(processes=3, threads=False, synack=False)
pool.register_with_event_loop(hub)
loop = hub.create_loop()
ends = time.monotonic() + 30

def turn_until(look):
    while not look():
        assert time.monotonic() < ends, "not within 30 s"
        next(loop)

turn_until(lambda: len(pool._all_inqueues) == 3)
alone, at_once = [], []
for _ in range(6):
    found = []
    pool.apply_async(work, (0,), callback=found.append)
    at_once.append(not pool.outbound_buffer)  # it was handed over before the loop's next turn
    turn_until(lambda: found)
    alone += found
together = []
for _ in range(7):
    pool.apply_async(work, (0.05,), callback=together.append)
turn_until(lambda: len(together) == 7)
print(json.dumps({"alone": alone, "at_once": at_once, "together": together}))
pool.terminate()
os._exit(0)
"""


def run(kind: str) -> dict[str, list[int]]:
    done = subprocess.run([sys.executable, "-c", POOL, kind], capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found


def test_a_task_goes_at_once_to_the_process_that_was_free_last() -> None:
    ours = run("ours")
    assert ours["at_once"] == [True] * 6
    assert len(set(ours["alone"])) == 1
    assert len(ours["together"]) == 7, "what waits for a free process gets one"
    assert len(set(ours["together"])) == 3


def test_celerys_own_pool_waits_for_its_loop() -> None:
    assert not any(run("celerys")["at_once"]), "then ours is needed no more"

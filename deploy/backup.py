"""Take a backup of Redis's append-only file and of the ledger while both are in use, and put one back.

    .venv/bin/python deploy/backup.py take INTO --redis-dir /var/lib/redis
    .venv/bin/python deploy/backup.py restore FROM --redis-dir /var/lib/redis

Reads the settings of the folder it is run in, as the executor does. Owns nothing: what a restore replaces is moved
aside, never deleted. Invariant: a copy is only put back whole, as its checksums say, and only where no Redis answers. A
ledger on PostgreSQL is left to pg_dump and pg_restore.
"""
# ruff: noqa: INP001 - a script, in no package

import argparse
import hashlib
import json
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import redis

from executor.adapters.redis.client import connect
from executor.settings.load import SettingsError, load_settings

APPEND_ONLY: Final = "appendonlydir"
LEDGER: Final = "ledger.db"
LIST: Final = "backup.json"
_REWRITE: Final = "auto-aof-rewrite-percentage"
_WAIT_S: Final = 120.0
_NEXT: Final = """\
Next: start Redis alone, then the rest. The first complete poll compares every order with the exchange; where these data
are older than what ledger or exchange know, it switches trading off and says so (`executor status`). Look at
`executor limits` and `executor orders --active`, then `executor resume`."""


def _fail(why: str) -> NoReturn:
    sys.stderr.write(f"backup: {why}\n")
    sys.exit(1)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != LIST)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def take(client: "redis.Redis", redis_dir: Path, ledger: Path, into: Path) -> None:
    """Copy both; the append-only file is not rewritten meanwhile."""
    if into.exists() and any(into.iterdir()):
        _fail(f"{into} is not empty")
    if not (redis_dir / APPEND_ONLY).is_dir():
        _fail(f"{redis_dir} has no {APPEND_ONLY}: is this the data folder of Redis, and appendonly on?")
    into.mkdir(parents=True, exist_ok=True)
    before = client.config_get(_REWRITE)[_REWRITE]
    client.config_set(_REWRITE, 0)
    try:
        ends = time.monotonic() + _WAIT_S
        while client.info("persistence")["aof_rewrite_in_progress"]:
            if time.monotonic() > ends:
                _fail("Redis has been rewriting its file for two minutes; try again later")
            time.sleep(0.1)
        shutil.copytree(redis_dir / APPEND_ONLY, into / APPEND_ONLY)
    finally:
        client.config_set(_REWRITE, before or "100")
    if ledger.exists():
        with closing(sqlite3.connect(ledger)) as database:  # a copy of the file alone would miss its write-ahead log
            database.execute("VACUUM INTO ?", (str(into / LEDGER),))
    taken: dict[str, Any] = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "files": _digests(into)}
    (into / LIST).write_text(json.dumps(taken, indent=1), encoding="utf-8")
    _say(f"backup of {taken['taken_at']} in {into}: {', '.join(taken['files'])}")


def restore(client: "redis.Redis", redis_dir: Path, ledger: Path, source: Path) -> None:
    """Put a backup back; what was there is moved aside."""
    try:
        taken = json.loads((source / LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        _fail(f"{source} is no backup of ours: {error}")
    found = _digests(source)
    if wrong := sorted(name for name in {*found, *taken["files"]} if found.get(name) != taken["files"].get(name)):
        _fail(f"{source} is not as it was taken: {', '.join(wrong)}")
    try:
        client.ping()
    except redis.RedisError:
        pass
    else:
        _fail("Redis answers: stop everything first, Redis last")
    aside = datetime.now(UTC).strftime(".before-%Y%m%dT%H%M%SZ")
    for there in (redis_dir / APPEND_ONLY, ledger, *(ledger.with_name(ledger.name + end) for end in ("-wal", "-shm"))):
        if there.exists():
            there.rename(there.with_name(there.name + aside))
    shutil.copytree(source / APPEND_ONLY, redis_dir / APPEND_ONLY)
    if (source / LEDGER).exists():
        ledger.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / LEDGER, ledger)
    _say(f"restored the backup of {taken['taken_at']}; what was there ends in {aside}. Give the files to Redis's user.")
    _say(_NEXT)


def main() -> None:
    """Take or restore one."""
    parser = argparse.ArgumentParser(prog="deploy/backup.py", description="Back up Redis and the ledger.")
    parser.add_argument("act", choices=["take", "restore"])
    parser.add_argument("folder", type=Path, help="of the backup")
    parser.add_argument("--redis-dir", type=Path, required=True, help="Redis's data folder, with appendonlydir in it")
    options = parser.parse_args()
    try:
        settings = load_settings()
    except SettingsError as error:
        _fail(str(error))
    act = take if options.act == "take" else restore
    try:
        with connect(settings.redis.url) as client:
            act(client, options.redis_dir, settings.data_dir / LEDGER, options.folder)
    except (redis.RedisError, OSError, sqlite3.Error) as error:
        _fail(str(error))


if __name__ == "__main__":
    main()

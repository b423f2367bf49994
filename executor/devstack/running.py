"""By which files a running `executor up` is found. A leaf: every command looks for one before it does anything."""

from typing import Final

LOCK: Final = "up.lock"
ENVIRONMENT: Final = "up.env"
REDIS_URL: Final = "EXECUTOR_REDIS__URL"

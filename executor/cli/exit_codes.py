"""What a command's exit code means; apart from `output`, as asking for the list of commands needs nothing of that."""

from typing import Final

DONE: Final = 0
REFUSED: Final = 1  # refused or unhealthy; the reason is on stderr
INTERRUPTED: Final = 130  # as shells say it: 128 + SIGINT

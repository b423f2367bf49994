"""A `redis-cli` for tests where none is installed: one command, its reply as text, exit code 1 on an error."""

import sys

import redis


def _shown(reply: object) -> str:
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "replace")
    if isinstance(reply, dict):
        return "\n".join(f"{_shown(name)}\n{_shown(value)}" for name, value in reply.items())
    if isinstance(reply, list):
        return "\n".join(map(_shown, reply))
    return "" if reply is None else str(reply)


def main(words: list[str]) -> int:
    """Send what follows the options."""
    port = 6379
    while words and words[0] == "-p":
        port, words = int(words[1]), words[2:]
    with redis.Redis(port=port) as client:
        try:
            sys.stdout.write(f"{_shown(client.execute_command(*words))}\n")
        except redis.ResponseError as error:
            sys.stderr.write(f"(error) {error}\n")
            return 1
    return 0


sys.exit(main(sys.argv[1:]))

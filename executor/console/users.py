"""The users file: a line per person, with the hash of a password.

`name:roles:scrypt$15$8$1$salt$hash`; empty lines and `#` lines are left out. Invariants: a password is compared in
constant time, and as long for a name that nobody has; the file is read again when it changes; a wrong line stops the
start, and later keeps the users as they were. Salt and hash are base64.
"""

import base64
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from executor.console.principal import NAME, Role, parse_roles
from executor.errors import ExecutorError

log = structlog.get_logger(__name__)

_LOG_N: Final = 15  # 32 MiB and a tenth of a second for each try
_R: Final = 8
_P: Final = 1
_MEMORY: Final = 64 * 1024 * 1024
_MAX_PASSWORD: Final = 1024  # bytes; hashing is dear, and nobody types more
MIN_PASSWORD: Final = 10
_AT_ONCE: Final = 2  # hashes: more would take the memory and both processors from trading
_hashing: Final = threading.BoundedSemaphore(_AT_ONCE)


class UsersFileError(ExecutorError):
    """The users file cannot be used; the text names the line."""


@dataclass(frozen=True, slots=True)
class User:
    """A line of the file; `mark` changes with it, so that a change ends the sessions that were begun before."""

    name: str
    roles: frozenset[Role]
    hashed: str
    mark: str


def password_line(name: str, roles: frozenset[Role], password: str) -> str:
    """Make a person's line for the users file.

    Raises:
        UsersFileError: the name or the password will not do.
    """
    if not NAME.fullmatch(name):
        raise UsersFileError(f"{name[:40]!r}: a name of 1 to 32 letters, digits, dots, - and _ is expected")
    if len(password) < MIN_PASSWORD:
        raise UsersFileError(f"a password of at least {MIN_PASSWORD} characters is expected")
    salt = secrets.token_bytes(16)
    hashed = _scrypt(password, salt, _LOG_N, _R, _P)
    text = "$".join(("scrypt", str(_LOG_N), str(_R), str(_P), _encode(salt), _encode(hashed)))
    return f"{name}:{','.join(sorted(roles))}:{text}"


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    with _hashing:
        return hashlib.scrypt(
            password.encode()[: _MAX_PASSWORD + 1], salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MEMORY, dklen=32
        )


def matches(hashed: str, password: str) -> bool:
    """Tell whether it is the password."""
    _, log_n, r, p, salt, expected = hashed.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(log_n), int(r), int(p))
    return len(password.encode()) <= _MAX_PASSWORD and hmac.compare_digest(found, base64.b64decode(expected))


def _check_hash(text: str) -> None:
    kind, log_n, r, p, salt, hashed = text.split("$")
    if kind != "scrypt" or not (14 <= int(log_n) <= 15 and int(r) == _R and int(p) == _P):  # noqa: PLR2004 - 64 MiB at most
        raise ValueError("scrypt$15$8$1$... is expected")
    if len(base64.b64decode(salt, validate=True)) < 8 or len(base64.b64decode(hashed, validate=True)) != 32:  # noqa: PLR2004
        raise ValueError("a salt and a hash are expected")


def parse_users(text: str) -> dict[str, User]:
    """Read the file's text.

    Raises:
        UsersFileError: naming the line, never what is in it.
    """
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            name, roles, hashed = stripped.split(":")
            _check_hash(hashed)
            user = User(name, parse_roles(roles), hashed, hashlib.sha256(stripped.encode()).hexdigest()[:16])
        except ValueError:
            user = None
        if user is None or not NAME.fullmatch(user.name) or user.name in users:
            raise UsersFileError(
                f"line {number}: should be name:roles:scrypt$..., as executor console passwd prints it"
            )
        users[user.name] = user
    return users


class Users:
    """The people in a file, or nobody."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] = (0, 0)
        self._users: dict[str, User] = {}
        self._dummy = password_line("nobody", frozenset({Role.VIEWER}), secrets.token_hex(16)).rpartition(":")[2]
        if path is not None:
            self._stamp, self._users = self._read(path)

    def _read(self, path: Path) -> tuple[tuple[int, int], dict[str, User]]:
        try:
            stat = path.stat()
            users = parse_users(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsersFileError(f"EXECUTOR_CONSOLE__USERS_FILE {path} cannot be read: {error}") from None
        except UsersFileError as error:
            raise UsersFileError(f"EXECUTOR_CONSOLE__USERS_FILE {path}, {error}") from None
        if stat.st_mode & 0o077:
            log.warning("users_file_open", path=str(path), hint="others may read it: chmod 600")
        return (stat.st_mtime_ns, stat.st_size), users

    def _current(self) -> dict[str, User]:
        if self._path is None:
            return self._users
        try:
            stat = self._path.stat()
            if (stat.st_mtime_ns, stat.st_size) != self._stamp:
                self._stamp, self._users = self._read(self._path)
        except (OSError, UsersFileError) as error:
            log.error("users_file_unusable", error=str(error), hint="the users stay as they were")  # noqa: TRY400
        return self._users

    def __len__(self) -> int:
        """Count them."""
        return len(self._current())

    def get(self, name: str) -> User | None:
        """Return a person."""
        return self._current().get(name)

    def verify(self, name: str, password: str) -> User | None:
        """Return the person whose name and password these are; takes as long for a name that nobody has."""
        user = self.get(name)
        right = matches(user.hashed if user else self._dummy, password)
        return user if right and user else None

"""Where the console is and how one logs in: its address, and a one-time link while nobody is in the users file.

Invariant: a link is for a terminal only: no log holds one, and it works once within ten minutes.
"""

from executor import wiring
from executor.console.sessions import Sessions
from executor.console.users import Users
from executor.errors import StoreUnavailable
from executor.settings.load import Settings


def address(settings: Settings, port: int = 0) -> str:
    """Return where a browser finds it."""
    console_settings = settings.console
    host = "localhost" if console_settings.host in {"0.0.0.0", "::"} else console_settings.host
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if console_settings.tls_certificate else 'http'}://{name}:{port or console_settings.port}"


def sessions(settings: Settings) -> Sessions:
    """Return what tells who is asking.

    Raises:
        UsersFileError: the users file cannot be used.
    """
    return Sessions(wiring.console_access(settings), Users(settings.console.users_file))


def login_lines(settings: Settings, known: Sessions, port: int = 0) -> list[str]:
    """Say where it is and how to get in; makes a one-time link where there are no users."""
    where = address(settings, port)
    if known.has_users:
        return [f"console on {where}"]
    try:
        link = f"{where}/login?once={known.one_time_link()}"
    except StoreUnavailable as error:
        return [f"console on {where}", f"no one-time link can be made: {error}; later: executor console link"]
    return [
        f"console on {where}",
        f"log in once, within ten minutes: {link}",
        "another link: executor console link; people with passwords: executor console passwd NAME --role viewer",
    ]

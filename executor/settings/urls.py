"""URLs in the settings: what each may look like, what is derived from it, and how it is shown.

A URL may hold a password, so no message here quotes one, and only `mask_url` makes text for people. A refused URL is
a ValueError whose text says what is expected. A leaf: imports nothing of ours.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import AnyUrl, UrlConstraints, ValidationError

_SECRET_OPTION: Final = re.compile(r"(?i)(?<=[?&])([^=&]*(?:password|passwd|secret|token)[^=&]*=)([^&]+)")
_BETWEEN: Final = re.compile(r",(?=[A-Za-z][A-Za-z0-9+.\-]*://)")
_SOCKET_SCHEMES: Final = ("unix", "redis+socket")
_TOKEN_LENGTH: Final = 16  # characters; shorter ones are words, names, ports
_MASK: Final = "***"
SENTINEL: Final = "sentinel"
SENTINEL_S: Final = 1.0  # a dead sentinel must not cost much: the next one knows, too
_SENTINEL_PORT: Final = 26379
_SENTINEL_FORM: Final = "sentinel://[user:password@]host1:26379,host2:26379/DB?master=NAME"
_SENTINEL_OPTIONS: Final = frozenset({"master", "sentinel_user", "sentinel_password", "tls"})
_MOST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """A Redis whose master the sentinels name."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    db: int
    username: str
    password: str = field(repr=False)
    sentinel_user: str
    sentinel_password: str = field(repr=False)
    tls: bool


class _HttpsUrl(AnyUrl):
    _constraints = UrlConstraints(allowed_schemes=["https"], host_required=True)


class _HttpUrl(AnyUrl):
    _constraints = UrlConstraints(allowed_schemes=["http", "https"], host_required=True)


def https_url(text: str) -> str:
    """Return the base URL of an HTTPS API without a trailing slash."""
    try:
        url = _HttpsUrl(text)
    except ValidationError:
        raise ValueError("should be an https:// URL") from None
    if url.username or url.password or url.query is not None or url.fragment is not None:
        raise ValueError("should be an https:// URL without user, query and fragment")
    return str(url).rstrip("/")


def api_url(text: str) -> str:
    """Return the address of the API, without the path of one of its services that somebody may have copied along."""
    return re.sub(r"/exchange(/.*)?$", "", https_url(text))


def identity_url(text: str) -> str:
    """Return the address of the identity service, without the path of a login that somebody may have copied along."""
    return re.sub(r"/api(/[A-Za-z]*)?$", "", https_url(text))


def proxy_url(text: str) -> str:
    """Return the address of an HTTP proxy; it may carry a user and a password."""
    try:
        url = _HttpUrl(text)
    except ValidationError:
        raise ValueError("should be an http:// or https:// URL of a proxy") from None
    if url.query is not None or url.fragment is not None or (url.path or "/") != "/":
        raise ValueError("should be an http:// or https:// URL of a proxy without path, query and fragment")
    return str(url).rstrip("/")


def https_or_loopback_url(text: str) -> str:
    """Return the base URL of an HTTP API: https, or of this machine."""
    try:
        url = _HttpUrl(text)
    except ValidationError:
        raise ValueError("should be an https:// URL") from None
    if url.scheme != "https" and url.host not in {"127.0.0.1", "localhost", "[::1]"}:
        raise ValueError("should be an https:// URL")
    if url.username or url.password or url.query is not None or url.fragment is not None:
        raise ValueError("should be a URL without user, query and fragment")
    return str(url).rstrip("/")


def split_urls(text: str) -> list[str]:
    """Split a list of URLs: between two are blanks, line ends, or a comma; a comma within one is part of it."""
    return [url for part in text.split() for url in _BETWEEN.split(part.strip(",")) if url]


def is_sentinel(text: str) -> bool:
    """Tell whether a URL names sentinels, and not a server."""
    return text.startswith(f"{SENTINEL}://")


def sentinel_url(text: str) -> SentinelUrl:
    """Read a URL of sentinels; a ValueError says what is wrong with it and quotes none of it."""
    rest = text.removeprefix(f"{SENTINEL}://")
    address, _, query = rest.partition("?")
    hosts, _, path = address.partition("/")
    login, at, hosts = hosts.rpartition("@")
    if not is_sentinel(text) or "@" in login or "#" in text or "/" in path or not text.isprintable():
        raise ValueError(f"should be {_SENTINEL_FORM}; the characters @ : / ? # of a password are in percent form")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(options) - _SENTINEL_OPTIONS):
        raise ValueError(
            f"should be {_SENTINEL_FORM}: {unknown[0]!r} is none of {', '.join(sorted(_SENTINEL_OPTIONS))}"
        )
    if not options.get("master"):
        raise ValueError(f"should name the master that the sentinels watch: {_SENTINEL_FORM}")
    if path and not (path.isascii() and path.isdigit() and len(path) <= len("999999")):
        raise ValueError(f"should name the db by a number: {_SENTINEL_FORM}")
    if options.get("tls", "0") not in {"0", "1"}:
        raise ValueError("tls should be 0 or 1")
    user, colon, password = login.partition(":")
    return SentinelUrl(
        sentinels=tuple(_sentinel(name) for name in hosts.split(",")),
        master=options["master"],
        db=int(path or 0),
        username=unquote(user) if at else "",
        password=unquote(password) if colon else "",
        sentinel_user=options.get("sentinel_user", ""),
        sentinel_password=options.get("sentinel_password", ""),
        tls=options.get("tls") == "1",
    )


def _sentinel(text: str) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":") if ":" in text and not text.endswith("]") else (text.strip(), "", "")
    is_ipv6 = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_ipv6 else host
    port = port or str(_SENTINEL_PORT)
    if (
        not host
        or set(host) & set("[]")
        or (":" in host and not is_ipv6)
        or not port.isascii()
        or not port.isdigit()
        or len(port) > len(str(_MOST_PORT))
        or not 0 < int(port) <= _MOST_PORT
    ):
        raise ValueError(f"should name each sentinel as host:port: {_SENTINEL_FORM}")
    return host, int(port)


def celery_url(url: str) -> str:
    """Return a broker's URL as kombu reads it: of sentinels one for each, with the login of the server in all."""
    if not is_sentinel(url):
        return url
    known = sentinel_url(url)
    login = f"{quote(known.username, safe='')}:{quote(known.password, safe='')}@" if known.password else ""
    return ";".join(f"{SENTINEL}://{login}{_netloc(host)}:{port}/{known.db}" for host, port in known.sentinels)


def sentinel_transport(url: str) -> dict[str, Any]:
    """Return what kombu needs beside the URL: the master's name, and how the sentinels are spoken to."""
    known = sentinel_url(url)
    login = {"username": known.sentinel_user, "password": known.sentinel_password, "ssl": known.tls}
    options = {"socket_timeout": SENTINEL_S, "socket_connect_timeout": SENTINEL_S}
    return {
        "master_name": known.master,
        "sentinel_kwargs": options | {name: value for name, value in login.items() if value},
    }


def sentinel_ssl(url: str) -> dict[str, Any] | None:
    """Return what Celery calls broker_use_ssl, None without TLS; kombu asks nobody else whether to use it."""
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True} if sentinel_url(url).tls else None


def _netloc(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def redis_url(text: str) -> str:
    """Check a URL that we read: redis://, rediss://, unix:// or sentinel://."""
    if is_sentinel(text):
        sentinel_url(text)
        return text
    _redis_parts(text, ("redis", "rediss", "unix"))
    return text


def next_db_broker_url(url: str) -> str:
    """Return the broker's URL on the server of the Redis URL `url`, in the db after its own."""
    if is_sentinel(url):
        address, question, query = url.partition("?")
        head = "/".join(address.split("/")[:3])
        return f"{head}/{sentinel_url(url).db + 1}{question}{query}"
    parts = _redis_parts(url, ("redis", "rediss", "unix"))
    return _broker_url(parts, _db_of(parts) + 1)


def queues_db(url: str, broker: str) -> int | None:
    """Return the db of the broker's URL `broker` where both name the same server and login, else None."""
    if is_sentinel(url) or is_sentinel(broker):
        if not (is_sentinel(url) and is_sentinel(broker)):
            return None
        state, queues = sentinel_url(url), sentinel_url(broker)
        return queues.db if replace(state, db=queues.db) == queues else None
    state_parts, parts = (_redis_parts(text, ("redis", "rediss", *_SOCKET_SCHEMES)) for text in (url, broker))
    db = _db_of(parts)
    return db if _broker_url(state_parts, db) == _broker_url(parts, db) else None


def broker_url(text: str) -> str:
    """Return `text`, a URL as redis-py or Celery writes it, in the form that Celery's transport reads.

    One of sentinels stays as it is: `celery_url` writes it for Celery.
    """
    if is_sentinel(text):
        return redis_url(text)
    parts = _redis_parts(text, ("redis", "rediss", *_SOCKET_SCHEMES))
    return _broker_url(parts, _db_of(parts))


def ledger_url(text: str) -> str:
    """Return a SQLAlchemy URL of SQLite or PostgreSQL, the latter with the driver that the project installs."""
    scheme, separator, rest = text.partition("://")
    backend = scheme.lower().partition("+")[0]
    if not separator or backend not in {"sqlite", "postgres", "postgresql"}:
        raise ValueError("should be a sqlite:/// or postgresql:// URL")
    if backend == "sqlite":
        if not rest.startswith("/"):
            raise ValueError("should be a sqlite:/// URL: three slashes, then the file's path")
        return text
    if not _split(text).hostname:
        raise ValueError("should be a postgresql:// URL with a host")
    # SQLAlchemy 2.0 means psycopg2 by a bare postgresql://, and libpq's postgres:// is unknown to it.
    return text if "+" in scheme else f"postgresql+psycopg://{rest}"


def mask_url(url: str) -> str:
    """Return `url` for people: a password is shown as ***."""
    head, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    if at and ":" in user and not rest.startswith("/"):
        rest = f"{user.partition(':')[0]}:{_MASK}@{host}"
    return _SECRET_OPTION.sub(rf"\g<1>{_MASK}", f"{head}{separator}{rest}")


def url_secrets(url: str) -> frozenset[str]:
    """Return the passwords in `url`, as written and decoded."""
    # Not by urlsplit, which refuses several hosts of which one is an IPv6 address in some releases of Python.
    user, at, _ = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")
    password = user.partition(":")[2] if at else ""
    found = {value for _, value in _SECRET_OPTION.findall(url)} | ({password} if password else set())
    return frozenset(found | {unquote(value) for value in found})


def address_secrets(url: str) -> frozenset[str]:
    """Return what may be secret in an address of Apprise's form: any part may be a token, so all long ones are."""
    parts = re.split(r"[/?&=:@,]+", url.partition("://")[2])
    long = {part for part in parts if len(part) >= _TOKEN_LENGTH}
    # A Telegram bot's token has a colon inside.
    pairs = set(re.findall(rf"[0-9]{{6,}}:[A-Za-z0-9_\-]{{{_TOKEN_LENGTH},}}", url))
    return frozenset(url_secrets(url) | long | pairs | {unquote(one) for one in long})


def _split(text: str) -> SplitResult:
    """Split a URL the way that every reader of it does, or refuse it.

    The readers (redis-py, kombu, SQLAlchemy) disagree about a password with a bare @ / ? or #, and one that is cut
    at the wrong place would end up in a host name, a log or an error.
    """
    expected = "should be a URL; the characters @ : / ? # of a password are written in percent form"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(expected) from None
    if text.count("@") > 1 or parts.netloc.count("@") != text.count("@") or parts.fragment or not text.isprintable():
        raise ValueError(expected)
    return parts


def _redis_parts(text: str, schemes: tuple[str, ...]) -> SplitResult:
    parts = _split(text)
    if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"should be a {', '.join(f'{scheme}://' for scheme in schemes)} URL")
    if parts.scheme in _SOCKET_SCHEMES and (parts.hostname or parts.path in {"", "/"}):
        raise ValueError(f"should be {parts.scheme}:///path/of/the/socket")
    if parts.scheme not in _SOCKET_SCHEMES and not parts.hostname:
        raise ValueError(f"should be a {parts.scheme}:// URL with a host")
    if {"username", "password"} & {name for name, _ in parse_qsl(parts.query)}:
        raise ValueError("should have user and password before the host, as in redis://user:password@host")
    _db_of(parts)
    return parts


def _db_of(parts: SplitResult) -> int:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = "" if parts.scheme in _SOCKET_SCHEMES else unquote(parts.path).strip("/")
    text = options.get("db", options.get("virtual_host", path))
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= len("999999")):
        raise ValueError("should name the db by a number, as in redis://host:6379/0")
    return int(text)


def _broker_url(parts: SplitResult, db: int) -> str:
    """Write the parts as kombu reads them: it refuses redis-py's options, but knows the ssl_ ones."""
    if parts.scheme in _SOCKET_SCHEMES:
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={db}"
    options = [(name, value) for name, value in parse_qsl(parts.query) if name.startswith("ssl_")]
    if parts.scheme == "rediss" and not options:
        # Without any ssl_ option kombu talks plain text even to rediss://; this is redis-py's own default.
        options = [("ssl_cert_reqs", "required")]
    query = f"?{urlencode(options)}" if options else ""
    return f"{parts.scheme}://{parts.netloc}/{db}{query}"

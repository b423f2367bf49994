"""Keeps secrets out of everything that is logged.

Two rules, both applied to every event: a value under a name like a password's is masked whatever it is, in the event's
fields and in text such as `password=...`; and a known secret is masked wherever it stands, also written in the ways
that reprs, URLs and JSON write it. Masking too much is the safe side. A leaf: imports nothing of ours.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
MAX_SECRETS: Final = 64  # a process has a dozen; session tokens come and go, the oldest expired long before
_SHORT: Final = 6  # characters; a shorter secret may be part of ordinary words, so it is masked as a whole word only
_MAX_KEYS: Final = 1000  # there are some hundred; an event made of a stranger's data may bring others
_MAX_DEPTH: Final = 6  # nesting of an event's fields; deeper (or endless) ones are shown as text

_NAME: Final = (
    r"(?:password|passwd|passphrase|secret|token|authorization|x[-_]?authentication|x[-_]?application|app[-_]?key"
    r"|sso[-_]?id|cookie)s?(?:[-_](?:header|value))?"
)
# Betfair's codes end in such names (INVALID_USERNAME_OR_PASSWORD), and what follows them is a sentence.
_NO_CODE: Final = r"(?<!(?-i:_OR_))(?<!(?-i:INVALID_))(?<!(?-i:\bNO_))"
# So is what begins, after a colon, with one of these: no secret of anybody's is a word that sentences begin with.
_PROSE: Final = (
    r"(?!(?<=:\s)(?:a|an|and|are|cannot|does|expired|has|have|if|in|invalid|is|it|missing|must|no|none|not|of|or|refused|should"
    r"|that|the|this|to|unknown|was|were|will|with|wrong)(?![^\s,;.]))"
)
_SECRET_NAME: Final = re.compile(rf"{_NAME}$", re.IGNORECASE)
_NAMED_IN_TEXT: Final = re.compile(
    # password= "password": ('password',
    rf"""({_NO_CODE}{_NAME}(?:\\*["'],|\\*["']?\s{{0,4}}[:=])\s{{0,4}}[\[({{]{{0,4}})"""
    rf"""{_PROSE}"""
    r"""(?:[bru]{0,2}\\*"(?:[^"\\]|\\.)*"?|[bru]{0,2}\\*'(?:[^'\\]|\\.)*'?"""  # a quoted value, to its closing quote
    r"""|(?:(?:Bearer|Basic)\s{1,4})?[^\s,;&"'()\[\]{}\\]+)""",
    re.IGNORECASE | re.DOTALL,
)
# One of these follows the name, or the pattern cannot match.
_AFTER_A_NAME: Final = (":", "=", "',", '",')


class Redactor:
    """The secrets of this process, and what masks them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: OrderedDict[str, None] = OrderedDict()
        self._written: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] = re.compile("(?!)")  # nothing
        self._keys: dict[str, tuple[str, bool]] = {}  # key of an event -> as shown, and whether it names a secret
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask `secret` from now on; the oldest is forgotten when there are too many."""
        if not secret:
            return
        self._secrets[secret] = None
        self._secrets.move_to_end(secret)
        while len(self._secrets) > MAX_SECRETS:
            self._secrets.popitem(last=False)
        written = {way for known in self._secrets for way in _ways_to_write(known)}
        # The longest first, so that a secret that begins with another one is masked to its end.
        self._written = tuple(sorted(written, key=len, reverse=True))
        self._pattern = re.compile("|".join(map(_literal, self._written)))
        self._keys = {}

    def text(self, text: str) -> str:
        """Return `text` without the secrets in it, known ones and those that follow a secret's name."""
        text = self._known(text)
        if not any(mark in text for mark in _AFTER_A_NAME):
            return text
        masked = _NAMED_IN_TEXT.sub(rf"\g<1>{MASK}", text)
        return text if masked == text else self._known(masked)

    def _known(self, text: str) -> str:
        # Looking for each is much faster than the pattern, and there is hardly ever one.
        return self._pattern.sub(MASK, text) if any(way in text for way in self._written) else text

    def value(self, value: object, depth: int = 0) -> object:
        """Return a field of an event without secrets, made of plain types only."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return value if self._known(str(value)) == str(value) else MASK
        if isinstance(value, str | Decimal | PurePath):
            return self.text(str(value))
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return dict(self._member(str(key), item, depth + 1) for key, item in value.items())
        if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth + 1) for item in value]
        return self.text(repr(value))

    def _member(self, key: str, value: object, depth: int) -> tuple[str, object]:
        known = self._keys.get(key)
        if known is None:
            known = (self.text(key), _SECRET_NAME.search(key) is not None)
            if len(self._keys) < _MAX_KEYS:
                self._keys[key] = known
        harmless = not known[1] or value is None or isinstance(value, bool) or value == ""
        return known[0], self.value(value, depth) if harmless else MASK


def _ways_to_write(secret: str) -> set[str]:
    """Return the secret as it is, and as URLs, Python and JSON write it, also text within text within text."""
    octets = secret.encode("utf-8", "surrogateescape")
    ways = {secret, quote(octets), quote(octets, safe=""), quote_plus(octets), *_escaped(repr(octets)[2:-1], secret)}
    for _ in range(2):
        ways |= {written for way in ways for written in _escaped(repr(way)[1:-1], way)}
    return ways


def _escaped(inside: str, text: str) -> set[str]:
    """Return what a repr (`inside` its quotes) or JSON string of `text` holds; which quotes a repr escapes depends."""
    bare = inside.replace("\\'", "'")
    json_ways = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return {bare, bare.replace("'", "\\'"), *json_ways}


def _literal(text: str) -> str:
    return re.escape(text) if len(text) >= _SHORT else rf"(?<!\w){re.escape(text)}(?!\w)"

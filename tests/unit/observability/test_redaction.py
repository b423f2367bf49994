"""Redaction: known secrets, names of secrets, and any value at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.observability.redaction import MASK, MAX_SECRETS, Redactor

IN_TEXT = {
    "POST /login?username=ann&password=hush&x=1": "POST /login?username=ann&password=***&x=1",
    "password: 'hush hush', next": "password: ***, next",
    "X-Authentication: hush": "X-Authentication: ***",
    "Authorization: Basic aHVzaA==": "Authorization: ***",
    "token=hush": "token=***",
    "b'X-Application': b'hush'": "b'X-Application': ***",
    "the token is older than 6 h": "the token is older than 6 h",
    "token_age_s=5 password_file=/run/x": "token_age_s=5 password_file=/run/x",
}


@pytest.mark.parametrize(("text", "masked"), IN_TEXT.items())
def test_names_of_secrets_in_text(text: str, masked: str) -> None:
    assert Redactor().text(text) == masked


def test_what_says_nothing_is_not_masked() -> None:
    fields = {"password": None, "token": True, "app_key": "", "token_age_s": 5}
    assert Redactor(["5x", ""]).value(fields) == fields


def test_a_secret_that_begins_with_another_one_is_masked_to_its_end() -> None:
    assert Redactor(["session", "session-token"]).text("a session-token") == "a ***"


def test_the_oldest_secret_is_forgotten_when_there_are_too_many() -> None:
    redactor = Redactor(["configured"])
    for number in range(MAX_SECRETS):
        redactor.add(f"session-{number}-token")
    assert redactor.text("configured session-0-token") == "configured ***"


@given(st.text(min_size=6), st.text(), st.text())
def test_no_text_around_a_secret_saves_it(secret: str, before: str, after: str) -> None:
    masked = Redactor([secret]).text(f"{before}{secret}{after}")
    assert secret not in masked or secret in f"{before}{MASK}{after}" or secret in MASK * 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(VALUES)
def test_any_field_becomes_json(value: object) -> None:
    json.dumps(Redactor(["secret"]).value(value))


def test_a_short_secret_is_masked_as_a_word() -> None:
    assert Redactor(["abc"]).text("abc abcd (abc)") == "*** abcd (***)"


@pytest.mark.parametrize(
    "text",
    [
        "INVALID_USERNAME_OR_PASSWORD: no login is tried until the settings change",
        "INVALID_USERNAME_OR_PASSWORD: 'x' is what it said",
        "INVALID_APP_KEY: look at the account",
        "NO_APP_KEY: look at the account",
        "EXECUTOR_BETFAIR__PASSWORD: should be text in UTF-8",
        "there is no token: the login was refused",
    ],
)
def test_a_sentence_after_a_code_or_a_name_is_left_as_it_is(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize("text", ["password=no", "PASSWORD: hunter2", "my_password=the", "x_app_key: 'no way'"])
def test_a_value_after_a_secrets_name_is_masked_all_the_same(text: str) -> None:
    masked = Redactor().text(text)
    assert masked.endswith(MASK)

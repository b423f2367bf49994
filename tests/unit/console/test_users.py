"""The users file and the passwords in it."""

import time
from pathlib import Path

import pytest

from executor.console.principal import Principal, Role, parse_roles
from executor.console.users import Users, UsersFileError, parse_users, password_line

# Made by password_line("anna", frozenset({Role.OPERATOR}), "correct horse").
ANNA = "anna:operator:scrypt$15$8$1$DQqh415tF3HvObo6N03e5A==$S5Hucr5CQV06x0tA70gOJVCKs0dODSnd/O8coVKEGLc="


def test_a_line_is_read_as_it_was_made(tmp_path: Path) -> None:
    assert parse_users(password_line("ben", frozenset({Role.VIEWER}), "another horse"))["ben"].roles == {Role.VIEWER}
    path = tmp_path / "users"
    path.write_text(f"# people\n\n{ANNA}\n")
    users = Users(path)
    assert len(users) == 1
    user = users.verify("anna", "correct horse")
    assert user is not None
    assert user.roles == {Role.OPERATOR}
    assert users.verify("anna", "wrong horse") is None
    assert users.verify("ben", "correct horse") is None
    assert users.verify("anna", "correct horse" + "x" * 5000) is None


def test_an_unknown_name_takes_as_long_as_a_known_one(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(ANNA)
    users = Users(path)

    def took(name: str) -> float:
        began = time.process_time()
        users.verify(name, "wrong")
        return time.process_time() - began

    assert took("nobody") > took("anna") / 3


@pytest.mark.parametrize(
    "line",
    [
        "anna",
        "anna:operator:plain-password",
        "anna:king:" + ANNA.rpartition(":")[2],
        "../anna:viewer:" + ANNA.rpartition(":")[2],
        "anna:viewer:" + ANNA.rpartition(":")[2].replace("$15$", "$30$"),
        "anna:viewer:scrypt$15$8$1$$",
    ],
)
def test_a_wrong_line_is_named_and_not_shown(line: str) -> None:
    with pytest.raises(UsersFileError, match="line 2") as caught:
        parse_users(f"{ANNA}\n{line}")
    assert "scrypt$15$8$1$$" not in str(caught.value)
    assert "plain-password" not in str(caught.value)


def test_a_name_twice_is_wrong() -> None:
    with pytest.raises(UsersFileError, match="line 2"):
        parse_users(f"{ANNA}\n{ANNA}")


def test_a_file_that_breaks_later_keeps_the_people(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(ANNA)
    users = Users(path)
    path.write_text("what is this")
    assert users.get("anna") is not None
    path.write_text(ANNA.replace("operator", "viewer"))
    changed = users.get("anna")
    assert changed is not None
    assert changed.roles == {Role.VIEWER}


def test_roles_imply_what_they_should() -> None:
    operator = Principal("a", frozenset({Role.OPERATOR}), "console", "")
    publisher = Principal("p", frozenset({Role.PUBLISHER}), "api", "")
    assert operator.may(Role.VIEWER)
    assert not operator.may(Role.PUBLISHER)
    assert not publisher.may(Role.VIEWER)
    assert parse_roles("viewer, Publisher") == {Role.VIEWER, Role.PUBLISHER}
    with pytest.raises(ValueError, match="king"):
        parse_roles("king")


@pytest.mark.parametrize(("name", "password"), [("a b", "long enough password"), ("anna", "short")])
def test_what_will_not_do_is_said(name: str, password: str) -> None:
    with pytest.raises(UsersFileError):
        password_line(name, frozenset({Role.VIEWER}), password)

"""Users, rules and tokens, without a server."""

from __future__ import annotations

import os
import time
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import Conflict, InvalidRequest, NotFound
from boxy_registry.access import rules, users
from boxy_registry.access.tokens import Tokens, shared_key
from boxy_registry.access.users import Users


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "ROUNDS", 4)
    monkeypatch.setattr(users, "_LOOK_EVERY", 0.0)


# ---------------------------------------------------------------------- users


def test_a_user_is_added_changed_and_removed_and_a_running_server_sees_it(tmp_path: Path) -> None:
    path = str(tmp_path / "users")
    known = Users(path)
    assert not known.check("ada", "one")
    users.add(path, "ada", "one")
    assert known.check("ada", "one")
    assert not known.check("ada", "two")
    with pytest.raises(Conflict):
        users.add(path, "ada", "two")
    users.set_password(path, "ada", "two")
    assert known.check("ada", "two")
    assert not known.check("ada", "one")
    assert os.stat(path).st_mode & 0o777 == 0o600
    users.remove(path, "ada")
    assert "ada" not in known
    assert not known.check("ada", "two")
    with pytest.raises(NotFound):
        users.remove(path, "ada")


def test_a_right_password_is_hashed_once_and_a_changed_one_is_out_of_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "users")
    users.add(path, "ada", "one")
    known = Users(path)
    hashed: list[bytes] = []
    check = bcrypt.checkpw

    def counted(password: bytes, stored: bytes) -> bool:
        hashed.append(password)
        return check(password, stored)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    assert not known.remembered("ada", "one")
    assert known.check("ada", "one")
    assert known.remembered("ada", "one")
    assert not known.remembered("ada", "two")
    assert hashed == [b"one"]
    users.set_password(path, "ada", "two")
    assert not known.remembered("ada", "one")


def test_a_file_of_htpasswd_s_is_read_and_what_is_not_understood_is_left_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "users"
    stored = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    path.write_text(f"# ours\n\nada:{stored}\nold:$apr1$x$y\nno line\n")
    assert users.names(str(path)) == ["ada"]
    assert Users(str(path)).check("ada", "secret")


@pytest.mark.parametrize(
    ("name", "password"), [("", "x"), ("a:b", "x"), ("a\nb", "x"), ("a", ""), ("a", "x" * 73)]
)
def test_what_cannot_be_a_user_is_refused(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(InvalidRequest):
        users.add(str(tmp_path / "users"), name, password)


# ---------------------------------------------------------------------- rules

RULES = rules.parse(
    """
    # a comment
    public/*   anonymous  pull
    {user}/*   users      all   # one's own
    team/*     ada,bob    pull,push
    """,
    "rules",
)


@pytest.mark.parametrize(
    ("user", "action", "repository", "allowed"),
    [
        ("", "pull", "public/x", True),
        ("", "push", "public/x", False),
        ("", "pull", "public", False),
        ("", "pull", "{user}/x", False),
        ("eve", "pull", "public/x/y", True),
        ("eve", "delete", "eve/x", True),
        ("eve", "pull", "ada/x", False),
        ("Eve", "push", "eve/x", True),
        ("ada", "push", "team/x", True),
        ("ada", "delete", "team/x", False),
        ("eve", "pull", "team/x", False),
        ("anonymous", "push", "public/x", False),
        ("users", "pull", "team/x", False),
    ],
)
def test_a_rule_allows_what_it_says_and_nothing_else(
    user: str, action: str, repository: str, allowed: bool
) -> None:
    assert rules.allows(RULES, user, action, repository) is allowed


@pytest.mark.parametrize(
    "line", ["a", "a b", "a b c", "A* users pull", "a us:er pull", "a b pull,x"]
)
def test_a_wrong_line_is_named_with_its_number(line: str) -> None:
    with pytest.raises(InvalidRequest, match="rules, line 2"):
        rules.parse(f"\n{line}\n", "rules")


def test_without_a_file_users_may_do_everything_and_nobody_else_anything(tmp_path: Path) -> None:
    default = rules.read(str(tmp_path / "none"))
    assert rules.allows(default, "ada", "delete", "any/thing")
    assert not rules.allows(default, "", "pull", "any/thing")


# ---------------------------------------------------------------------- tokens


def test_a_token_is_read_by_every_process_with_the_key_until_its_time_is_over(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "key")
    key = shared_key(path)
    assert shared_key(path) == key
    assert os.stat(path).st_mode & 0o777 == 0o600
    token = Tokens(key, 300).give("ada", {"team/x": ("pull",)})
    grant = Tokens(key, 300).read(token)
    assert grant is not None
    assert (grant.user, grant.scopes) == ("ada", {"team/x": ("pull",)})
    assert Tokens(key, 300).read(Tokens(key, 300).give("ada", {}, time.time() - 301)) is None
    assert Tokens(os.urandom(32), 300).read(token) is None


@given(st.text(max_size=200))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    assert Tokens(b"k" * 32, 300).read(text) is None


def test_a_token_cannot_be_changed() -> None:
    tokens = Tokens(b"k" * 32, 300)
    token = tokens.give("ada", {"a": ("pull",)})
    for at in range(len(token)):
        for other in {"A", "B", "_"} - {token[at]}:
            assert tokens.read(token[:at] + other + token[at + 1 :]) is None, at

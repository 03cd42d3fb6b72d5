"""Signing in: a real check of a real password on both sides, and tokens that are worth nothing on the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.apps_world import Laboratory, laboratory
from tracseq_migrate.sandbox.apps.passwords import check_password, hash_password
from tracseq_migrate.sandbox.seeds.rows import PASSWORD

SIDES = {"monolith": "main", "auth": "auth"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("accounts"), apps=list(SIDES)) as made:
        yield made


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest, lab: Laboratory) -> Iterator[str]:
    """A side on which ``nora@lab.example.org`` has the password ``secret``."""
    name: str = request.param
    created = lab.apps[name].ask(
        "POST",
        "auth/users",
        {"email": "nora@lab.example.org", "password": "secret", "first_name": "Nora", "last_name": "New"},
    )
    assert created.status == 201, created.body
    yield name
    assert lab.apps[name].ask("DELETE", f"auth/users/{created.json['id']}").status == 204


def sign_in(lab: Laboratory, side: str, email: str = "nora@lab.example.org", password: str = "secret") -> int:
    return lab.apps[side].ask("POST", "auth/login", {"email": email, "password": password}).status


def test_the_right_password_gives_a_token_for_oneself(lab: Laboratory, side: str) -> None:
    app = lab.apps[side]
    answer = app.ask("POST", "auth/login", {"email": "nora@lab.example.org", "password": "secret"})
    assert answer.status == 200
    assert answer.json["user"]["email"] == "nora@lab.example.org"
    assert answer.json["user"]["last_login"]
    me = app.ask("GET", "auth/me", token=answer.json["token"])
    assert (me.status, me.json) == (200, answer.json["user"])


def test_a_wrong_password_is_refused_and_counted(lab: Laboratory, side: str) -> None:
    for password in ("Secret", "secret ", "", "x" * 10_000):
        assert sign_in(lab, side, password=password) == 401
    counted = "SELECT failed_login_attempts FROM users WHERE email = 'nora@lab.example.org'"
    assert lab.sql(SIDES[side], counted) == [(4,)]
    assert sign_in(lab, side) == 200
    assert lab.sql(SIDES[side], counted) == [(0,)]


def test_nobody_is_refused_like_somebody(lab: Laboratory, side: str) -> None:
    app = lab.apps[side]
    nobody = app.ask("POST", "auth/login", {"email": "nobody@lab.example.org", "password": "secret"})
    wrong = app.ask("POST", "auth/login", {"email": "nora@lab.example.org", "password": "wrong"})
    assert (nobody.status, nobody.json) == (wrong.status, wrong.json) == (401, wrong.json)
    incomplete: list[object] = [
        {},
        {"email": "nora@lab.example.org"},
        {"email": 1, "password": "x"},
        [],
        b"{",
    ]
    for body in incomplete:
        assert app.ask("POST", "auth/login", body).status == 422


def test_five_failures_lock_the_account_in_the_service(lab: Laboratory, side: str) -> None:
    for _ in range(5):
        assert sign_in(lab, side, password="wrong") == 401
    assert sign_in(lab, side) == (200 if side == "monolith" else 401)


def test_an_account_that_is_not_active_is_refused(lab: Laboratory, side: str) -> None:
    lab.sql(SIDES[side], "UPDATE users SET status = 'inactive' WHERE email = 'nora@lab.example.org'")
    assert sign_in(lab, side) == 401


def test_a_new_password_takes_the_place_of_the_old(lab: Laboratory, side: str) -> None:
    app = lab.apps[side]
    (user,) = app.ask("GET", "auth/users?email=nora@lab.example.org").json["items"]
    assert app.ask("PATCH", f"auth/users/{user['id']}", {"password": "other"}).status == 200
    assert [sign_in(lab, side), sign_in(lab, side, password="other")] == [401, 200]


def test_a_password_shows_up_nowhere(lab: Laboratory, side: str) -> None:
    ((stored,),) = lab.sql(
        SIDES[side], "SELECT password_hash FROM users WHERE email = 'nora@lab.example.org'"
    )
    assert "secret" not in stored
    listed = lab.apps[side].ask("GET", "auth/users?email=nora@lab.example.org")
    assert stored.encode() not in listed.body
    # Nor can it be asked for.
    assert lab.apps[side].ask("GET", "auth/users?password=wrong&limit=1").json["items"] != []


def test_a_token_is_worth_nothing_on_the_other_side(lab: Laboratory) -> None:
    tokens = {}
    for name in SIDES:
        answer = lab.apps[name].ask("POST", "auth/login", {"email": "admin@lab.local", "password": PASSWORD})
        tokens[name] = answer.json["token"]
    for name in SIDES:
        for of, token in tokens.items():
            assert lab.apps[name].ask("GET", "auth/me", token=token).status == (200 if of == name else 401)
        assert lab.apps[name].ask("GET", "auth/me").status == 401
        assert lab.apps[name].ask("GET", "auth/me", token="made-up").status == 401


def test_a_token_that_is_over_is_worth_nothing(lab: Laboratory, side: str) -> None:
    app = lab.apps[side]
    token = app.ask("POST", "auth/login", {"email": "nora@lab.example.org", "password": "secret"}).json[
        "token"
    ]
    assert app.ask("GET", "auth/me", token=token).status == 200
    lab.sql(SIDES[side], "UPDATE user_sessions SET expires_at = now() - interval '1 second'")
    assert app.ask("GET", "auth/me", token=token).status == 401


def test_who_comes_by_single_sign_on_has_no_password_to_give(lab: Laboratory) -> None:
    assert sign_in(lab, "monolith", "r.sso@university.example.edu", PASSWORD) == 401
    assert sign_in(lab, "monolith", "p.investigator@lab.example.org", PASSWORD) == 200


def test_who_is_moved_signs_in_with_the_password_from_before(lab: Laboratory) -> None:
    ((stored,),) = lab.sql(
        "main", "SELECT password_hash FROM users WHERE email = 'p.investigator@lab.example.org'"
    )
    lab.sql(
        "auth",
        "INSERT INTO users (email, password_hash, first_name, last_name) VALUES ('moved@lab.example.org', %s, 'M', 'M')",
        stored,
    )
    assert sign_in(lab, "auth", "moved@lab.example.org", PASSWORD) == 200


def test_old_clients_sign_in_without_the_prefix(lab: Laboratory) -> None:
    app = lab.apps["monolith"]
    app_without = type(app)(app.name, app.port, "", app.fault_file, app.log, app.process)
    body = {"email": "admin@lab.local", "password": PASSWORD}
    assert app_without.ask("POST", "auth/login", body).status == 200


def test_a_hash_is_checked_and_nothing_else_is_one() -> None:
    stored = hash_password("a", salt=b"0" * 16)
    assert stored == hash_password("a", salt=b"0" * 16) != hash_password("a")
    assert check_password("a", stored)
    broken = [
        None,
        "",
        "a",
        stored[:-4],
        stored.replace("scrypt", "md5"),
        stored.replace("$512$", "$511$"),
        f"{stored}$",
    ]
    assert not any(check_password("a", text) for text in broken)
    assert not check_password("b", stored)

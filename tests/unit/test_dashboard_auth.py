"""Who may look: passwords, hosts, sessions; and how answers travel."""

import gzip
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskClient

from pyrite.dashboard.auth import (
    LIFETIME,
    Door,
    guard,
    is_loopback,
    read_password,
    require_password_for,
)
from pyrite.dashboard.server import bind
from pyrite.dashboard.transport import protect
from pyrite.errors import ConfigError


def password_file(tmp_path: Path, text: str = "secret\n", mode: int = 0o600) -> Path:
    path = tmp_path / "password"
    path.write_text(text)
    path.chmod(mode)
    return path


def application(password: str | None) -> flask.Flask:
    server = flask.Flask("test")
    guard(server, password)
    protect(server)
    server.add_url_rule("/", "page", lambda: "x" * 5000)
    return server


def test_a_password_comes_from_a_variable_or_a_private_file(tmp_path: Path) -> None:
    assert read_password(None, None) is None
    assert read_password("", None) is None
    assert read_password("given", password_file(tmp_path)) == "given"
    assert read_password(None, password_file(tmp_path)) == "secret"


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("secret", 0o640, "chmod 600"),
        ("secret", 0o604, "others can read"),
        ("\nsecret", 0o600, "is empty"),
    ],
)
def test_a_password_file_that_is_not_safe_is_refused(
    tmp_path: Path, text: str, mode: int, told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        read_password(None, password_file(tmp_path, text, mode))
    assert "secret" not in str(raised.value)


def test_a_password_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"PYRITE_DASHBOARD_PASSWORD_FILE names .*nosuch"):
        read_password(None, tmp_path / "nosuch")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_password(host: str) -> None:
    assert is_loopback(host)
    require_password_for(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "node7", "localhost.evil.example"])
def test_other_hosts_need_a_password(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match="PYRITE_DASHBOARD_PASSWORD"):
        require_password_for(host, None)
    require_password_for(host, "secret")


def test_guesses_are_slowed_down() -> None:
    door = Door("secret", patience=2, seconds=60)
    assert door.opens("secret")
    assert not door.opens("Secret")
    assert not door.opens("sécret")
    assert 0 < door.locked_for <= 60


def test_no_password_opens_nothing() -> None:
    assert not Door(None).opens("")


def test_only_who_knows_the_password_comes_in() -> None:
    client = application("secret").test_client()
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"Accept": "text/html"}).headers["Location"] == "/login"
    assert client.post("/login", data={"password": "wrong"}).status_code == 401
    assert client.get("/").status_code == 401
    entered = client.post("/login", data={"password": "secret"})
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/").status_code == 200
    client.get("/logout")
    assert client.get("/").status_code == 401


def visit(client: FlaskClient) -> str:
    client.post("/login", data={"password": "secret"})
    cookie = client.get_cookie("pyrite")
    assert cookie is not None
    return cookie.value


def opens(client: FlaskClient, cookie: str) -> bool:
    client.set_cookie("pyrite", cookie)
    return client.get("/").status_code == 200


def test_copies_of_a_cookie_open_nothing_once_it_was_left() -> None:
    client = application("secret").test_client()
    left = visit(client)
    assert opens(client, left)
    client.get("/logout")
    assert not opens(client, left)


def test_who_gives_the_password_again_has_one_visit() -> None:
    client = application("secret").test_client()
    first, second = visit(client), visit(client)
    assert not opens(client, first)
    assert opens(client, second)


def test_answers_bring_no_cookie_back() -> None:
    client = application("secret").test_client()
    visit(client)
    assert "Set-Cookie" not in client.get("/").headers


def test_a_visit_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("pyrite.dashboard.auth.time.monotonic", lambda: now)
    door = Door("secret")
    visit = door.enter()
    now += LIFETIME.total_seconds() - 1
    assert door.is_inside(visit)
    later = door.enter()
    now += 2
    assert not door.is_inside(visit)
    assert door.is_inside(later)


def test_a_cookie_of_another_process_opens_nothing() -> None:
    mine, other = application("secret"), application("secret")
    client = mine.test_client()
    client.post("/login", data={"password": "secret"})
    cookie = client.get_cookie("pyrite")
    assert cookie is not None
    stranger = other.test_client()
    stranger.set_cookie("pyrite", cookie.value)
    assert stranger.get("/").status_code == 401


def test_many_wrong_passwords_have_to_wait() -> None:
    client = application("secret").test_client()
    codes = [client.post("/login", data={"password": "wrong"}).status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]
    assert client.post("/login", data={"password": "secret"}).status_code == 429


@pytest.mark.parametrize(
    ("host", "code"),
    [("localhost:8050", 200), ("127.0.0.1:1", 200), ("[::1]:8050", 200), ("evil.example", 403)],
)
def test_without_a_password_only_this_machine_is_answered(host: str, code: int) -> None:
    assert application(None).test_client().get("/", headers={"Host": host}).status_code == code


def test_answers_are_compressed_and_may_load_nothing_from_elsewhere() -> None:
    client = application(None).test_client()
    plain = client.get("/")
    assert plain.data == b"x" * 5000
    small = client.get("/", headers={"Accept-Encoding": "gzip"})
    assert small.headers["Content-Encoding"] == "gzip"
    assert len(small.data) < 100
    assert gzip.decompress(small.data) == plain.data
    policy = small.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "*" not in policy


def test_scripts_are_sent_once_to_each_browser() -> None:
    server = application(None)
    server.add_url_rule("/_dash-component-suites/x.js", "script", lambda: "y" * 5000)
    client = server.test_client()
    path, headers = "/_dash-component-suites/x.js", {"Accept-Encoding": "gzip"}
    first = client.get(path, headers=headers)
    again = client.get(path, headers={**headers, "If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert again.data == b""


def test_a_port_in_use_is_told() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is used"):
            bind("127.0.0.1", port)


def test_a_host_that_is_not_ours_is_told() -> None:
    with pytest.raises(ConfigError, match="--host"):
        bind("no.such.host.invalid", 0)

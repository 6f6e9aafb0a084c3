"""Who may look: a password from the environment or a private file, and a session cookie.

Without a password the page is for this machine only: it binds to a loopback address, answers only
requests that were sent to one (a page of another site cannot pose as it by its domain's name), and
offers no actions.
"""

import hmac
import html
import ipaddress
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pyrite.errors import ConfigError
from pyrite.settings import secret_line

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

LOGIN = "/login"
LOGOUT = "/logout"
LIFETIME = timedelta(hours=12)
_NAMES = ("localhost", "localhost.localdomain")
_DOOR = "pyrite-door"
_VISIT = "visit"


def read_password(value: str | None, path: Path | None) -> str | None:
    """The password of the dashboard: `value`, else the first line of a file.

    Raises
    ------
    ConfigError
        The file cannot be read, is empty, or others than its owner can read it.
    """
    if value:
        return value
    if path is None:
        return None
    return secret_line(path, "dashboard_password_file")


def is_loopback(host: str) -> bool:
    """Whether a host to bind to can be reached from this machine only."""
    if host in _NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_password_for(host: str, password: str | None) -> None:
    """Refuse to show a store to a network without a password.

    Raises
    ------
    ConfigError
        `host` is not a loopback address, and there is no password.
    """
    if password is None and not is_loopback(host):
        raise ConfigError(
            f"--host is {host}, where others can connect, and no password is set; set "
            "PYRITE_DASHBOARD_PASSWORD or PYRITE_DASHBOARD_PASSWORD_FILE (a file of mode 600), "
            "or leave --host out and use ssh -L"
        )


@dataclass
class Door:
    """Lets in those who know the password, and slows down those who guess."""

    password: str | None
    patience: int = 5
    seconds: float = 30.0
    _failures: list[float] = field(default_factory=list)
    _visits: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def locked_for(self) -> float:
        """Seconds until the next attempt is listened to."""
        now = time.monotonic()
        with self._lock:
            self._failures = [one for one in self._failures if now - one < self.seconds]
            if len(self._failures) < self.patience:
                return 0.0
            return self.seconds - (now - self._failures[0])

    def opens(self, attempt: str) -> bool:
        """Whether that is the password, in a time that does not tell how much of it is right."""
        if self.password is None:
            return False
        right = hmac.compare_digest(attempt.encode(), self.password.encode())
        if not right:
            with self._lock:
                self._failures.append(time.monotonic())
        return right

    def enter(self) -> str:
        """A visit, whose name is a secret."""
        visit, now = secrets.token_urlsafe(), time.monotonic()
        with self._lock:
            kept = {one: began for one, began in self._visits.items() if _lasts(began, now)}
            self._visits = kept | {visit: now}
        return visit

    def is_inside(self, visit: str) -> bool:
        """Whether a visit goes on: it was not left, and began less than `LIFETIME` ago."""
        with self._lock:
            began = self._visits.get(visit)
        return began is not None and _lasts(began, time.monotonic())

    def leave(self, visit: str) -> None:
        """End a visit, whatever cookies still tell of it."""
        with self._lock:
            self._visits.pop(visit, None)


def _lasts(began: float, now: float) -> bool:
    return now - began < LIFETIME.total_seconds()


def guard(server: "Flask", password: str | None) -> None:
    """Put the door before every page, figure and file of a Flask application."""
    door = Door(password)
    server.secret_key = secrets.token_bytes(32)  # sessions end with the process
    server.config.update(
        SESSION_COOKIE_NAME="pyrite",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        PERMANENT_SESSION_LIFETIME=LIFETIME,
        SESSION_REFRESH_EACH_REQUEST=False,  # answers under way must not bring a cookie back
        MAX_CONTENT_LENGTH=2**20,
    )
    if password is None:
        server.before_request(_only_this_machine)
    else:
        server.extensions[_DOOR] = door
        server.before_request(_only_who_entered)
        server.add_url_rule(LOGIN, "login", lambda: _login(door), methods=["GET", "POST"])
        server.add_url_rule(LOGOUT, "logout", lambda: _logout(door), methods=["GET", "POST"])


def has_entered() -> bool:
    """Whether the present request comes from somebody who gave the password."""
    from flask import current_app, session

    door: Door | None = current_app.extensions.get(_DOOR)
    return door is not None and door.is_inside(session.get(_VISIT, ""))


def _only_this_machine() -> "ResponseReturnValue | None":
    from flask import request

    host = request.host.rpartition(":")[0] if ":" in request.host else request.host
    if is_loopback(host):
        return None
    return "This page is for its own machine: open it as http://localhost.", 403


def _only_who_entered() -> "ResponseReturnValue | None":
    from flask import redirect, request

    if request.path == LOGIN or has_entered():
        return None
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return redirect(LOGIN)
    return "Enter the password first.", 401


def _login(door: Door) -> "ResponseReturnValue":
    from flask import redirect, request, session

    if request.method == "GET":
        return redirect("/") if has_entered() else _form()
    if (wait := door.locked_for) > 0:
        return _form(f"Too many attempts: wait {wait:.0f} s."), 429
    if not door.opens(request.form.get("password", "")):
        return _form("That is not the password."), 401
    door.leave(session.get(_VISIT, ""))
    session.clear()
    session.permanent = True
    session[_VISIT] = door.enter()
    return redirect("/")


def _logout(door: Door) -> "ResponseReturnValue":
    from flask import redirect, session

    # Here, not with the cookie alone, of which there may be copies.
    door.leave(session.get(_VISIT, ""))
    session.clear()
    return redirect(LOGIN)


def _form(complaint: str = "") -> str:
    said = f'<p role="alert">{html.escape(complaint)}</p>' if complaint else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pyrite</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 16px system-ui, sans-serif; color: #1f2933; background: #f5f7f9; margin: 0;
  display: grid; place-items: center; min-height: 100vh }}
form {{ background: white; padding: 2rem; border: 1px solid #dde3e9; border-radius: 12px;
  width: min(20rem, 80vw); display: grid; gap: .8rem }}
h1 {{ margin: 0; font-size: 1.3rem }}
input, button {{ font: inherit; padding: .55rem .7rem; border-radius: 8px;
  border: 1px solid #8a94a0 }}
button {{ background: #0072b2; border-color: #0072b2; color: white; cursor: pointer }}
p {{ margin: 0; color: #a23f00 }}
</style>
</head>
<body>
<form method="post" action="{LOGIN}">
<h1>Pyrite</h1>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" autofocus
  required>
{said}
<button type="submit">Enter</button>
</form>
</body>
</html>
"""

"""Signing in and out, and the choice of language."""

from __future__ import annotations

from markupsafe import Markup
from starlette.responses import Response

from console import text
from console.guard import safe_path
from console.visit import BEFORE_COOKIE, LANGUAGE_COOKIE, SESSION_COOKIE, Visit
from hudhud.i18n import language as known_language

LANGUAGE_FOR_S = 366 * 86_400  # seconds a browser remembers its language


async def ask(visit: Visit) -> Response:
    """The form; whoever is signed in already goes on."""
    following = safe_path(visit.request.query_params.get("next", "/"))
    return visit.go(following) if visit.signed_in else _form(visit, following)


async def enter(visit: Visit) -> Response:
    """Check login and password. An unknown login costs and says the same as a wrong password."""
    login, password = visit.form.get("login", "").strip(), visit.form.get("password", "")
    following = safe_path(visit.form.get("next", "/"))
    failures = visit.house.failures
    keys = (f"login {login.casefold()}", f"address {visit.address}")
    wait = max(failures.blocked_for(key) for key in keys)
    if wait > 0:
        await _record(visit, login, "was kept from signing in")
        minutes = int(wait // 60) + 1
        return _form(
            visit,
            following,
            login,
            visit.say("Too many failed sign-ins. Try again in {minutes} minutes.", minutes=minutes),
            429,
        )
    person = await visit.house.people.verify(login, password)
    if person is None:
        for key in keys:
            failures.failed(key)
        await _record(visit, login, "failed to sign in")
        return _form(visit, following, login, visit.say("Login name and password do not fit."), 401)
    await visit.record("signed in", visit.address, actor=person.login)
    if visit.session is not None:  # signing in again ends the session before it
        await visit.house.sessions.close(visit.request.cookies.get(SESSION_COOKIE, ""))
    identity = await visit.house.sessions.open(person.login, visit.address)
    response = visit.go(following)
    response.set_cookie(SESSION_COOKIE, identity, secure=True, httponly=True, samesite="strict", path="/")
    response.delete_cookie(BEFORE_COOKIE, secure=True, httponly=True, samesite="strict", path="/")
    return response


async def leave(visit: Visit) -> Response:
    """End the session here and on the server."""
    await visit.house.sessions.close(visit.request.cookies.get(SESSION_COOKIE, ""))
    response = visit.go("/login", done="signed-out")
    response.delete_cookie(SESSION_COOKIE, secure=True, httponly=True, samesite="strict", path="/")
    response.headers["clear-site-data"] = '"cache"'
    return response


async def language(visit: Visit) -> Response:
    """Switch the language, for this browser and, where somebody is signed in, for the person."""
    chosen = known_language(visit.form.get("to"))
    if visit.signed_in is not None:
        await visit.house.sessions.prefer(visit.person.login, chosen)
    response = visit.go(visit.form.get("next", "/"))
    response.set_cookie(
        LANGUAGE_COOKIE, chosen, max_age=LANGUAGE_FOR_S, secure=True, httponly=True, samesite="strict", path="/"
    )
    return response


def _form(visit: Visit, following: str, login: str = "", problem: Markup | None = None, status: int = 200) -> Response:
    return visit.page("login.html", status, next=following, login=text.capped(login, 100), problem=problem)


async def _record(visit: Visit, login: str, act: str) -> None:
    """A failed attempt names the login that was tried only when it is somebody's: people type passwords there."""
    known = visit.house.people.get(login)
    await visit.record(act, visit.address, actor=known.login if known else "unknown")

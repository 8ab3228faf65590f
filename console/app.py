"""The web application (READ FIRST): its pages as one table of path, who may, and what the audit chain is told."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cert.store import StoreDown
from console import visit as visits
from console.guard import MAX_BODY_BYTES, Guard, safe_path
from console.house import House
from console.pages import exemptions, held, home, incident, incidents, keys, login, reference, rules, services
from console.person import ALL_ROLES, ANALYSTS, CASE_WORKERS, GRANTERS, NATIONAL, POSTMASTERS
from console.relay import RelayDown, RelayRefused
from console.render import static_files
from console.visit import BEFORE_COOKIE, LANGUAGE_COOKIE, SESSION_COOKIE, Stop, Visit
from console.words import _
from hudhud import log
from hudhud.people import Role

_log = log.get(__name__)

Show = Callable[[Visit], Awaitable[Response]]
ANYBODY: frozenset[Role] | None = None  # no log-in needed


@dataclass(frozen=True, slots=True)
class Page:
    """One row: `act` is the audit chain's word for what is seen, or asked for; written before the page is shown."""

    method: Literal["GET", "POST"]
    path: str
    show: Show
    roles: frozenset[Role] | None
    act: str


ASKERS = GRANTERS | ANALYSTS

PAGES: tuple[Page, ...] = (
    Page("GET", "/login", login.ask, ANYBODY, ""),
    Page("POST", "/login", login.enter, ANYBODY, ""),
    Page("POST", "/logout", login.leave, ALL_ROLES, "signed out"),
    Page("POST", "/language", login.language, ANYBODY, ""),
    Page("GET", "/r/{rule}", reference.show, ANYBODY, ""),
    Page("GET", "/", home.show, ALL_ROLES, "saw the day"),
    Page("GET", "/keys", keys.show, ALL_ROLES, "saw the keys"),
    Page("GET", "/incidents", incidents.show, ALL_ROLES, "listed incidents"),
    Page("GET", "/incidents/{id}", incident.show, ALL_ROLES, "opened an incident"),
    Page("POST", "/incidents/{id}/status", incident.change_status, ANALYSTS, "asked for a status"),
    Page("POST", "/incidents/{id}/owner", incident.assign, ANALYSTS, "asked for an owner"),
    Page("POST", "/incidents/{id}/note", incident.note, CASE_WORKERS, "asked for a note"),
    Page("GET", "/held", held.queue, ALL_ROLES, "listed held mail"),
    Page("GET", "/held/{id}", held.message, ALL_ROLES, "opened a held message"),
    Page("POST", "/held/{id}/preview", held.preview, POSTMASTERS, "asked to read a held message"),
    Page("POST", "/held/{id}/release", held.release, POSTMASTERS, "asked to release a held message"),
    Page("POST", "/held/{id}/delete", held.delete, POSTMASTERS, "asked to delete a held message"),
    Page("GET", "/exemptions", exemptions.listing, ALL_ROLES, "listed exemptions"),
    Page("GET", "/exemptions/new", exemptions.form, ASKERS, "opened the exemption form"),
    Page("POST", "/exemptions", exemptions.ask, ASKERS, "asked for an exemption"),
    Page("GET", "/exemptions/{id}", exemptions.one, ALL_ROLES, "opened an exemption"),
    Page("POST", "/exemptions/{id}/approve", exemptions.approve, GRANTERS, "asked to approve an exemption"),
    Page("POST", "/exemptions/{id}/refuse", exemptions.refuse, GRANTERS, "asked to decline an exemption"),
    Page("POST", "/exemptions/{id}/revoke", exemptions.revoke, GRANTERS, "asked to revoke an exemption"),
    Page("POST", "/exemptions/{id}/review", exemptions.review, GRANTERS, "asked to review an exemption"),
    Page("POST", "/exemptions/{id}/object", exemptions.object_to, GRANTERS, "asked to object to an exemption"),
    Page("GET", "/rules", rules.overview, ALL_ROLES, "saw the rules"),
    Page("POST", "/rules/{id}/unstop", rules.unstop, POSTMASTERS, "asked to run a stopped rule again"),
    Page("GET", "/services", services.show, NATIONAL, "saw the services"),
)


def build(house: House) -> Starlette:
    """The application over one house."""
    routes = [Route(page.path, _endpoint(house, page), methods=[page.method]) for page in PAGES]
    return Starlette(
        routes=[*routes, Route("/static/{name}", _static)],
        middleware=[Middleware(Guard), Middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY_BYTES)],
        exception_handlers={HTTPException: _astray(house)},
    )


def _endpoint(house: House, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        visit = await _visit(house, request)
        try:
            visit = await _admit(visit, page)
            response = await page.show(visit)
        except Stop as stop:
            response = _stopped(visit, stop)
        except StoreDown as error:
            _log.warning("store down", problem=str(error))
            response = _stopped(visit, STORE_DOWN)
        except (RelayDown, RelayRefused) as error:
            _log.warning("relay did not answer", problem=str(error))
            response = _stopped(visit, RELAY_DOWN)
        except HTTPException as error:
            response = _stopped(visit, _of_http(error))
        except Exception:
            _log.exception("fault in a page", path=request.url.path)
            response = _stopped(visit, FAULT)
        return _keep_secret(visit, response)

    return answer


STORE_DOWN = Stop(
    503,
    _("The store cannot be reached"),
    _("Events are still taken in and kept; they will appear here when the store is back. Try again in a minute."),
)
RELAY_DOWN = Stop(
    503,
    _("The relay's control cannot be reached"),
    _(
        "Mail may still flow: the relay does not wait for this console. "
        "Try again in a minute; the services page says more."
    ),
)

FAULT = Stop(500, _("Something went wrong here"), _("Nothing is lost. The fault was written to the log; try again."))


async def _visit(house: House, request: Request) -> Visit:
    """Who asks. A session whose person is gone from people.toml is no session."""
    identity = request.cookies.get(SESSION_COOKIE, "")
    session = await house.sessions.find(identity) if identity else None
    person = house.people.get(session.login) if session else None
    before = request.cookies.get(BEFORE_COOKIE, "")
    secret = identity if person else before if 20 <= len(before) <= 100 else secrets.token_urlsafe(32)
    preferred = (house.sessions.preferred(person.login) or person.language) if person else None
    language = visits.choose_language(
        request.cookies.get(LANGUAGE_COOKIE), preferred, request.headers.get("accept-language", "")
    )
    return Visit(house, request, secret, session if person else None, person, language, {})


async def _admit(visit: Visit, page: Page) -> Visit:
    """Log-in, role, form token, audit entry: in this order, before any page runs."""
    if page.roles is not None and visit.signed_in is None:
        raise LoginNeeded
    if page.roles is not None and not visit.person.roles & page.roles:
        await visit.record("was refused", _subject(visit))
        raise Stop(
            403,
            _("This is not open to you"),
            _("Your role does not include this. An administrator can tell you who has it."),
        )
    if page.method == "POST":
        visit = replace(visit, form=await visits.read_form(visit.request))
        visits.check_form(visit)
    if page.act:
        searched = {name: visit.query(name) for name in FREE_TEXT if visit.query(name)}
        await visit.record(
            page.act, _subject(visit), reason=visit.form.get("reason", ""), after=searched or None, personal=True
        )
    return visit


class LoginNeeded(Stop):
    """The page needs somebody who is signed in."""

    def __init__(self) -> None:
        super().__init__(401, _("Sign in first"), _("Sign in to go on."))


FREE_TEXT = ("q", "sender", "recipient")  # may name people: the chain keeps keyed hashes of them (design §8.7)


def _subject(visit: Visit) -> str:
    """What was asked for: the path with its query, so that every search stands in the chain."""
    asked = [pair for pair in visit.request.query_params.multi_items() if pair[0] not in {*FREE_TEXT, "done"}]
    return (visit.request.url.path + (f"?{urlencode(asked)}" if asked else ""))[:1000]


def _stopped(visit: Visit, stop: Stop) -> Response:
    """The page for a request that ends here."""
    request = visit.request
    if isinstance(stop, LoginNeeded):
        here = safe_path(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
        if request.method != "GET":
            return visit.go("/login", done="session-ended")
        if request.headers.get("sec-fetch-site") == "cross-site":
            # A link from elsewhere carries no SameSite=Strict cookie: ask once more, from a page of our own.
            return visit.page("bounce.html", next=here)
        return visit.go("/login", next=here)
    back = "/" if request.method == "GET" else safe_path(request.url.path.rpartition("/")[0] or "/")
    return visit.page(
        "error.html",
        stop.status,
        title=visit.say(stop.title),
        advice=visit.say(stop.advice, **stop.values),
        number=stop.status,
        back=back,
    )


def _keep_secret(visit: Visit, response: Response) -> Response:
    """Give a browser without a session the secret that its form tokens are made from."""
    if visit.signed_in is None and visit.request.cookies.get(BEFORE_COOKIE) != visit.secret:
        response.set_cookie(BEFORE_COOKIE, visit.secret, secure=True, httponly=True, samesite="strict", path="/")
    return response


async def _static(request: Request) -> Response:
    found = static_files().get(str(request.path_params["name"]))
    if found is None:
        raise HTTPException(404)
    media_type, data = found
    return Response(data, media_type=media_type, headers={"cache-control": "public, max-age=31536000, immutable"})


def _of_http(error: Exception) -> Stop:
    if isinstance(error, HTTPException) and error.status_code == 404:
        return Stop(404, _("There is no such page"), _("The address is mistyped, or what it named is gone."))
    if isinstance(error, HTTPException) and error.status_code == 405:
        return Stop(405, _("This address takes no such request"), _("Go back and use the buttons of the page."))
    status = error.status_code if isinstance(error, HTTPException) else 400
    return Stop(status, _("The request cannot be read"), _("Go back, reload the page and try again."))


def _astray(house: House) -> Callable[[Request, Exception], Awaitable[Response]]:
    """For addresses that no page has."""

    async def answer(request: Request, error: Exception) -> Response:
        visit = await _visit(house, request)
        return _keep_secret(visit, _stopped(visit, _of_http(error)))

    return answer

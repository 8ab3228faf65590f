"""One request of one person: who, in which language, how far she sees, what was sent; and the answers a page gives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cert.incident import Reason
from console import person as people
from console.guard import is_ours, safe_path
from console.house import House
from console.reach import texts
from console.render import Speaker, render
from console.session import Session, form_token, token_fits
from console.text import outside
from console.words import TELLING, _
from hudhud.i18n import LANGUAGES, Catalogue, Language
from hudhud.people import Person
from rules.rule import THREATS

T = TypeVar("T")

SESSION_COOKIE = "__Host-hudhud"
BEFORE_COOKIE = "__Host-hudhud-before"  # before the log-in: the secret that form tokens are derived from
LANGUAGE_COOKIE = "__Host-hudhud-language"

_PIPELINE = Catalogue("cert")

MAX_TELLING = 4  # facts of an alert that are shown without asking
MAX_FIELDS = 40  # of one form
MAX_VALUE = 4000  # characters of one field; longer is refused, never cut silently
MAX_QUERY = 200  # characters of one value in the query
MIN_REASON = 5  # characters; a reason says something


class Stop(Exception):  # noqa: N818 - it is an answer to the person, not a fault of the program
    """Ends a request with a page that says what happened and what to do; both texts are of the catalogue."""

    def __init__(self, status: int, title: str, advice: str, **values: object) -> None:
        super().__init__(title)
        self.status, self.title, self.advice, self.values = status, title, advice, values


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page is given. `secret` is the cookie that this browser's form tokens are derived from."""

    house: House
    request: Request
    secret: str
    session: Session | None
    signed_in: Person | None
    language: Language
    form: Mapping[str, str]

    @property
    def person(self) -> Person:
        """Whoever is signed in; a page that has roles is never reached without."""
        assert self.signed_in is not None
        return self.signed_in

    @property
    def scope(self) -> people.Scope:
        """How far the person sees."""
        return people.scope(self.person)

    @property
    def address(self) -> str:
        """The client's IP address, "" where the server does not know it."""
        return self.request.client.host if self.request.client else ""

    def can(self, *roles: str) -> bool:
        """Whether the person has one of the roles."""
        return self.signed_in is not None and bool(self.signed_in.roles & set(roles))

    def entity(self, code: str) -> str:
        """The name of a public body in the reader's language; its code where the registry knows none."""
        known = self.house.registry.value.entities.get(code)
        return known.name(self.language) if known else code

    def name_of(self, login: str) -> str:
        """A person's name in the reader's language; the login where nobody has it any more."""
        known = self.house.people.get(login)
        return known.name(self.language) if known else login

    def reason_words(self, reason: Reason) -> Markup:
        """A reason of an incident's severity in the reader's language; the pipeline's own catalogue has its words."""
        translated = escape(_PIPELINE(self.language, reason.text))
        return translated.format(**{name: outside(value) for name, value in reason.values.items()})

    def threat(self, name: str) -> Markup:
        """The words of a technical threat class."""
        known = THREATS.get(name)
        return outside((known.ar if self.language == "ar" else known.en) if known else name)

    @staticmethod
    def telling(facts: Mapping[str, object]) -> list[tuple[str, str]]:
        """The facts that tell an analyst most: (words for the name, value), in order; most alerts have two or three."""
        shown = [(label, texts(facts.get(name))) for name, label in TELLING.items()]
        return [(label, ", ".join(values[:3])) for label, values in shown if values][:MAX_TELLING]

    @staticmethod
    def fact(value: object) -> tuple[str, ...]:
        """A fact as texts, whether it is one value or several."""
        return texts(value)

    def say(self, words: str, /, **values: object) -> Markup:
        """The text in the reader's language."""
        return Speaker(self.language)(words, **values)

    def part(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A value of the query, stripped; one that is too long is the person's to shorten."""
        value = self.request.query_params.get(name, default).strip()
        if len(value) > MAX_QUERY:
            raise Stop(400, _("The search is too long"), _("Shorten it to {limit} characters."), limit=MAX_QUERY)
        return value

    def number(self, name: str, default: int, largest: int) -> int:
        """A whole number of the query between 0 and `largest`; anything else is the default."""
        value = self.request.query_params.get(name, "")
        return min(int(value), largest) if value.isascii() and value.isdecimal() and len(value) < 10 else default

    async def part_of_list(self, asked: Awaitable[T]) -> T:
        """What the store gives from a place in a list on; Stop where the address names no such place."""
        try:
            return await asked
        except ValueError:
            raise Stop(400, _("That is no place in the list"), _("Go back to the beginning of the list.")) from None

    def reason(self) -> str:
        """The form's reason, which must say something."""
        reason = self.form.get("reason", "").strip()
        if len(reason) < MIN_REASON:
            raise Stop(
                422,
                _("A reason is needed"),
                _("Go back and write why, in at least {least} characters."),
                least=MIN_REASON,
            )
        return reason

    async def record(
        self,
        act: str,
        subject: str,
        *,
        actor: str = "",
        reason: str = "",
        before: object = None,
        after: object = None,
        personal: bool = False,
    ) -> None:
        """Write an act into the console's audit chain; what cannot be written is not done (the error goes on).

        With `personal`, before and after are kept as keyed hashes only.
        """
        await asyncio.to_thread(
            self.house.audit.record,
            actor or self.person.login,
            act,
            subject,
            reason=reason,
            before=before,
            after=after,
            personal=personal,
            now=self.house.clock.now(),
        )

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        """The template as the answer."""
        common: dict[str, object] = {
            "visit": self,
            "person": self.signed_in,
            "token": form_token(self.secret),
            "now": self.house.clock.now(),
            "here": safe_path(self.request.url.path + (f"?{self.request.url.query}" if self.request.url.query else "")),
            "done": self.request.query_params.get("done", ""),
        }
        return HTMLResponse(render(template, self.language, {**common, **values}), status)

    def go(self, path: str, **query: str) -> Response:
        """After an act: to a page of ours, by GET."""
        safe = safe_path(path)
        return RedirectResponse(f"{safe}?{urlencode(query)}" if query else safe, 303)

    def link(self, **changes: object) -> str:
        """This page's own path with its query changed: None takes a value out."""
        query = {**self.request.query_params, **changes}
        kept = {name: str(value) for name, value in query.items() if value not in {None, ""} and name != "done"}
        return self.request.url.path + (f"?{urlencode(kept)}" if kept else "")


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a urlencoded form; Stop where it is another kind, too long or no UTF-8."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Stop(415, _("This form cannot be read"), _("Go back, reload the page and send it again."))
    try:
        pairs = parse_qsl(
            (await request.body()).decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise Stop(400, _("This form cannot be read"), _("Go back, reload the page and send it again.")) from None
    if any(len(value) > MAX_VALUE for _, value in pairs):
        raise Stop(413, _("The text is too long"), _("Go back and shorten it to {limit} characters."), limit=MAX_VALUE)
    return dict(pairs)


def check_form(visit: Visit) -> None:
    """Stop unless the form was sent from a page that we made for this browser (cross-site request forgery)."""
    if not is_ours(visit.request.headers) or not token_fits(visit.secret, visit.form.get("token", "")):
        raise Stop(
            403, _("This form has expired"), _("Nothing was changed. Go back, reload the page and send it again.")
        )


def choose_language(cookie: str | None, preferred: Language | None, accepted: str) -> Language:
    """The person's own choice, else this browser's, else what it accepts first, else Arabic."""
    if preferred:
        return preferred
    wanted = [part.partition(";")[0].strip().lower()[:2] for part in accepted[:200].split(",")]
    return next((one for asked in (cookie, *wanted) for one in LANGUAGES if asked == one), "ar")

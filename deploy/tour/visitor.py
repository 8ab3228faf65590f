"""A person at the console: logs in and acts with the pages' own forms, as a browser without JavaScript does."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType

import httpx

from deploy.tour.lab import Lab


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes and the values that stand in it."""

    action: str
    values: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method", "get").lower() == "post":
            self.forms.append(Form(given.get("action", "")))
        elif self.forms and given.get("name") and tag in {"input", "textarea", "button", "select"}:
            if tag == "button" or given.get("type") == "submit":
                self.forms[-1].buttons.append((given["name"], given.get("value", "")))
            elif given.get("type") not in {"checkbox", "radio"} or "checked" in given:
                self.forms[-1].values.setdefault(given["name"], given.get("value", ""))
            self._select = given["name"] if tag == "select" else ""
        elif self.forms and tag == "option" and self._select:
            form = self.forms[-1]
            if "selected" in given or not form.values.get(self._select):
                form.values[self._select] = given.get("value", "")


class RefusedError(RuntimeError):
    """The console did not do what was asked; the message has its words."""


class Visitor:
    """One person with a browser of her own."""

    def __init__(self, lab: Lab, login: str) -> None:
        self._login, self._password = login, lab.password
        self._client = httpx.AsyncClient(
            base_url=lab.settings.console.url, verify=lab.context, follow_redirects=True, timeout=30
        )

    async def __aenter__(self) -> Visitor:
        await self.fill("/login", "/login", login=self._login, password=self._password)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def page(self, path: str) -> str:
        """The text of a page."""
        answer = await self._client.get(path)
        if answer.status_code != 200:
            raise RefusedError(f"{self._login}: GET {path}: {answer.status_code}")
        return answer.text

    async def fill(self, path: str, action: str, **values: str) -> httpx.Response:
        """Open `path`, fill in its form that goes to something ending in `action`, and send it."""
        reader = _Forms()
        reader.feed(await self.page(path))
        form = next((f for f in reader.forms if f.action.partition("?")[0].endswith(action)), None)
        if form is None:
            raise RefusedError(f"{self._login}: {path} has no form for {action}: {[f.action for f in reader.forms]}")
        unknown = set(values) - set(form.values) - {name for name, _ in form.buttons}
        if unknown:
            raise RefusedError(f"{self._login}: the form {form.action} has no field {', '.join(sorted(unknown))}")
        headers = {"Origin": str(self._client.base_url).rstrip("/"), "Referer": str(self._client.base_url) + path}
        answer = await self._client.post(form.action, data={**form.values, **values}, headers=headers)
        if answer.status_code >= 400:
            raise RefusedError(f"{self._login}: {form.action}: {answer.status_code}: {_words(answer.text)}")
        return answer


def _words(html: str) -> str:
    """The visible words of a page, for an error message."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            found.append(data.strip())

    Reader().feed(html.partition("<main")[2] or html)
    return " ".join(filter(None, found))[:300]

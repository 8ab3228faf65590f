"""The grammar of MAIL and RCPT with their parameters, on bytes: RFC 5321, 1870, 3461, 4954, 6152, 6531, 8689. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mail.envelope import Address, PathError, Recipient, parse_path

MAX_ORCPT = 500  # characters, RFC 3461 section 4.2
MAX_ENVID = 100  # characters, RFC 3461 section 4.4

_COMMAND = re.compile(rb'(?i:(FROM|TO)):[ ]*<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?: +(.*))?', re.DOTALL)
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\xff]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_ORCPT_TYPE = re.compile(r"[A-Za-z0-9-]+")
_HEXPOINT = (
    r"[01][1-9]|10|20|2B|3D|7F|5C|[89A-F][0-9A-F]|[1-9A-F][0-9A-F]{2}|[1-9A-CE-F][0-9A-F]{3}|D[0-7][0-9A-F]{2}"
    r"|[1-9A-F][0-9A-F]{4}|10[0-9A-F]{4}"
)
_EMBEDDED = rf"\\x\{{(?:{_HEXPOINT})\}}"
_QCHAR = r"!-*,-<>-\[\]-~"
_UTF8_XTEXT = re.compile(rf"(?:[{_QCHAR}]|{_EMBEDDED})+")  # RFC 6533 section 3
_UTF8_UNITEXT = re.compile(rf"(?:[{_QCHAR}\u0080-\U0010ffff]|{_EMBEDDED})+")
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")


class ParameterError(ValueError):
    """A command or parameter that is wrong (501) or not offered (555)."""

    def __init__(self, problem: str, *, code: int = 501, enhanced: str = "5.5.4") -> None:
        super().__init__(problem)
        self.problem, self.code, self.enhanced = problem, code, enhanced


@dataclass(frozen=True, slots=True)
class MailCommand:
    """MAIL FROM. `size` is the octets that the client declares; `auth` is RFC 4954's, which we only read over."""

    sender: Address
    size: int | None = None
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None
    auth: str | None = None
    requiretls: bool = False


def parse_mail_command(
    argument: bytes, *, smtputf8: bool = True, dsn: bool = True, requiretls: bool = False
) -> MailCommand:
    """What follows "MAIL " on the line; `dsn`, `requiretls`: whether RFC 3461's and 8689's parameters are offered.

    PathError, ParameterError.
    """
    path, parameters = _split(argument, b"FROM", "MAIL FROM:<address>")
    known = {"SIZE", "BODY", "AUTH"} | ({"SMTPUTF8"} if smtputf8 else set()) | ({"RET", "ENVID"} if dsn else set())
    known |= {"REQUIRETLS"} if requiretls else set()
    _check_known(parameters, known)
    utf8, tls_only = _flag(parameters, "SMTPUTF8"), _flag(parameters, "REQUIRETLS")
    try:
        sender = parse_path(path, smtputf8=utf8)
    except PathError as error:
        raise PathError(
            error.position, error.problem, "5.1.7" if error.enhanced == "5.1.3" else error.enhanced
        ) from None
    return MailCommand(
        sender,
        size=_size(parameters),
        body=_one_of(parameters, "BODY", ("7BIT", "8BITMIME")) or "7BIT",
        smtputf8=utf8,
        ret=_one_of(parameters, "RET", ("FULL", "HDRS")),
        envid=_xtext(parameters, "ENVID", MAX_ENVID),
        auth=_auth(parameters),
        requiretls=tls_only,
    )


def parse_rcpt_command(argument: bytes, *, smtputf8: bool = False, dsn: bool = True) -> Recipient:
    """What follows "RCPT " on the line; `smtputf8`: whether MAIL asked for it. "<postmaster>" alone has no domain
    (RFC 5321 section 4.1.1.3)."""
    path, parameters = _split(argument, b"TO", "RCPT TO:<address>")
    _check_known(parameters, {"NOTIFY", "ORCPT"} if dsn else set())
    if not path:
        raise PathError(0, "a recipient is not empty")
    if path.lower() == b"postmaster":
        address = Address(path, path.decode("ascii"), "")
    else:
        address = parse_path(path, smtputf8=smtputf8)
    notify = _value(parameters, "NOTIFY")
    if notify is not None:
        notify = notify.upper()
        events = notify.split(",")
        if _NOTIFY.fullmatch(notify) is None or len(set(events)) < len(events):
            raise ParameterError("NOTIFY is NEVER, or SUCCESS, FAILURE, DELAY, each once")
    return Recipient(address, notify, _orcpt(parameters, smtputf8))


def _split(argument: bytes, keyword: bytes, syntax: str) -> tuple[bytes, dict[str, str | None]]:
    found = _COMMAND.fullmatch(argument)
    if found is None or found[1].upper() != keyword:
        raise ParameterError(f"the syntax is {syntax}")
    parameters: dict[str, str | None] = {}
    for word in (found[3] or b"").split(b" "):
        if not word:
            continue
        one = _PARAMETER.fullmatch(word)
        if one is None:
            raise ParameterError("a parameter is NAME or NAME=value")
        name = one[1].decode("ascii").upper()
        if name in parameters:
            raise ParameterError(f"{name} stands there twice")
        try:
            parameters[name] = None if one[2] is None else one[2].decode("utf-8")
        except UnicodeDecodeError:
            raise ParameterError(f"{name} is not UTF-8") from None
    return found[2], parameters


def _check_known(parameters: dict[str, str | None], known: set[str]) -> None:
    for name in parameters:
        if name not in known:
            raise ParameterError(f"{name[:40]} is not offered here", code=555)


def _flag(parameters: dict[str, str | None], name: str) -> bool:
    if parameters.get(name) is not None:
        raise ParameterError(f"{name} has no value")
    return name in parameters


def _value(parameters: dict[str, str | None], name: str) -> str | None:
    if name in parameters and parameters[name] is None:
        raise ParameterError(f"{name} needs a value")
    value = parameters.get(name)
    if value is not None and name != "ORCPT" and not value.isascii():
        raise ParameterError(f"{name} is ASCII")
    return value


def _one_of(parameters: dict[str, str | None], name: str, values: tuple[str, ...]) -> str | None:
    value = _value(parameters, name)
    if value is None:
        return None
    if value.upper() not in values:
        raise ParameterError(f"{name} is one of {', '.join(values)}")
    return value.upper()


def _size(parameters: dict[str, str | None]) -> int | None:
    value = _value(parameters, "SIZE")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 20:
        raise ParameterError("SIZE is a number of octets")
    return int(value)


def _xtext(parameters: dict[str, str | None], name: str, limit: int) -> str | None:
    value = _value(parameters, name)
    if value is None:
        return None
    if len(value) > limit or not _is_xtext(value):
        raise ParameterError(f"{name} is xtext (RFC 3461 section 4) of at most {limit} printable characters")
    return value


def _is_xtext(value: str) -> bool:
    """Whether it is xtext of printable ASCII, as RFC 3461 sections 4.2 and 4.4 ask of ORCPT and ENVID."""
    if _XTEXT.fullmatch(value) is None:
        return False
    return all(" " <= chr(int(code, 16)) <= "~" for code in _HEXCHAR.findall(value))


def _is_utf8_xtext(value: str) -> bool:
    """Whether it is xtext of printable UTF-8: what Postfix writes after "rfc822;" for an address outside ASCII."""
    if _XTEXT.fullmatch(value) is None:
        return False
    try:
        return _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), value).encode("latin-1").decode().isprintable()
    except UnicodeDecodeError:
        return False


def _auth(parameters: dict[str, str | None]) -> str | None:
    """RFC 4954 section 5: "<>", or a mailbox as xtext."""
    value = _value(parameters, "AUTH")
    if value is not None and value != "<>" and not _is_xtext(value):
        raise ParameterError("AUTH is <> or a mailbox as xtext (RFC 4954 section 5)")
    return value


def _orcpt(parameters: dict[str, str | None], smtputf8: bool) -> str | None:
    value = _value(parameters, "ORCPT")
    if value is None:
        return None
    kind, _, rest = value.partition(";")
    if kind.lower() == "utf-8":
        form = _UTF8_UNITEXT if smtputf8 else _UTF8_XTEXT
        right = form.fullmatch(rest) is not None and rest.isprintable()
    else:
        right = _ORCPT_TYPE.fullmatch(kind) is not None and (_is_xtext(rest) or (smtputf8 and _is_utf8_xtext(rest)))
    if not right or len(value) > MAX_ORCPT:
        raise ParameterError(f"ORCPT is type;xtext (RFC 3461 section 4.2) of at most {MAX_ORCPT} characters")
    return value

"""What a client hears from the session itself; what a judgement says is in mail/tell/replies.py. ASCII, RFC 3463."""

from __future__ import annotations

from typing import Final

from mail import limits
from mail.envelope import Address, PathError
from mail.session.grammar import ParameterError
from mail.verdict import Reply

MAX_LINE: Final = 2048  # octets of a command; RFC 5321 section 4.5.3.1.4 and the parameters of every extension

READY: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
OK: Final = Reply(250, "2.0.0", "OK")
BYE: Final = Reply(221, "2.0.0", "Bye")
NO_ARGUMENT: Final = Reply(501, "5.5.4", "That command has no argument")
UNREADABLE: Final = Reply(500, "5.5.2", f"Not a command: lines end with CR LF and have at most {MAX_LINE} octets")
UNKNOWN: Final = Reply(500, "5.5.1", "No such command here")
NOT_OFFERED: Final = Reply(502, "5.5.1", "That command is not offered here")
ENDLESS: Final = Reply(421, "4.7.0", "A line without an end; good bye")
HELLO_FIRST: Final = Reply(503, "5.5.1", "Say EHLO first")
MAIL_FIRST: Final = Reply(503, "5.5.1", "Say MAIL first")
NO_RECIPIENT: Final = Reply(554, "5.5.1", "No recipient was taken")
NESTED: Final = Reply(503, "5.5.1", "A transaction is open; say RSET first")
TLS_FIRST: Final = Reply(530, "5.7.0", "Say STARTTLS first")
AUTH_FIRST: Final = Reply(530, "5.7.0", "Log in first")
UNQUALIFIED: Final = Reply(554, "5.1.2", "Write the whole domain: that is only a part of a name (RFC 6409 section 4.2)")
LOGGED_IN: Final = Reply(503, "5.5.1", "You are logged in")
TLS_ALREADY: Final = Reply(503, "5.5.1", "TLS is on already")
CHANGED: Final = Reply(451, "4.7.1", "What you may send as has changed meanwhile; send it again")
GONE: Final = Reply(421, "4.7.0", "That log-in is no longer good; connect and log in again")
TOO_EARLY: Final = Reply(554, "5.5.0", "Protocol error: you sent on before this reply (RFC 2920)")
TIMED_OUT: Final = Reply(421, "4.4.2", "Waited too long for you; good bye")
TOO_MANY: Final = Reply(421, "4.7.0", "Too many commands; good bye")
CLOSING: Final = Reply(421, "4.3.2", "The server is going down; come back in a moment")
CANNOT_VERIFY: Final = Reply(252, "2.5.0", "Nothing is verified here; send, and it is tried")
HELP: Final = Reply(214, "2.0.0", "RFC 5321")
MAIL_OK: Final = Reply(250, "2.1.0", "OK")
NO_NAME: Final = Reply(501, "5.5.4", "Say it with your host name")
GO_AHEAD: Final = Reply(220, "2.0.0", "Go ahead")
NO_CLEAR_LOGIN: Final = Reply(538, "5.7.11", "Say STARTTLS first")
_PLAIN: Final = {b"NOOP": OK, b"VRFY": CANNOT_VERIFY, b"HELP": HELP}
_ELSEWHERE: Final = frozenset({b"BDAT", b"BURL", b"ETRN", b"ATRN", b"EXPN", b"TURN", b"SEND", b"SOML", b"SAML"})
_CONNECTIONS: Final = {
    limits.SESSIONS: "of all clients",
    limits.SESSIONS_ADDRESS: "of your address",
    limits.SESSIONS_NETWORK: "of your network",
    limits.CONNECTIONS_ADDRESS: "of your address in a minute",
    limits.CONNECTIONS_NETWORK: "of your network in a minute",
}
_SLOWER: Final = {
    limits.MESSAGES_ACCOUNT: Reply(450, "4.7.1", "Too many messages of this account; try again in a minute"),
    limits.MESSAGES_SERVER: Reply(450, "4.7.1", "Too many messages of this server; try again in a minute"),
    limits.RECIPIENTS_SERVER: Reply(450, "4.7.1", "Too many recipients of this server; try again in a minute"),
    limits.MESSAGES_ADDRESS: Reply(450, "4.7.1", "Too many messages from your address; try again in a minute"),
    limits.MESSAGES_NETWORK: Reply(450, "4.7.1", "Too many messages from your network; try again in a minute"),
    limits.MESSAGES_RECIPIENT: Reply(450, "4.2.1", "This recipient gets too many messages now; try again in a minute"),
    limits.RECIPIENTS_ACCOUNT: Reply(450, "4.7.1", "Too many recipients of this account; try again in a minute"),
}


def plain(verb: bytes) -> Reply:
    """To a command that changes nothing, is known to SMTP but not offered, or is none (RFC 5321 section 4.2.4)."""
    return _PLAIN.get(verb.upper()) or (NOT_OFFERED if verb.upper() in _ELSEWHERE else UNKNOWN)


def wrong(error: PathError | ParameterError, *, utf8: int = 553) -> Reply:
    """RFC 5321 section 4.2.3, RFC 6409 section 5.1; `utf8` is the code of RFC 6531 section 3.5 for the command."""
    if isinstance(error, ParameterError):
        return Reply(error.code, error.enhanced, error.problem)
    return Reply(utf8 if error.enhanced == "5.6.7" else 501, error.enhanced, str(error))


def unqualified(address: Address) -> Reply | None:
    """RFC 6409 section 4.2: on submission every domain of the envelope has at least two labels."""
    return UNQUALIFIED if address.domain and "." not in address.domain else None


def full_house(limit: str) -> Reply:
    """No further connection is taken now, by the limit of that name."""
    return Reply(421, "4.7.0", f"Too many connections {_CONNECTIONS[limit]}; come back in a moment ({limit})")


def slower(limit: str) -> Reply:
    """One more is not taken this minute, by the limit of that name."""
    said = _SLOWER[limit]
    return Reply(said.code, said.enhanced, f"{said.text} ({limit})")

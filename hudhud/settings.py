"""Every setting of hudhud.toml: its name, type, unit and default. This file is their documentation.

Paths are relative to `node.data`; addresses are "host:port"; every limit names its unit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

KiB = 1024
MiB = 1024 * KiB
THRESHOLDS = {"rules": 2, "registry": 1, "policy": 1, "exemptions": 1, "suspensions": 1}


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of hudhud.toml; a name that is not known is an error."""


class Node(Section, frozen=True):
    """This machine."""

    name: str = "node-1"  # unique in the country: it names the node's events and Received headers
    data: str = "var"  # folder for everything that is written, relative to hudhud.toml
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Lab(Section, frozen=True):
    """Documentation addresses played on loopback. Refused where anything listens elsewhere than on loopback."""

    connect: dict[str, str] = {}  # "192.0.2.33:25" -> "127.0.0.1:3033": where a socket really opens
    proxy_from: tuple[str, ...] = (
        "127.0.0.1",
        "::1",
    )  # clients that may send PROXY protocol v1 with an address of their own


class Releases(Section, frozen=True):
    """Whose signatures make a release live."""

    folder: str = "releases"
    keys: dict[str, str] = {}  # name -> ed25519 public key, base64 of 32 bytes
    thresholds: dict[str, int] = msgspec.field(default_factory=lambda: dict(THRESHOLDS))  # distinct keys needed
    refresh_s: float = 1.0  # seconds between looks at the release folder


class Dns(Section, frozen=True):
    """Where names are asked."""

    nameservers: tuple[str, ...] = ()  # "127.0.0.1:5300"; empty: those of the system
    timeout_s: float = 5.0  # seconds for one question in all
    trusted: bool = False  # they validate DNSSEC and nobody else writes on the way to them: their AD bit counts (DANE)
    cache_entries: int = 100_000
    cache_max_ttl_s: int = 3600


class Relay(Section, frozen=True):
    """The mail relay: where it listens, what it offers, what it takes."""

    hostname: str = "localhost"  # in the greeting, EHLO and Received
    authserv_id: str = ""  # RFC 8601; empty: the host name
    workers: int = 2
    mx: tuple[str, ...] = ("0.0.0.0:25",)
    submission: tuple[str, ...] = ("0.0.0.0:587",)
    submissions: tuple[str, ...] = ("0.0.0.0:465",)
    proxy_from: tuple[str, ...] = ()  # balancers: each connection from there must begin with PROXY (v1 or v2)
    setup: str = ""  # "0.0.0.0:443": set-up of mail programs over HTTPS, for anybody; empty: not served
    submission_host: str = ""  # what mail programs are told to send by; empty: the host name
    submission_port: int = 587  # … and the ports that they are told, where a firewall shows others than we listen on
    submissions_port: int = 465
    control: str = "127.0.0.1:8025"  # control API, HTTPS with mutual TLS
    observe: str = ""  # "127.0.0.1:8026": health, readiness and metrics in clear, for this machine; empty: not opened
    control_clients: tuple[str, ...] = ("console", "desk")  # certificate names that may use the control API
    client_ca: str = "tls/ca.pem"  # authority of client certificates whose names count (bodies' own servers); "": none
    help_url: str = "https://hudhud.example/r"  # pages that explain a rule: help_url/H-NAT-02
    postmaster: str = "postmaster@localhost"  # From of notices and DSNs
    max_message_bytes: int = 35 * MiB
    max_header_bytes: int = 512 * KiB  # of one message; a larger header is refused
    max_message_lines: int = 1_000_000  # 35 MiB of base64 are half of it
    requiretls: bool = True  # whether RFC 8689 is offered under TLS
    memory_body_bytes: int = 256 * KiB  # a larger body goes to a file while it is read
    max_recipients: int = 1000  # per message
    max_sessions: int = 500  # per node
    max_sessions_per_address: int = 50  # per node and address (IPv4) or /64 (IPv6)
    max_sessions_per_network: int = 200  # per node and /24 (IPv4) or /48 (IPv6)
    connections_per_minute_per_address: int = 1200  # per node; past it 421
    connections_per_minute_per_network: int = 6000  # per node and /24 or /48
    max_commands: int = 10_000  # per session, before it is ended
    max_junk_commands: int = 100  # unknown or misplaced commands per session
    command_timeout_s: float = 300.0  # RFC 5321 section 4.5.3.2.7
    data_timeout_s: float = 600.0  # for one DATA phase
    judge_timeout_s: float = 60.0  # for one judgement; past it the message is deferred
    messages_per_minute_per_account: int = 600
    messages_per_minute_per_server: int = 6000  # of a body's own server, unless the registry says another number
    recipients_per_minute_per_server: int = 30_000
    messages_per_minute_per_address: int = 6000  # of clients that do not log in; past it 450
    messages_per_minute_per_network: int = 12_000  # the same for a /24 or /48
    messages_per_minute_per_recipient: int = 1200  # to one recipient address; past it 450
    recipients_per_minute_per_account: int = 3000
    auth_failures_per_hour: int = 20  # per account and per address
    auth_cache_s: float = 300.0  # a verified log-in is not hashed again for so long
    drain_s: float = 300.0  # seconds that sessions have to end by themselves when a worker is replaced
    max_delegation_days: int = 366  # days; how long somebody may be allowed to send as another before it is said again
    max_guest_days: int = 366  # days; how long a guest's account may last before it is said again
    exemption_reminder_days: float = 7.0  # days before its end that applicant and officers hear of it
    notices_per_hour_per_account: int = 60  # past it refusals are told by the SMTP reply only


class Directory(Section, frozen=True):
    """An LDAP server (or several that are equal) that knows the passwords of these domains."""

    domains: tuple[str, ...]  # "*": every domain that no other table names
    urls: tuple[str, ...]  # "ldaps://dc1.finance.saba.example", "ldap://…:389"; the next where one does not answer
    starttls: bool = True  # of ldap:// addresses; false only on loopback
    ca: str = ""  # file of the CA that signed the server's certificate; empty: the system's
    dn: str = ""  # whom to bind as, "uid={local},ou=people,dc=finance,dc=saba"; or, where it is empty, search:
    base: str = ""  # below which entry
    filter: str = "(mail={address})"  # RFC 4515; {address}, {local} and {domain} of the log-in
    bind_dn: str = ""  # who may search; empty: anonymous
    password_file: str = ""  # its password, in a file that only the relay can read
    addresses: tuple[str, ...] = ("mail",)  # attributes with the addresses of an account
    timeout_s: float = 5.0  # seconds for one log-in in all
    max_connections: int = 8  # per worker


class Dovecot(Section, frozen=True):
    """A Dovecot whose auth socket knows the passwords of these domains."""

    domains: tuple[str, ...]
    socket: str  # its unix socket, of type auth-client
    timeout_s: float = 15.0  # Dovecot itself waits two seconds before it says no
    max_pending: int = 64  # log-ins at once, per worker


class Issuer(Section, frozen=True):
    """Who issues OAuth tokens for these domains, and how a token is checked: by its signature, or by asking."""

    domains: tuple[str, ...]
    issuer: str  # the token's iss
    audience: str  # the token's aud must name it
    jwks: str = ""  # file or https address of its keys (RFC 7517)
    introspection: str = ""  # or https address where tokens are asked about (RFC 7662)
    client_id: str = ""  # who asks
    secret_file: str = ""  # with which secret, in a file that only the relay can read
    ca: str = ""  # file of the CA of these https addresses; empty: the system's
    claim: str = "email"  # which claim is the account's address
    scope: str = ""  # a scope that the token must have; it is told to clients that fail
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    leeway_s: float = 60.0  # seconds that the issuer's clock may differ
    timeout_s: float = 5.0
    refresh_s: float = 3600.0  # keys at an address are read again; an unknown key is looked for at once


class Auth(Section, frozen=True):
    """Who checks a log-in. Domains that no table names are those of accounts.toml."""

    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER")  # offered at most
    ldap: dict[str, Directory] = {}
    dovecot: dict[str, Dovecot] = {}
    oauth: dict[str, Issuer] = {}
    max_waiting: int = 32  # log-ins that one worker checks at once; the next is asked to come later
    failure_s: float = 0.5  # a no comes at a whole multiple of it after the question, whatever the back end did
    session_s: float = 3600.0  # how long a session lives on one log-in that LDAP, Dovecot or a token allowed


class Spool(Section, frozen=True):
    """What is accepted and not yet delivered."""

    folder: str = "relay"
    max_bytes: int = 20_000 * MiB  # per node; past it 452
    min_free_bytes: int = 512 * MiB  # of the disk; below it 452
    trace_days: int = 90  # how long a message's path is kept (retention class trace)
    arrival_days: int = 7  # how long what came in is known again when it goes on abroad (rule A); 0: not at all
    trace_max_bytes: int = 100_000 * MiB  # of all paths, per node; past it the oldest days go before their time


class Delivery(Section, frozen=True):
    """How mail goes on to its next hop."""

    max_connections: int = 100  # per worker
    max_connections_per_hop: int = 10  # per worker and next hop
    messages_per_connection: int = 100
    idle_s: float = 5.0  # seconds a connection is kept for the next message
    connect_timeout_s: float = 30.0
    reply_timeout_s: float = 300.0  # RFC 5321 section 4.5.3.2
    max_reply_bytes: int = 64 * KiB
    first_retry_s: float = 60.0
    max_retry_s: float = 4 * 3600.0
    lifetime_s: float = 5 * 86_400.0
    delay_dsn_s: float = 4 * 3600.0
    breaker_failures: int = 5  # failed connections in a row that open a destination's circuit breaker
    breaker_s: float = 30.0
    offers_s: float = 900.0  # how long what a next hop offered (SIZE, 8BITMIME, SMTPUTF8) counts at MAIL and RCPT
    unreachable_s: float = 60.0  # an address that did not answer is tried after all others for so long
    messages_per_minute: dict[str, float] = {}  # per node and destination: "partner.example" = 60; "*": each other one
    own_addresses: tuple[str, ...] = ()  # a balancer's, say: an MX that points at them points at us
    link: Literal["auto", "up", "cut"] = "auto"  # the international link; cut: foreign mail's life stands still
    link_minutes: float = 10.0  # auto: cut when no foreign next hop answered for so long …
    link_destinations: int = 5  # … while so many of them failed
    dkim_selector: str = "hudhud"
    dsns_per_hour_per_sender: int = 50


class Content(Section, frozen=True):
    """What is unpacked and scanned in one message."""

    max_parts: int = 500
    max_depth: int = 10
    max_unpacked_bytes: int = 100 * MiB
    max_ratio: int = 200  # unpacked to packed
    max_files: int = 1000  # in archives of one message
    unpack_timeout_s: float = 10.0
    unpack_memory_bytes: int = 512 * MiB
    scan_timeout_s: float = 10.0  # for one part
    threads: int = 4  # per worker, that read and scan what is large or slow; the others wait
    max_urls: int = 1000


class Budget(Section, frozen=True):
    """When a rule stops itself."""

    share: float = 0.02  # of the last `window` messages that it alone held
    window: int = 1000  # messages


class Sensor(Section, frozen=True):
    """A network sensor."""

    name: str = "sensor-1"
    interface: str = ""  # live capture; empty: only captures laid in the folder
    captures: str = "sensor/captures"  # files put here are replayed with their times shifted to now
    keep_captures: bool = False  # keep replayed captures in "done" below them, mode 0600; else they are deleted
    heartbeat_s: float = 30.0
    max_flows: int = 200_000
    flow_timeout_s: float = 300.0
    max_stream_bytes: int = 64 * KiB  # reassembled per direction
    webmail_min_hosts: int = 5  # below it a count is not shown (design: lawful and proportionate)


class Intake(Section, frozen=True):
    """Where sensors and relays send their events."""

    listen: str = "127.0.0.1:8443"
    url: str = "https://localhost:8443"  # what relays and sensors use
    sources: tuple[str, ...] = ("relay", "sensor", "console", "desk")  # certificate names that may send
    tokens: str = ""  # file of `source = "sha256 of its token, hex"`: sources without a certificate
    max_batch_bytes: int = 8 * MiB
    max_batch_events: int = 10_000
    max_event_bytes: int = 256 * KiB
    max_backlog_events: int = 5_000_000  # past it 429


class Store(Section, frozen=True):
    """Where events and incidents are kept."""

    kind: Literal["sqlite", "elastic"] = "sqlite"
    folder: str = "store"  # sqlite
    hosts: tuple[str, ...] = ("http://127.0.0.1:9200",)  # elastic
    prefix: str = "hudhud"  # elastic: index names begin with it
    ca: str = ""  # elastic: CA file for https hosts
    api_key_file: str = ""  # elastic: file with the API key
    retention_days: int = 90


class Desk(Section, frozen=True):
    """The pipeline and the acts of analysts."""

    batch_events: int = 500
    poll_s: float = 0.2


class Console(Section, frozen=True):
    """The web application."""

    listen: str = "127.0.0.1:8080"
    url: str = "https://localhost:8080"
    relay_control: str = "https://localhost:8025"
    idle_s: float = 1800.0  # a session without a request ends
    absolute_s: float = 12 * 3600.0
    login_failures_per_hour: int = 20  # per login and per address


class Settings(Section, frozen=True):
    """The whole of hudhud.toml."""

    node: Node = Node()
    lab: Lab | None = None
    releases: Releases = Releases()
    dns: Dns = Dns()
    relay: Relay = Relay()
    auth: Auth = Auth()
    spool: Spool = Spool()
    delivery: Delivery = Delivery()
    content: Content = Content()
    budget: Budget = Budget()
    sensor: Sensor = Sensor()
    intake: Intake = Intake()
    store: Store = Store()
    desk: Desk = Desk()
    console: Console = Console()
    folder: str = "."  # set by the loader: the folder of hudhud.toml; never written in the file

    def path(self, *parts: str) -> Path:
        """A path below `node.data`."""
        return Path(self.folder, self.node.data, *parts)

    def dial(self, host: str, port: int) -> tuple[str, int]:
        """Where a connection to host:port really goes: itself, or in the lab the loopback address that plays it."""
        played = self.lab.connect.get(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") if self.lab else None
        if played is None:
            return host, port
        played_host, _, played_port = played.rpartition(":")
        return played_host.strip("[]"), int(played_port)


def split_address(text: str) -> tuple[str, int]:
    """The "host:port" or "[v6]:port" as a pair; ValueError where it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)

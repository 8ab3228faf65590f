"""What every detection rule is, whatever language it is written in: id, version, titles, threat class. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from hudhud.toml import PlaceError

RuleDisposition = Literal["tag", "hold", "reject"]
Level = Literal["informational", "low", "medium", "high", "critical"]
Channel = Literal["shadow", "canary", "enforce"]
Kind = Literal["yara", "sigma", "correlation"]

DISPOSITIONS: Final = get_args(RuleDisposition)
LEVELS: Final = get_args(Level)
CHANNELS: Final = get_args(Channel)

SEVERITY: Final[Mapping[str, int]] = {"informational": 10, "low": 30, "medium": 50, "high": 75, "critical": 95}
"""`event.severity` (0 to 100) of each Sigma level; the figures are ours and stand only in this table."""


@dataclass(frozen=True, slots=True)
class Threat:
    """One technical threat class. `rsit`: its class in the Reference Security Incident Taxonomy, `predicate:value`."""

    name: str
    en: str
    ar: str
    rsit: str


def _threats(*rows: tuple[str, str, str, str]) -> Mapping[str, Threat]:
    return {name: Threat(name, en, ar, rsit) for name, en, ar, rsit in rows}


_MALWARE: Final = "malicious-code:malware-distribution"
_INFECTED: Final = "malicious-code:infected-system"
_CRYPTO: Final = "vulnerable:weak-crypto"
_TAKEN: Final = "intrusions:unprivileged-account-compromise"

THREATS: Final[Mapping[str, Threat]] = _threats(
    ("executable", "Program or script sent as a file", "برنامج أو نص تنفيذي مرسل ملفًا", _MALWARE),
    ("macro", "Document that runs code when opened", "مستند يشغّل تعليمات عند فتحه", _MALWARE),
    ("exploit", "File made to abuse a flaw", "ملف صُنع لاستغلال ثغرة", "intrusion-attempts:exploit"),
    ("disguise", "File or name that hides what it is", "ملف أو اسم يخفي حقيقته", _MALWARE),
    ("smuggling", "Content carried past the scanner", "محتوى يُهرَّب من الفحص", _MALWARE),
    ("remote-content", "Document that fetches code from elsewhere", "مستند يجلب تعليمات من مكان آخر", _MALWARE),
    ("credential-theft", "Page or message that steals passwords", "صفحة أو رسالة تسرق كلمات المرور", "fraud:phishing"),
    ("deceptive-link", "Link that leads elsewhere than it says", "رابط يقود إلى غير ما يُظهر", "fraud:phishing"),
    ("campaign", "One attack sent to many bodies", "هجوم واحد مرسل إلى جهات كثيرة", "fraud:phishing"),
    ("relay-bypass", "Official mail that goes around the relay", "بريد رسمي يلتف على المرحّل الوطني", "other:other"),
    ("clear-text-credentials", "Password sent without encryption", "كلمة مرور أُرسلت دون تشفير", _CRYPTO),
    ("account-takeover", "Account used by somebody else", "حساب يستعمله غير صاحبه", _TAKEN),
    ("tunnel", "Hidden channel out of the network", "قناة خفية إلى خارج الشبكة", _INFECTED),
    ("command-and-control", "Host that talks to its attacker", "جهاز يتصل بمهاجمه", _INFECTED),
    ("scan", "Search for open services", "بحث عن خدمات مفتوحة", "information-gathering:scanner"),
    ("brute-force", "Guessing of passwords", "تخمين لكلمات المرور", "intrusion-attempts:brute-force"),
    ("exfiltration", "Large transfer to the outside", "نقل كبير إلى الخارج", "information-content-security:data-leak"),
    ("weak-service", "Service set up unsafely", "خدمة ضُبطت على نحو غير آمن", "vulnerable:vulnerable-system"),
    ("safeguard", "A safeguard of Hudhud itself acted", "تدخّل أحد ضوابط هدهد نفسه", "other:other"),
)  # fmt: skip
"""The closed list of technical threat classes (design §8.4): a rule that serves none of them cannot be released."""


class RuleError(PlaceError):
    """A rule, a sample or a rule file is wrong. `line` is 1-based; 0 means the file as a whole."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(file, line, "", problem)


class UnsupportedError(ValueError):
    """What a rule asks for is not built; whoever reads the file adds file and line."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is known of a rule without running it. `text` is its source, from which a change is recognised."""

    id: str
    version: str
    kind: Kind
    title: Mapping[str, str]
    threat: str
    disposition: RuleDisposition | None
    level: Level
    file: str
    line: int
    text: str


VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}")


def version_key(version: str) -> tuple[int, ...]:
    """Orders versions such as "2" < "2.1" < "10". Raises ValueError when `version` is not dotted numbers."""
    if not VERSION.fullmatch(version):
        raise ValueError(f"a version is up to three numbers with dots, not {version!r}")
    return tuple(int(part) for part in version.split("."))

"""What the tour sends: harmless stand-ins of the dangerous, with each run's id in them, so that no two are alike."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from deploy.demo import STAFF
from rules.build import build

SUBJECT = "تنبيه عاجل: تعليق حسابك"
HTML = ("MIME-Version: 1.0", "Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: 8bit")


def heads(count: int) -> Iterator[str]:
    """The first account of each of `count` ministries."""
    for domain, people in list(STAFF.items())[:count]:
        yield f"{people[0][0]}@{domain}"


def colleagues(count: int) -> Iterator[str]:
    """`count` accounts over all ministries, without the finance ministry's."""
    everyone = [
        f"{local}@{domain}" for domain, people in STAFF.items() for local, _ in people if "finance" not in domain
    ]
    yield from everyone[:count]


def friend(run: str) -> str:
    """Somebody abroad who never wrote: refused first, exempted later."""
    return f"friend-{run}@freemail.example"


def report(run: str) -> str:
    """The file name of this run's macro document."""
    return f"report-{run}.doc"


def invoice(run: str) -> str:
    """The file name of this run's archive."""
    return f"invoice-{run}.zip"


def phish(run: str) -> bytes:
    """A hurried request in Arabic to confirm the account at a shortened address: the same for every target of a run.

    The library tags it and does not hold it: so there are people who already have it, whom the incident must list.
    """
    return f"""<html dir="rtl"><body>
<p>عاجل: سيتم تعليق صندوق البريد خلال 24 ساعة. يرجى تأكيد حسابك على الرابط:
<a href="https://bit.ly/{run}">اضغط هنا</a></p>
<p>قسم الدعم الفني، الرقم المرجعي {run}</p>
</body></html>
""".replace("\n", "\r\n").encode()


def macro_document(run: str) -> bytes:
    """An old Word document with the marks of a macro that opens by itself and downloads; it holds no macro."""
    marks = ["Document_", "Open ", {"hex": "00"}, "URLDownload", "ToFile", {"hex": "00"}, run]
    streams = [{"name": "WordDocument", "data": f"Report {run}"}, {"name": "_VBA_PROJECT", "data": marks}]
    return build({"ole": streams})


def rule_that_holds_everything(run: str) -> tuple[str, str]:
    """(rule, samples): it passes its samples, and holds every mail: what no sample shows, the budget must."""
    rule = f"""rule tour_{run}
{{
    meta:
        id = "{rule_id(run)}"
        version = "1"
        title_en = "Routine mail, by mistake"
        title_ar = "بريد معتاد، عن طريق الخطأ"
        disposition = "hold"
        threat = "disguise"
    strings:
        $version = "MIME-Version: 1.0"
    condition:
        part == "header" and $version
}}
"""
    samples = f"""[[sample]]
name = "routine mail"
match = ["{rule_id(run)}"]
part = "header"
data = "From: <amal@finance.saba.example>\\r\\nMIME-Version: 1.0\\r\\n"

[[sample]]
name = "an attached table"
silent = ["{rule_id(run)}"]
part = "attachment"
data = "a;b;c"
"""
    return rule, samples


def rule_id(run: str) -> str:
    """The id of this run's bad rule."""
    return f"HY-9{int(run, 16) % 1000:03d}"


def executable_in_archive(run: str) -> bytes:
    """A zip with invoice.pdf.exe in it: a DOS header and text, nothing that runs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("invoice.pdf.exe", b"MZ" + b"\0" * 58 + b"\x40\0\0\0PE\0\0 harmless stand-in " + run.encode())
    return buffer.getvalue()

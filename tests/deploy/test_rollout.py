"""Two hundred bodies from one sheet: whole or not at all, and how ready each is."""

from collections.abc import Sequence
from importlib import resources

import pytest

from deploy.rollout import conflicts, enforced, in_shadow, merge, read_rows, readiness
from hudhud.registry import RegistryError, parse_registry

CURRENT = resources.files("hudhud").joinpath("demo", "registry.toml").read_bytes()
HEADING = "code,name_ar,name_en,domains,staff_networks,next_hop,contact_name,contact_email"


def sheet(*rows: str, heading: str = HEADING) -> bytes:
    return "\n".join((heading, *rows)).encode()


def row(number: int) -> str:
    domain = f"body{number}.saba.example"
    network = f"2001:db8:{number + 100:x}::/48"
    return f"B{number:03},هيئة {number},Body {number},{domain},{network},192.0.2.9:24,Head {number},it@{domain}"


def two_hundred() -> list[str]:
    return [row(number) for number in range(200)]


def test_two_hundred_bodies_are_added_to_the_registry() -> None:
    rows, errors = read_rows(sheet(*two_hundred()))
    assert errors == []
    text, registry = merge(CURRENT, rows)
    assert len(registry.entities) == 206
    assert registry.by_domain("body17.saba.example").name_ar == "هيئة 17"
    assert registry.by_address("2001:db8:64::5")[0].code == "B000"
    assert parse_registry({"registry.toml": text}).entities.keys() == registry.entities.keys()


def test_every_fault_of_a_sheet_is_named_with_its_row_and_column() -> None:
    rows = two_hundred()
    rows[3] = rows[3].replace("B003", "")
    rows[7] = rows[7].replace("2001:db8:6b::/48", "2001:db8:6b::1/48")
    rows[9] = rows[9].replace("it@body9.saba.example", "nobody")
    rows[11] = rows[11].replace("body11.saba.example", "body12.saba.example", 1)
    _, errors = read_rows(sheet(*rows))
    assert [(error.row, error.column) for error in errors] == [
        (5, "code"), (9, "staff_networks"), (11, "contact_email"), (14, "domains"),
    ]  # fmt: skip
    assert "row 13 already" in str(errors[-1])


@pytest.mark.parametrize(
    ("data", "column", "word"),
    [
        (sheet(row(1), heading="code,name_ar,name_en"), "domains", "missing"),
        (sheet(row(1), heading=HEADING + ",colour"), "colour", "known"),
        ("code,name_ar\nA,هيئة".encode("cp1256"), "", "UTF-8"),
        (b"", "code", "missing"),
    ],
)
def test_a_sheet_of_another_shape_says_what_is_wrong(data: bytes, column: str, word: str) -> None:
    rows, errors = read_rows(data)
    assert rows == []
    assert any(error.column == column and word in error.problem for error in errors)


def test_a_sheet_saved_by_a_spreadsheet_in_another_locale_is_read() -> None:
    rows, errors = read_rows(b"\xef\xbb\xbf" + sheet(row(1)).replace(b",", b";"))
    assert (len(rows), errors) == (1, [])


def test_a_domain_that_is_somebody_elses_loads_nothing() -> None:
    rows, _ = read_rows(sheet(row(1).replace("body1.saba.example", "finance.saba.example", 1)))
    with pytest.raises(RegistryError, match="already belongs to FIN"):
        merge(CURRENT, rows)


def test_what_is_somebody_elses_is_named_with_row_and_column() -> None:
    rows, errors = read_rows(sheet(row(1), row(2).replace("body2.saba.example", "Finance.saba.example", 1)))
    assert errors == []
    (error,) = conflicts(parse_registry({"registry.toml": CURRENT}), rows)
    assert (error.row, error.column, "belongs to FIN" in error.problem) == (3, "domains", True)


def test_quotes_and_controls_in_names_do_no_harm() -> None:
    rows, errors = read_rows(sheet('B1,هيئة,"Body ""x"" \\ \t\u202e",b1.saba.example,,,,'))
    assert errors == []
    _, registry = merge(CURRENT, rows)
    assert registry.entity("B1").name_en == 'Body "x" \\ \t\u202e'.strip()


class Hosts:
    """MX answers by domain."""

    def __init__(self, **answers: Sequence[str] | str) -> None:
        self.answers = answers

    async def addresses(self, domain: str) -> Sequence[str] | str:
        return self.answers.get(domain.partition(".")[0], "none published")


async def test_readiness_names_what_stands_in_the_way() -> None:
    rows, _ = read_rows(sheet(row(1), "B2,هيئة,Body 2,b2.saba.example,,,,", row(3)))
    _, registry = merge(CURRENT, rows)
    hosts = Hosts(body1=["192.0.2.10"], b2=["198.51.100.9"], body3="not found (SERVFAIL)")
    states = {code: await readiness(registry.entity(code), registry, hosts) for code in ("B001", "B2", "B003")}
    assert states["B001"].ready
    assert [text.partition(":")[0] for text in states["B2"].obstacles] == [
        "no mailbox server",
        "no contact",
        "b2.saba.example",
    ]
    assert "MX abroad (198.51.100.9)" in states["B2"].obstacles[-1]
    assert states["B003"].obstacles == ("body3.saba.example: MX not found (SERVFAIL)",)


async def test_a_server_or_a_contact_abroad_stands_in_the_way() -> None:
    rows, _ = read_rows(sheet("B1,هيئة,Body,b1.saba.example,,203.0.113.9,Head,head@gmail.com"))
    _, registry = merge(CURRENT, rows)
    state = await readiness(registry.entity("B1"), registry, Hosts(b1=["192.0.2.10"]))
    assert [text.split()[1] for text in state.obstacles] == ["mailbox", "contact"]


def test_shadow_is_written_for_new_bodies_and_ended_for_one_alone() -> None:
    policy = in_shadow(b'version = "1"\n\n[entity.INT]\nforeign = "refuse"\n', ["A", "INT", "B"])
    assert policy.count(b'mode = "shadow"') == 2
    after = enforced(policy, "A")
    assert after.count(b'mode = "shadow"') == 1
    assert b'[entity.A]\nmode = "enforce"' in after

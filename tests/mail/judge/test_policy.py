"""The policy file: defaults, differences, and errors that name file, line and key."""

from __future__ import annotations

import pytest

from mail.live import FixedRules
from mail.policy import PolicyError, compile_policy, parse_policy

TEXT = b"""version = "7"
[default]
foreign = "allow"
max_size = 5000
[entity.INT]
foreign = "refuse"
"""


def test_a_body_has_the_default_where_it_does_not_differ() -> None:
    document = parse_policy({"policy.toml": TEXT})
    assert document.entities["INT"].foreign == "refuse"
    assert document.entities["INT"].max_size == 5000
    assert document.default.reply_days == 30


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (b'version = "1"\n[default]\nforeign = "maybe"\n', 3, "default.foreign"),
        (b'version = "1"\n[default]\nfreign = "allow"\n', 3, "default.freign"),
        (b'version = "1"\n[entity.INT]\nleak = "allow"\n', 3, "entity.INT.leak"),
        (b'version = "1"\n[default]\nreply_days = 0\n', 3, "default.reply_days"),
        (b'version = "1"\n[default]\nmentions = "refuse"\n', 3, "default.mentions"),
        (b'version = "1"\n[default]\nforwarding = "reject"\n', 3, "default.forwarding"),
        (b'version = "1"\n[entity.INT]\nresponse_centre = ["cert"]\n', 3, "entity.INT.response_centre"),
        (b'version = "1"\n[default]\nmax_size = 12\n', 3, "default.max_size"),
        (b"[default]\n", 0, "version"),
        (b'version = "1"\n[default\n', 2, ""),
    ],
)
def test_errors_name_file_line_and_key(text: bytes, line: int, key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy({"policy.toml": text})
    assert (caught.value.file, caught.value.key) == ("policy.toml", key)
    assert caught.value.line in (line, 0) if key == "version" else caught.value.line == line


def test_a_body_that_the_registry_does_not_know_is_an_error_with_its_line(rules: FixedRules) -> None:
    document = parse_policy({"policy.toml": TEXT.replace(b"INT", b"XYZ")})
    with pytest.raises(PolicyError, match=r"policy\.toml:5: entity\.XYZ"):
        compile_policy(document, rules.policy.registry)


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(PolicyError, match="missing"):
        parse_policy({})


def test_each_rule_has_a_strength_and_the_word_of_before_still_counts() -> None:
    document = parse_policy(
        {"policy.toml": b'version = "1"\n[default]\nleak = "reject"\n[entity.INT]\nonward = "shadow"\n'}
    )
    assert (document.default.leak, document.default.onward, document.default.mentions) == ("reject", "refuse", "tag")
    assert (document.entities["INT"].leak, document.entities["INT"].onward) == ("reject", "shadow")

"""[auth] in hudhud.toml: what cannot work is named with file, line and key before anybody tries to log in."""

from pathlib import Path

import pytest

from hudhud import config

LDAP = '[auth.ldap.fin]\ndomains = ["finance.saba.example"]\nurls = ["ldaps://dc1.finance.saba.example"]\n'
OAUTH = '[auth.oauth.id]\ndomains = ["*"]\nissuer = "https://id.saba.example"\naudience = "mail"\n'


def parse(text: str) -> config.Config:
    return config.parse(Path("hudhud.toml"), text.encode())


def test_back_ends_are_read_with_their_defaults() -> None:
    auth = parse(LDAP + 'base = "dc=saba"\n' + OAUTH + 'jwks = "https://id.saba.example/keys"\n').settings.auth
    assert auth.ldap["fin"].filter == "(mail={address})"
    assert auth.ldap["fin"].starttls
    assert "none" not in auth.oauth["id"].algorithms
    assert parse("").settings.auth.mechanisms[0] == "PLAIN"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[auth]\nmechanisms = ['CRAM-MD5']", "hudhud.toml:2: auth.mechanisms[0]"),
        ("[auth]\nmax_waiting = 0", "hudhud.toml:2: auth.max_waiting"),
        (LDAP, "hudhud.toml:1: auth.ldap.fin.dn"),
        (LDAP + 'bases = "dc=saba"', "hudhud.toml:4: auth.ldap.fin.bases: is not known here; known: domains, urls"),
        ('[auth.ldap.fin]\ndomains = ["x.example"]\n', "hudhud.toml:1: auth.ldap.fin.urls: is missing"),
        (LDAP + 'base = "dc=saba"\nfilter = "(mail=*)"', "hudhud.toml:5: auth.ldap.fin.filter: lacks"),
        (LDAP + 'base = "dc=saba"\nfilter = "(mail={mail})"', "hudhud.toml:5: auth.ldap.fin.filter: {mail}"),
        (LDAP + 'base = "dc=saba"\nfilter = "(mail={address}"', "hudhud.toml:5: auth.ldap.fin.filter"),
        (LDAP + 'dn = "ou=people"', "hudhud.toml:4: auth.ldap.fin.dn: lacks"),
        (LDAP + 'base = "dc=saba"\nbind_dn = "cn=relay"', "hudhud.toml:5: auth.ldap.fin.bind_dn"),
        (LDAP.replace("ldaps:", "ldap:") + 'base = "x"\nstarttls = false', "hudhud.toml:5: auth.ldap.fin.starttls"),
        (LDAP.replace("ldaps:", "http:") + 'base = "x"', "hudhud.toml:3: auth.ldap.fin.urls"),
        (LDAP + 'base = "x"\ntimeout_s = 0', "hudhud.toml:5: auth.ldap.fin.timeout_s"),
        (
            LDAP + 'base = "x"\n[auth.dovecot.d]\ndomains = ["Finance.saba.example"]\nsocket = "s"',
            "hudhud.toml:6: auth.dovecot.d.domains: Finance.saba.example is served by auth.ldap.fin already",
        ),
        (OAUTH, "hudhud.toml:1: auth.oauth.id.jwks"),
        (OAUTH + 'jwks = "http://id.saba.example/keys"', "hudhud.toml:5: auth.oauth.id.jwks"),
        (OAUTH + 'jwks = "keys.json"\nalgorithms = ["HS256"]', "hudhud.toml:6: auth.oauth.id.algorithms"),
        (OAUTH + 'jwks = "keys.json"\nalgorithms = ["none"]', "hudhud.toml:6: auth.oauth.id.algorithms"),
        (OAUTH + 'introspection = "https://id.saba.example/ask"', "hudhud.toml:5: auth.oauth.id.introspection"),
        (OAUTH.replace('"mail"', '""') + 'jwks = "keys.json"', "hudhud.toml:4: auth.oauth.id.audience"),
    ],
)
def test_a_mistake_names_file_line_and_key(text: str, place: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(place)


def test_a_secret_that_is_not_there_or_open_to_others_is_named_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "hudhud.toml"
    path.write_text(LDAP + 'base = "dc=saba"\nbind_dn = "cn=relay"\npassword_file = "ldap.secret"\n')
    assert config.load(path).settings.auth.ldap  # other machines and commands need not have it
    with pytest.raises(config.ConfigError, match=r"hudhud\.toml:6: auth\.ldap\.fin\.password_file: .*cannot be read"):
        config.load(path, files=True)
    secret = tmp_path / "var" / "ldap.secret"
    secret.parent.mkdir()
    secret.write_text("hush\n")
    secret.chmod(0o644)
    with pytest.raises(config.ConfigError, match=r"open to others.*0644.*chmod 600") as caught:
        config.load(path, files=True)
    assert "hush" not in str(caught.value)
    secret.chmod(0o600)
    assert config.load(path, files=True).settings.auth.ldap["fin"].password_file == "ldap.secret"

"""What a mail program reads: Thunderbird's config-v1.1.xml, and a configuration profile for Apple's Mail. Pure.

Thunderbird: the "config file format" of its wiki. Apple: the payload com.apple.mail.managed. Nothing of the request
stands in the first; the second has the address, which was parsed before.
"""

from __future__ import annotations

import plistlib
import uuid
from typing import Final
from xml.etree import ElementTree as Xml  # only written, never parsed

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from mail.setup.ways import Ways

_NAMESPACE: Final = uuid.UUID("6d1f0c3c-6a58-5d0e-9f6e-7b7fd4f1a001")  # ours: the same address is the same profile


def thunderbird(of: Ways) -> bytes | None:
    """config-v1.1.xml; None where the body's IMAP server is not known, as it is of no use without one."""
    if of.imap is None:
        return None
    root = Xml.Element("clientConfig", version="1.1")
    provider = Xml.SubElement(root, "emailProvider", id=of.domain)
    for domain in dict.fromkeys((of.domain, of.shown)):
        Xml.SubElement(provider, "domain").text = domain
    Xml.SubElement(provider, "displayName").text = f"{of.name_en} · {of.name_ar}"
    Xml.SubElement(provider, "displayShortName").text = of.code
    _server(provider, "incomingServer", "imap", of.imap, "SSL")
    _server(provider, "outgoingServer", "smtp", (of.host, of.submissions), "SSL")
    _server(provider, "outgoingServer", "smtp", (of.host, of.submission), "STARTTLS")
    Xml.indent(root)
    text: str = Xml.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _server(provider: Xml.Element, tag: str, kind: str, place: tuple[str, int], socket: str) -> None:
    server = Xml.SubElement(provider, tag, type=kind)
    for name, value in (
        ("hostname", place[0]),
        ("port", str(place[1])),
        ("socketType", socket),
        ("authentication", "password-cleartext"),  # Mozilla's word for PLAIN inside TLS
        ("username", "%EMAILADDRESS%"),
    ):
        Xml.SubElement(server, name).text = value


def apple(of: Ways, address: str) -> bytes | None:
    """A .mobileconfig for one address, unsigned; None where the body's IMAP server is not known."""
    if of.imap is None:
        return None
    account = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"hudhud.mail.{of.domain}.account",
        "PayloadUUID": _id("account", address),
        "PayloadDisplayName": of.name_ar,
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAccountDescription": of.name_ar,
        "EmailAddress": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": of.imap[0],
        "IncomingMailServerPortNumber": of.imap[1],
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": of.host,
        "OutgoingMailServerPortNumber": of.submissions,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": address,
        "OutgoingPasswordSameAsIncomingPassword": True,
        "SMIMEEnabled": False,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"hudhud.mail.{of.domain}",
        "PayloadUUID": _id("profile", address),
        "PayloadDisplayName": f"{of.name_ar} · {of.name_en}",
        "PayloadOrganization": of.name_ar,
        "PayloadDescription": f"البريد الوطني: {address} · National mail: {address}",
        "PayloadContent": [account],
    }
    return plistlib.dumps(profile)


def _id(what: str, address: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{what}\0{address}")).upper()


def signed(profile: bytes, certificate: bytes, key: bytes) -> bytes:
    """The profile in CMS (DER), signed with the certificate (PEM, its chain behind it) and its key; so phones show who
    made it."""
    chain = x509.load_pem_x509_certificates(certificate)
    private = serialization.load_pem_private_key(key, password=None)
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return profile
    builder = pkcs7.PKCS7SignatureBuilder().set_data(profile).add_signer(chain[0], private, hashes.SHA256())
    for more in chain[1:]:
        builder = builder.add_certificate(more)
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])

"""Detectors: one a file. A new detector is a file and a line in `detectors`."""

from __future__ import annotations

import secrets

from sensors.detect.alert import Detector
from sensors.detect.clear_credentials import ClearCredentials
from sensors.detect.dns_tunnel import DnsTunnel
from sensors.detect.mail_abroad import MailAbroad
from sensors.detect.port_scan import PortScan
from sensors.detect.smtp_egress import SmtpEgress
from sensors.detect.webmail import Webmail
from sensors.place import Places


def detectors(places: Places, webmail_min_hosts: int) -> tuple[Detector, ...]:
    """A fresh set, all windows empty."""
    salt = secrets.token_bytes(16)
    return (
        SmtpEgress(places, salt),
        MailAbroad(places),
        Webmail(places, salt, webmail_min_hosts),
        ClearCredentials(places),
        DnsTunnel(places),
        PortScan(places),
    )

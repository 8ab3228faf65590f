"""SSH: the two identification lines (RFC 4253 section 4.2); what follows is left."""

from __future__ import annotations

from hudhud.event import Value
from sensors.flow import Flow, Half
from sensors.observation import Observation, Tell

MAX_BANNER_BYTES = 255
MAX_BUFFER_BYTES = 8192  # a server may say other lines first


class Ssh:
    """One observation a conversation."""

    name = "ssh"

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._flow, self._tell = flow, tell
        self._buffers = {True: b"", False: b""}
        self._banners: dict[bool, str] = {}
        self._time = flow.first

    def feed(self, half: Half, data: bytes, time: float) -> None:
        side, self._time = half.client, time
        if side in self._banners:
            return
        self._buffers[side] += data
        for line in self._buffers[side].split(b"\n")[:-1]:
            if line.startswith(b"SSH-"):
                self._banners[side] = line.rstrip(b"\r")[:MAX_BANNER_BYTES].decode("utf-8", "replace")
                break
        if len(self._banners) == 2 or len(self._buffers[side]) > MAX_BUFFER_BYTES:
            self._flow.parser = None
            self.finish(time)

    def gap(self, half: Half, size: int, time: float) -> bool:
        return False

    def finish(self, time: float) -> None:
        if not self._banners:
            return
        fields: dict[str, Value] = {"network.protocol": "ssh"}
        for side, name in ((True, "client"), (False, "server")):
            if side in self._banners:
                _, _, rest = self._banners[side].partition("-")
                version, _, software = rest.partition("-")
                fields[f"hudhud.ssh.{name}.version"] = version
                fields[f"hudhud.ssh.{name}.software"] = software.split(" ")[0]
        self._banners = {}
        self._tell(Observation("ssh", self._time, self._flow, fields))

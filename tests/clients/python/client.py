"""Clients: the `websockets` library, and bare bytes for what no library would send.

Owns waiting for what the gateway sends; each wait has a deadline.
"""

import base64
import contextlib
import json
import os
import socket
import struct

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_websocket

import tokens
from gateway import DEADLINE

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

# What an original client, without any subprotocol, is acknowledged with.
GREETING = "Connected to WebSocket server"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def connect(gateway, token=None, path="", **options):
    """A connection, as a context; with the token in the header if one is given."""
    if token is not None:
        options.setdefault("additional_headers", bearer(token))
    # The library's own pings are off: these tests count frames.
    options |= {"proxy": None, "ping_interval": None, "open_timeout": DEADLINE, "legacy": False}
    return open_websocket(gateway.websocket_url + path, **options)


@contextlib.contextmanager
def connected(gateway, user="user_789", **claims):
    """A connection of the user, acknowledged, as a context."""
    with connect(gateway, tokens.token(user, **claims)) as client:
        acknowledgement = receive(client)
        assert acknowledgement["payload"]["message"] == GREETING, acknowledgement
        yield client


def send(client, **frame):
    client.send(json.dumps(frame))


def receive(client):
    """The next message."""
    return json.loads(client.recv(timeout=DEADLINE))


def ask(client, **frame):
    """Sends a frame and gives the next message."""
    send(client, **frame)
    return receive(client)


def rest(client):
    """All messages until the close, and its code."""
    messages = []
    try:
        while True:
            messages.append(receive(client))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "closed without a close frame"
        return messages, closed.rcvd.code


def encode_frame(opcode, payload=b"", first=0x80, is_masked=True):
    """The bytes of a frame. `first` holds FIN and the reserved bits."""
    length = len(payload)
    mask_bit = 0x80 if is_masked else 0
    if length < 126:
        header = struct.pack("!BB", first | opcode, mask_bit | length)
    elif length < 1 << 16:
        header = struct.pack("!BBH", first | opcode, mask_bit | 126, length)
    else:
        header = struct.pack("!BBQ", first | opcode, mask_bit | 127, length)
    # A mask of zeros is one that changes nothing.
    return header + (b"\0\0\0\0" if is_masked else b"") + payload


class Raw:
    """A connection whose bytes the test writes itself. It answers nothing by itself."""

    def __init__(self, gateway, token=None, behind=b"", **headers):
        """Opens with these headers changed or, with None, left out; `behind` is sent at once behind the request."""
        host, port = gateway.address.split(":")
        self._socket = socket.create_connection((host, int(port)), DEADLINE)
        self._file = self._socket.makefile("rb")
        fields = {
            "Host": gateway.address,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        }
        fields |= bearer(token) if token else {}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = ["GET /ws HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value), "", ""]
        self.write("\r\n".join(lines).encode() + behind)
        self.status = int(self._file.readline().split()[1])
        self.headers = {}
        while (line := self._file.readline().strip()) != b"":
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()

    def write(self, data):
        self._socket.sendall(data)

    def send(self, *args, **options):
        """Writes a frame."""
        self.write(encode_frame(*args, **options))

    def frame(self):
        """The next frame: opcode and payload; (None, b"") at the end of the connection."""
        header = self._file.read(2)
        if len(header) < 2:
            return None, b""
        assert header[1] & 0x80 == 0, "a server does not mask"
        length = header[1]
        if length == 126:
            (length,) = struct.unpack("!H", self._file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._file.read(8))
        return header[0] & 0x0F, self._file.read(length)

    def receive(self):
        """The next message; pings are passed over."""
        opcode, payload = self.frame()
        while opcode == PING:
            opcode, payload = self.frame()
        assert opcode == TEXT, f"a message and not {opcode} {payload}"
        return json.loads(payload)

    def rest(self):
        """All messages until the close frame, and its code; behind it the gateway says nothing more."""
        messages = []
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                messages.append(json.loads(payload))
            elif opcode == CLOSE:
                (code,) = struct.unpack("!H", payload[:2])
                self.send(CLOSE, payload[:2])
                assert self.frame() == (None, b""), "nothing comes behind a close frame"
                return messages, code
            else:
                assert opcode == PING, f"closed without a close frame: {opcode}"

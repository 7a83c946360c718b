"""Messages: the order of answers, and what becomes of messages that no honest client sends."""

import contextlib
import json
import unittest

from websockets.exceptions import ConnectionClosed

import tokens
from client import BINARY, CLOSE, PING, PONG, TEXT, Raw, ask, connected, encode_frame, receive, rest, send
from gateway import Gateway

MESSAGE_LIMIT = 64 * 1024

# Answered with INVALID_MESSAGE without a replyTo, since they have no usable id.
INVALID = [
    "",
    " ",
    "ping",
    "null",
    "42",
    '"ping"',
    "[]",
    '[{"type":"ping"}]',
    "{",
    '{"type":"ping"',
    '{"type":"ping"}}',
    '{"type":"ping",}',
    "{'type':'ping'}",
    '{"type":NaN}',
    "[" * 10_000,
    '{"a":' * 10_000,
    "\ufeff" + '{"type":"ping"}',
    '{"type":"ping","id":7}',
    '{"type":"ping","id":""}',
    '{"type":"ping","id":null}',
    json.dumps({"type": "ping", "id": "x" * 65}),
]

# The same, but the answer carries their id.
INVALID_WITH_ID = [
    {},
    {"type": "pong"},
    {"type": 7},
    {"type": None},
    {"type": ["ping"]},
    {"action": "dance"},
    {"action": "Subscribe"},
    {"action": None},
    {"action": {}},
    {"type": "ping", "action": "subscribe", "rooms": ["team:team_1"]},
    {"action": "subscribe"},
    {"action": "subscribe", "rooms": None},
    {"action": "subscribe", "rooms": "team:team_1"},
    {"action": "subscribe", "rooms": []},
    {"action": "subscribe", "rooms": [7]},
    {"action": "subscribe", "rooms": [["team:team_1"]]},
    {"action": "subscribe", "rooms": ["team:team_1"], "since": []},
    {"action": "subscribe", "rooms": ["team:team_1"], "since": {"team:team_1": "yesterday"}},
    {"action": "subscribe", "rooms": ["team:team_1"], "since": {"team:team_1": 7}},
    {"action": "subscribe", "rooms": ["team:team_1"], "presence": "yes"},
    {"action": "unsubscribe"},
    {"action": "unsubscribe", "rooms": {}},
    {"action": "authenticate"},
    {"action": "authenticate", "token": 7},
    {"action": "publish"},
    {"action": "publish", "event": ["user.typing", {}]},
    {"action": "publish", "event": {"payload": {}}},
    {"action": "publish", "event": {"type": "user.typing"}},
    {"action": "publish", "event": {"type": "user.typing", "payload": {}}, "rooms": "issue:issue_1"},
]

# Names that are no rooms, by what is wrong with them.
ODD_ROOMS = {
    "empty": "",
    "no kind": "team_1",
    "an empty kind": ":team_1",
    "an empty id": "team:",
    "an unknown kind": "galaxy:g_1",
    "a kind in capitals": "Team:team_1",
    "a space": "team:team 1",
    "a space before": " team:team_1",
    "a line break": "team:team_1\n",
    "a null": "team:\0",
    "a second colon": "team:team_1:x",
    "a slash": "team:../admin",
    "a wildcard": "team:*",
    "letters of another alphabet": "team:проект",
    "an emoji": "team:\U0001f680",
    "too long": "team:" + "x" * 129,
    "far too long": "team:" + "x" * 10_000,
}


class Messages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # The message limit has tests of its own.
        cls.gateway = Gateway(ROOM_ACCESS="open", MESSAGES_PER_MINUTE="10000")
        cls.addClassCleanup(cls.gateway.stop)

    def client(self):
        return self.enterContext(connected(self.gateway))

    def raw(self):
        raw = self.enterContext(Raw(self.gateway, tokens.token("user_raw")))
        self.assertEqual(raw.receive()["type"], "connection.ack")
        return raw

    def assert_error(self, answer, code, reply_to=None):
        self.assertEqual(answer["type"], "error", answer)
        self.assertEqual((answer["payload"]["code"], answer.get("replyTo")), (code, reply_to), answer)

    def assert_alive(self, client):
        self.assertEqual(ask(client, type="ping")["payload"]["message"], "pong")

    def test_answers_come_in_the_order_of_their_requests(self):
        client = self.client()
        typing = {"type": "user.typing", "payload": {"issueId": "issue_1", "isTyping": False}}
        kinds = [
            ({"type": "ping"}, "connection.ack"),
            ({"action": "subscribe", "rooms": ["team:team_1", "issue:issue_1"]}, "subscription.ack"),
            ({"action": "publish", "event": typing}, "publish.ack"),
            ({"action": "publish", "event": {"type": "issue.deleted", "payload": {}}}, "error"),
            ({"action": "unsubscribe", "rooms": ["issue:issue_1"]}, "subscription.ack"),
            ({"action": "authenticate", "token": tokens.token("user_789")}, "auth.ack"),
            ({"action": "dance"}, "error"),
        ]
        for number in range(42):
            send(client, id=str(number), **kinds[number % len(kinds)][0])
        answers = [receive(client) for _ in range(42)]
        self.assertEqual([answer["replyTo"] for answer in answers], [str(number) for number in range(42)])
        self.assertEqual([answer["type"] for answer in answers], [kind for _, kind in kinds] * 6)

    def test_ids_of_every_allowed_form_come_back(self):
        client = self.client()
        for name in ("x", "x" * 64, "ключ", " ", '"\\\n\0'):
            self.assertEqual(ask(client, id=name, type="ping")["replyTo"], name)
        self.assertNotIn("replyTo", ask(client, type="ping"))

    def test_what_is_no_message_is_answered_and_survived(self):
        client = self.client()
        for text in INVALID:
            with self.subTest(text[:40]):
                client.send(text)
                self.assert_error(receive(client), "INVALID_MESSAGE")
        self.assert_alive(client)

    def test_a_message_of_the_wrong_shape_is_answered_and_survived(self):
        client = self.client()
        for frame in INVALID_WITH_ID:
            with self.subTest(frame):
                self.assert_error(ask(client, id="x", **frame), "INVALID_MESSAGE", reply_to="x")
        self.assert_alive(client)
        self.assertNotIn("team:team_1", self.gateway.stats()["clientsPerRoom"], "none of them did anything")

    def test_unknown_fields_are_ignored(self):
        client = self.client()
        answer = ask(client, type="ping", colour="red", nested={"a": [1]})
        self.assertEqual(answer["payload"]["message"], "pong")

    def test_binary_messages_are_answered_and_survived(self):
        client = self.client()
        for data in (b"", b"\0\xff", b'{"type":"ping"}'):
            client.send(data)
            self.assert_error(receive(client), "INVALID_MESSAGE")
        self.assert_alive(client)

    def test_invalid_messages_are_survived_forty_nine_times(self):
        client = self.client()
        for _ in range(49):
            client.send("nonsense")
            self.assert_error(receive(client), "INVALID_MESSAGE")
        self.assert_alive(client)
        client.send("nonsense")
        messages, code = rest(client)
        self.assert_error(messages[0], "INVALID_MESSAGE")
        closing = messages[1]["payload"]
        self.assertEqual((closing["code"], closing["resumable"], code), (4502, False, 4502))

    def test_an_odd_room_is_denied_by_itself(self):
        client = self.client()
        longest = "team:" + "Az09_.@|~-".ljust(128, "x")
        names = [*ODD_ROOMS.values(), longest, longest, "user:somebody_else"]
        rooms = ask(client, id="x", action="subscribe", rooms=names)["payload"]["rooms"]
        self.assertEqual(set(rooms), set(names))
        for what, name in ODD_ROOMS.items():
            with self.subTest(what):
                self.assertEqual(rooms[name], {"status": "denied", "code": "INVALID_ROOM"})
        self.assertEqual(rooms[longest]["status"], "subscribed")
        self.assertEqual(rooms["user:somebody_else"], {"status": "denied", "code": "FORBIDDEN"})
        names = [longest, "team:never_joined", "galaxy:g_1"]
        rooms = ask(client, action="unsubscribe", rooms=names)["payload"]["rooms"]
        self.assertEqual(rooms[longest], {"status": "unsubscribed"})
        self.assertEqual(rooms["team:never_joined"], {"status": "unsubscribed"})
        self.assertEqual(rooms["galaxy:g_1"], {"status": "denied", "code": "INVALID_ROOM"})

    def test_a_name_that_is_no_unicode_is_no_message(self):
        client = self.client()
        client.send('{"id":"x","action":"subscribe","rooms":["team:\\ud800"]}')
        self.assert_error(receive(client), "INVALID_MESSAGE", reply_to="x")
        self.assert_alive(client)

    def test_too_many_rooms_in_one_message_do_nothing(self):
        client = self.client()
        answer = ask(client, id="x", action="subscribe", rooms=[f"team:many_{number}" for number in range(129)])
        self.assert_error(answer, "LIMIT_EXCEEDED", reply_to="x")
        self.assertNotIn("team:many_0", self.gateway.stats()["clientsPerRoom"])

    def test_rooms_beyond_the_connections_share_are_denied(self):
        client = self.client()
        # It is in its user room already.
        names = [f"team:many_{number}" for number in range(128)]
        rooms = ask(client, action="subscribe", rooms=names)["payload"]["rooms"]
        self.assertEqual([rooms[name]["status"] for name in names], ["subscribed"] * 127 + ["denied"])
        self.assertEqual(rooms[names[-1]]["code"], "LIMIT_EXCEEDED")
        again = ask(client, action="subscribe", rooms=names[:1])["payload"]["rooms"]
        self.assertEqual(again[names[0]]["status"], "subscribed", "it takes no further place")

    def test_what_a_client_may_not_publish_is_answered(self):
        client = self.client()
        typing = {"issueId": "issue_2", "isTyping": True}
        for event, code in (
            ({"type": "user.typing", "payload": typing}, "FORBIDDEN"),
            ({"type": "issue.deleted", "payload": {"id": "issue_1", "teamId": "team_1"}}, "FORBIDDEN"),
            ({"type": "issue.deleted", "payload": {"id": "issue_1"}}, "INVALID_PAYLOAD"),
            ({"type": "connection.ack", "payload": {}}, "INVALID_PAYLOAD"),
            ({"type": "No Type", "payload": {}}, "INVALID_PAYLOAD"),
        ):
            with self.subTest(event):
                self.assert_error(ask(client, id="x", action="publish", event=event), code, reply_to="x")
        self.assert_alive(client)

    def test_a_message_of_64_kib_passes_and_one_byte_more_ends_the_connection(self):
        def padded(size):
            text = json.dumps({"type": "ping", "padding": ""})
            return text[:-2] + "x" * (size - len(text)) + text[-2:]

        client = self.client()
        client.send(padded(MESSAGE_LIMIT))
        self.assertEqual(receive(client)["payload"]["message"], "pong")
        whole = padded(MESSAGE_LIMIT + 1)
        # At once, and in pieces of which none is too large by itself.
        for message in (whole, [whole[:40_000], whole[40_000:]]):
            client = self.client()
            # The gateway may close before the library has sent all.
            with contextlib.suppress(ConnectionClosed):
                client.send(message)
            self.assertEqual(rest(client), ([], 1009))

    def test_a_message_may_come_in_pieces_with_pings_between(self):
        raw = self.raw()
        raw.send(TEXT, b'{"type":', first=0)
        raw.send(PING, b"between")
        raw.send(0, b'"ping"}')
        self.assertEqual(raw.frame(), (PONG, b"between"))
        self.assertEqual(raw.receive()["payload"]["message"], "pong")

    def test_frames_may_come_with_the_upgrade_or_byte_by_byte(self):
        first = encode_frame(TEXT, json.dumps({"action": "authenticate", "token": tokens.token("user_raw")}).encode())
        ping = encode_frame(TEXT, b'{"type":"ping"}')
        with Raw(self.gateway, behind=first + ping) as raw:
            self.assertEqual(raw.receive()["payload"]["userId"], "user_raw")
            self.assertEqual(raw.receive()["payload"]["message"], "pong")
            for byte in ping:
                raw.write(bytes([byte]))
            self.assertEqual(raw.receive()["payload"]["message"], "pong")

    def test_a_length_beyond_all_bounds_ends_the_connection_before_its_bytes_come(self):
        for length in (1 << 17, (1 << 63) - 1, (1 << 64) - 1):
            raw = self.raw()
            raw.write(b"\x81\xff" + length.to_bytes(8, "big") + b"\0\0\0\0")
            self.assertEqual(raw.rest(), ([], 1009))

    def test_text_that_is_no_utf_8_ends_the_connection(self):
        for payload in (b"\xff", b'{"type":"\xc3\x28"}', b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3"):
            with self.subTest(payload):
                raw = self.raw()
                raw.send(TEXT, payload)
                self.assertEqual(raw.rest(), ([], 1007))

    def test_a_violation_of_the_protocol_ends_the_connection(self):
        violations = {
            "unmasked": lambda raw: raw.send(TEXT, b'{"type":"ping"}', is_masked=False),
            "a reserved bit": lambda raw: raw.send(TEXT, b"{}", first=0xC0),
            "a reserved opcode": lambda raw: raw.send(3, b"{}"),
            "a reserved control opcode": lambda raw: raw.send(11),
            "a ping in pieces": lambda raw: raw.send(PING, first=0),
            "a ping that is too long": lambda raw: raw.send(PING, b"x" * 126),
            "a piece of nothing": lambda raw: raw.send(0, b"{}"),
            "a message within a message": lambda raw: (raw.send(TEXT, b"{", first=0), raw.send(TEXT, b"}")),
            "a close of one byte": lambda raw: raw.send(CLOSE, b"\x03"),
        }
        for what, violate in violations.items():
            with self.subTest(what):
                raw = self.raw()
                violate(raw)
                self.assertEqual(raw.rest(), ([], 1002))

    def test_a_close_is_answered_with_its_code(self):
        raw = self.raw()
        raw.send(CLOSE, b"\x03\xe8bye")
        opcode, payload = raw.frame()
        self.assertEqual((opcode, payload[:2]), (CLOSE, b"\x03\xe8"))
        self.assertEqual(raw.frame(), (None, b""))

    def test_one_clients_nonsense_is_nothing_to_another(self):
        client = self.client()
        self.assertEqual(ask(client, action="subscribe", rooms=["team:calm"])["type"], "subscription.ack")
        raw = self.raw()
        raw.send(BINARY, b"\0" * 1000)
        self.assert_error(raw.receive(), "INVALID_MESSAGE")
        raw.send(TEXT, b"\xff")
        self.assertEqual(raw.rest(), ([], 1007))
        self.gateway.publish("custom.event", {"data": 1}, "team:calm")
        self.assertEqual(receive(client)["payload"], {"data": 1})

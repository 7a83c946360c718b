"""Connecting: the places of a token, what makes one bad, and what is refused before there is a socket."""

import hashlib
import json
import time
import unittest

from websockets.exceptions import InvalidStatus

import tokens
from client import GREETING, Raw, ask, connect, receive, rest, send
from gateway import Gateway

ALLOWED = "http://localhost:3000"


class Connecting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Nearly every test fails on purpose, all from one address.
        cls.gateway = Gateway(
            ROOM_ACCESS="open",
            FRONTEND_URL=f"https://app.example.com,{ALLOWED}",
            AUTH_ATTEMPTS_PER_MINUTE="1000",
        )
        cls.addClassCleanup(cls.gateway.stop)

    def refused(self, status, token=None, **options):
        """The answer to an upgrade that is refused with this status."""
        with self.assertRaises(InvalidStatus) as caught, connect(self.gateway, token, **options):
            pass
        self.assertEqual(caught.exception.response.status_code, status)
        return caught.exception.response

    def assert_unauthorized(self, client, reply_to=None):
        """One error, and the close: the acknowledgement never comes."""
        messages, code = rest(client)
        self.assertEqual([message["type"] for message in messages], ["error"])
        self.assertEqual(messages[0]["payload"]["code"], "UNAUTHORIZED")
        self.assertEqual(messages[0].get("replyTo"), reply_to)
        self.assertEqual(code, 4500)
        return messages[0]["payload"]["message"]

    def test_a_header_brings_the_token(self):
        with connect(self.gateway, tokens.token("user_1")) as client:
            first = receive(client)
            self.assertIsNone(client.subprotocol)
        self.assertEqual(first["type"], "connection.ack")
        payload = first["payload"]
        self.assertEqual((payload["message"], payload["userId"]), (GREETING, "user_1"))
        self.assertEqual(payload["protocol"], "roomcast.v1")
        self.assertEqual(payload["rooms"]["user:user_1"]["status"], "subscribed")
        self.assertEqual(payload["heartbeat"], {"pingIntervalMs": 30000, "timeoutMs": 60000})
        limits = {"messagesPerMinute": 100, "maxMessageBytes": 65536, "maxRooms": 128, "maxRoomsPerMessage": 128}
        self.assertEqual(payload["limits"], limits)
        self.assertEqual(payload["schema"]["version"], "1.0.0")

    def test_a_query_brings_the_token(self):
        with connect(self.gateway, path=f"?token={tokens.token('user_2')}") as client:
            self.assertEqual(receive(client)["payload"]["userId"], "user_2")

    def test_a_subprotocol_brings_the_token_and_the_other_is_selected(self):
        offer = ["roomcast.v1", f"roomcast.bearer.{tokens.token('user_3')}"]
        for subprotocols in (offer, offer[::-1]):
            with connect(self.gateway, subprotocols=subprotocols) as client:
                self.assertEqual(client.subprotocol, "roomcast.v1")
                payload = receive(client)["payload"]
                self.assertEqual((payload["userId"], payload["rooms"]), ("user_3", {}))

    def test_the_first_frame_brings_the_token(self):
        for subprotocols in (None, ["roomcast.v1"]):
            with connect(self.gateway, subprotocols=subprotocols) as client:
                first = ask(client, id="a", action="authenticate", token=tokens.token("user_4"))
                self.assertEqual((first["type"], first["replyTo"]), ("connection.ack", "a"))
                self.assertEqual(first["payload"]["userId"], "user_4")
                self.assertEqual("user:user_4" in first["payload"]["rooms"], subprotocols is None)

    def test_frames_behind_the_first_need_not_wait(self):
        with connect(self.gateway) as client:
            send(client, id="1", action="authenticate", token=tokens.token("user_5"))
            send(client, id="2", action="subscribe", rooms=["team:team_1"])
            send(client, id="3", type="ping")
            answers = [receive(client) for _ in range(3)]
        self.assertEqual([answer["replyTo"] for answer in answers], ["1", "2", "3"])
        types = ["connection.ack", "subscription.ack", "connection.ack"]
        self.assertEqual([answer["type"] for answer in answers], types)

    def test_the_places_of_a_token_have_an_order(self):
        header, offered, query = (tokens.token(user) for user in ("header", "offered", "query"))
        offer = ["roomcast.v1", f"roomcast.bearer.{offered}"]
        with connect(self.gateway, header, f"?token={query}", subprotocols=offer) as client:
            self.assertEqual(receive(client)["payload"]["userId"], "header")
        with connect(self.gateway, path=f"?token={query}", subprotocols=offer) as client:
            self.assertEqual(receive(client)["payload"]["userId"], "offered")

    def test_another_scheme_of_authorization_is_skipped(self):
        basic = {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}
        with connect(self.gateway, path=f"?token={tokens.token('query')}", additional_headers=basic) as client:
            self.assertEqual(receive(client)["payload"]["userId"], "query")

    def test_whoever_says_nothing_is_unauthorized(self):
        impatient = Gateway(AUTH_TIMEOUT_MS="200")
        self.addCleanup(impatient.stop)
        with connect(impatient) as client:
            self.assert_unauthorized(client)

    def test_whoever_says_something_else_first_is_unauthorized(self):
        for frame in ({"type": "ping"}, {"action": "subscribe", "rooms": ["team:team_1"]}, {"action": "dance"}):
            with connect(self.gateway) as client:
                send(client, id="x", **frame)
                self.assert_unauthorized(client, reply_to="x")
        for message in ("not json", b"\0\1"):
            with connect(self.gateway) as client:
                client.send(message)
                self.assert_unauthorized(client)

    def test_a_bad_token_is_refused_for_what_is_wrong_with_it(self):
        for what, token in bad_tokens().items():
            with self.subTest(what):
                with connect(self.gateway, token) as client:
                    reason = self.assert_unauthorized(client)
                self.assertFalse(token and token in reason, "the token is not told again")
                answer = self.gateway.call("GET", "/api/v1/ws/stats", token=token or " ")
                self.assertEqual((answer.status, answer.json["code"]), (401, "UNAUTHORIZED"))
                self.assertEqual(answer.headers["Content-Type"], "application/problem+json")

    def test_a_bad_token_is_refused_wherever_it_is(self):
        bad = tokens.token("user_6", exp=1)
        with connect(self.gateway, path=f"?token={bad}") as client:
            self.assert_unauthorized(client)
        with connect(self.gateway, path="?token=") as client:
            self.assert_unauthorized(client)
        with connect(self.gateway, subprotocols=["roomcast.v1", f"roomcast.bearer.{bad}"]) as client:
            self.assertEqual(client.subprotocol, "roomcast.v1")
            self.assert_unauthorized(client)
        with connect(self.gateway) as client:
            send(client, id="a", action="authenticate", token=bad)
            self.assert_unauthorized(client, reply_to="a")

    def test_clocks_may_differ_a_little(self):
        with connect(self.gateway, tokens.token("user_7", nbf=int(time.time()) + 2)) as client:
            self.assertEqual(receive(client)["type"], "connection.ack")

    def test_a_bearer_without_the_protocol_makes_no_sense(self):
        response = self.refused(400, subprotocols=[f"roomcast.bearer.{tokens.token('user_8')}"])
        self.assertEqual(json.loads(response.body)["code"], "INVALID_MESSAGE")

    def test_an_origin_that_is_not_listed_is_refused_and_the_log_says_what_would_allow_it(self):
        token = tokens.token("user_9")
        for origin in (ALLOWED, "https://app.example.com", "https://app.example.com:443"):
            with connect(self.gateway, token, origin=origin) as client:
                self.assertEqual(receive(client)["type"], "connection.ack")
        others = ["http://localhost:3001", "https://localhost:3000", "https://app.example.com.evil.example", "null"]
        for origin in others:
            response = self.refused(403, token, origin=origin)
            self.assertEqual(json.loads(response.body)["code"], "FORBIDDEN")
            self.gateway.logged(origin, "FRONTEND_URL")

    def test_another_version_of_the_protocol_is_told_which_one_is_spoken(self):
        with Raw(self.gateway, tokens.token("user_10"), Sec_WebSocket_Version="12") as raw:
            self.assertEqual((raw.status, raw.headers["sec-websocket-version"]), (426, "13"))

    def test_a_malformed_upgrade_is_refused(self):
        for headers in (
            {"Sec_WebSocket_Key": "c2hvcnQ="},
            {"Sec_WebSocket_Key": None},
            {"Sec_WebSocket_Version": None},
            {"Upgrade": "h2c"},
            {"Connection": "close"},
            {"Content_Length": "3"},
        ):
            with self.subTest(headers), Raw(self.gateway, tokens.token("user_11"), **headers) as raw:
                self.assertEqual(raw.status, 400)

    def test_without_an_upgrade_it_is_no_page(self):
        self.assertEqual(self.gateway.call("GET", "/ws").status, 400)
        self.assertEqual(self.gateway.call("POST", "/ws").status, 405)
        self.assertEqual(self.gateway.call("POST", "/dev/token", {"userId": "anybody"}).status, 404)


def bad_tokens():
    """Bad tokens of every kind, by what is wrong with them."""
    now = int(time.time())
    good = tokens.token("user_789")
    content, _, signature = good.rpartition(".")
    header, _, _ = good.partition(".")

    def without(claim):
        return {name: value for name, value in tokens.claims("user_789").items() if name != claim}

    def alg(name, **options):
        return tokens.sign(tokens.claims("user_789"), header={"alg": name, "typ": "JWT"}, **options)

    wrong = {
        "empty": "",
        "no token at all": "abc",
        "three words": "a.b.c",
        "unsigned": f"{content}.",
        "cut off": good[:-4],
        "changed": f"{header}.{tokens.base64url(json.dumps(tokens.claims('admin')).encode())}.{signature}",
        "signed with another key": tokens.sign(tokens.claims("user_789"), secret="another secret of 32 bytes and more"),
        "alg none": f"{alg('none').rpartition('.')[0]}.",
        "alg none, signed": alg("none"),
        "alg NONE": f"{alg('NONE').rpartition('.')[0]}.",
        "alg HS512": alg("HS512", digest=hashlib.sha512),
        "alg RS256, signed with the secret": alg("RS256"),
        "over 8 KiB": tokens.token("user_789", more="x" * 8192),
        "expired": tokens.token("user_789", exp=now - 60),
        "not valid yet": tokens.token("user_789", nbf=now + 60),
        "without exp": tokens.sign(without("exp")),
        "without sub": tokens.sign(without("sub")),
        "claims that are no object": tokens.sign(["user_789"]),
    }
    claims = {
        "exp": [str(now + 600), None, True, [now + 600], -1],
        "nbf": [str(now), {}],
        "iat": ["yesterday"],
        "sub": ["", 789, None, "two words", "a/b", "müller", "x" * 129, "user:789"],
        "email": [7, ["a@example.com"]],
        "grants": ["*", ["team:*"], {"team:*": "subscribe"}, {"team:*": [7]}, {"team:*": None}],
    }
    for claim, values in claims.items():
        for value in values:
            wrong[f"{claim} {value!r}"[:40]] = tokens.token("user_789", **{claim: value})
    return wrong

"""Limits: messages of a connection, and failed authentications of an address."""

import math
import re
import time
import unittest

from websockets.exceptions import InvalidStatus

import tokens
from client import ask, connect, connected, receive, rest, send
from gateway import DEADLINE, Gateway

MINUTE_MS = 60_000

MESSAGE = re.compile(r"Rate limit exceeded\. Try again in (\d+) seconds\.")


class MessageLimit(unittest.TestCase):
    """A hundred messages a minute, as in the original."""

    def gateway(self, **settings):
        gateway = Gateway(ROOM_ACCESS="open", **settings)
        self.addCleanup(gateway.stop)
        return gateway

    def assert_limited(self, answer, reply_to=None):
        """Checks the refusal, and gives the time that it tells in milliseconds."""
        self.assertEqual((answer["type"], answer.get("replyTo")), ("error", reply_to), answer)
        self.assertEqual(answer["payload"]["code"], "RATE_LIMIT_EXCEEDED")
        retry_after = answer["payload"]["retryAfterMs"]
        seconds = MESSAGE.fullmatch(answer["payload"]["message"])
        self.assertIsNotNone(seconds, answer)
        self.assertEqual(int(seconds.group(1)), math.ceil(retry_after / 1000), "text and number say the same")
        return retry_after

    def test_the_hundred_and_first_message_is_refused_with_the_time_that_is_left(self):
        gateway = self.gateway()
        with connected(gateway) as client:
            before = time.monotonic()
            self.assertEqual(ask(client, type="ping")["payload"]["message"], "pong")
            behind = time.monotonic()
            for number in range(50):
                client.send("nonsense" if number % 10 == 0 else '{"type":"ping"}')
            for _ in range(49):
                send(client, type="ping")
            for _ in range(99):
                self.assertNotIn("retryAfterMs", receive(client)["payload"])
            asked = time.monotonic()
            refusal = ask(client, id="x", action="subscribe", rooms=["team:refused"])
            answered = time.monotonic()
            told = self.assert_limited(refusal, reply_to="x")
            # The window began between `before` and `behind`, and the refusal was made between `asked` and `answered`.
            # A millisecond is for rounding.
            self.assertLessEqual(told, MINUTE_MS - (asked - behind) * 1000 + 1)
            self.assertGreaterEqual(told, MINUTE_MS - (answered - before) * 1000 - 1)
            self.assertNotIn("team:refused", gateway.stats()["clientsPerRoom"], "what is refused is not done")
            # Another connection of the same user has a window of its own.
            with connected(gateway) as other:
                self.assertEqual(ask(other, type="ping")["payload"]["message"], "pong")
            usage = gateway.call("GET", "/api/v1/ws/rate-limits").json
            self.assertEqual(set(usage), {"totalClients", "averageUsage"})
            self.assertTrue(0 < usage["averageUsage"] <= 100, usage)

    def test_control_frames_do_not_count(self):
        with connected(self.gateway(MESSAGES_PER_MINUTE="3")) as client:
            for _ in range(20):
                self.assertTrue(client.ping().wait(DEADLINE), "the ping is answered")
            for _ in range(3):
                self.assertEqual(ask(client, type="ping")["payload"]["message"], "pong")
            self.assert_limited(ask(client, type="ping"))

    def test_whoever_waits_as_long_as_told_may_go_on(self):
        with connected(self.gateway(MESSAGES_PER_MINUTE="3", MESSAGE_WINDOW_SECONDS="1")) as client:
            for _ in range(3):
                send(client, type="ping")
            answers = [receive(client) for _ in range(3)]
            # On a slow machine the second may be over already; then the next three fill the next one.
            while "retryAfterMs" not in answers[-1]["payload"]:
                answers.append(ask(client, type="ping"))
            told = self.assert_limited(answers[-1])
            self.assertLessEqual(told, 1000)
            time.sleep(told / 1000)
            self.assertEqual(ask(client, type="ping")["payload"]["message"], "pong")

    def test_an_admin_resets_a_connection(self):
        gateway = self.gateway(MESSAGES_PER_MINUTE="3")
        with connect(gateway, tokens.token("user_789")) as client:
            connection = receive(client)["payload"]["connectionId"]
            for _ in range(3):
                ask(client, type="ping")
            self.assert_limited(ask(client, type="ping"))
            path = f"/api/v1/ws/rate-limits/{connection}"
            self.assertEqual(gateway.call("DELETE", path, token=tokens.token("user_789")).status, 403)
            self.assert_limited(ask(client, type="ping"))
            self.assertEqual(gateway.call("DELETE", path).status, 204)
            self.assertEqual(ask(client, type="ping")["payload"]["message"], "pong")
        self.assertEqual(gateway.call("DELETE", "/api/v1/ws/rate-limits/unknown").status, 404)

    def test_a_hundred_refusals_end_the_connection(self):
        with connected(self.gateway(MESSAGES_PER_MINUTE="3")) as client:
            for _ in range(103):
                send(client, type="ping")
            messages, code = rest(client)
            refusals = messages[3:-1]
            self.assertEqual(len(refusals), 100)
            for refusal in refusals:
                self.assert_limited(refusal)
            closing = messages[-1]
            self.assertEqual((closing["type"], closing["payload"]["code"], code), ("connection.closing", 4003, 4003))
            self.assertTrue(closing["payload"]["resumable"])
            self.assertTrue(0 < closing["payload"]["retryAfterMs"] <= MINUTE_MS)


class AuthenticationLimit(unittest.TestCase):
    """Ten failed authentications a minute and address, as in the original.

    All tests come from one address, so each has a gateway of its own.
    """

    def setUp(self):
        self.gateway = Gateway()
        self.addCleanup(self.gateway.stop)
        self.bad = tokens.token("user_789", exp=1)

    def fail_by_socket(self):
        with connect(self.gateway, self.bad) as client:
            self.assertEqual(rest(client)[1], 4500)

    def fail_by_http(self):
        self.assertEqual(self.gateway.call("GET", "/api/v1/ws/stats", token=self.bad).status, 401)

    def fail_by_first_frame(self):
        with connect(self.gateway) as client:
            send(client, action="authenticate", token=self.bad)
            self.assertEqual(rest(client)[1], 4500)

    def fail_by_renewal(self):
        with connected(self.gateway) as client:
            self.assertEqual(ask(client, action="authenticate", token=self.bad)["payload"]["code"], "UNAUTHORIZED")
            self.assertEqual(ask(client, type="ping")["payload"]["message"], "pong", "the old token stays in force")

    def succeed(self):
        with connected(self.gateway) as client:
            self.assertEqual(ask(client, type="ping")["payload"]["message"], "pong")

    def assert_refused(self):
        """An upgrade with a good token and an HTTP call are refused, and told for how long."""
        with self.assertRaises(InvalidStatus) as caught, connect(self.gateway, tokens.token("user_789")):
            pass
        response = caught.exception.response
        self.assertEqual(response.status_code, 429)
        self.assertTrue(0 < int(response.headers["Retry-After"]) <= 60)
        answer = self.gateway.call("GET", "/api/v1/ws/stats")
        self.assertEqual((answer.status, answer.json["code"]), (429, "RATE_LIMIT_EXCEEDED"))
        self.assertTrue(0 < answer.json["retryAfterMs"] <= MINUTE_MS)
        self.assertTrue(0 < int(answer.headers["Retry-After"]) <= 60)

    def test_the_eleventh_attempt_is_refused_wherever_the_ten_were(self):
        for fail in [self.fail_by_socket, self.fail_by_http, self.fail_by_first_frame, self.fail_by_renewal] * 2:
            fail()
        self.fail_by_socket()
        self.succeed()
        self.fail_by_http()
        self.assert_refused()

    def test_an_eleventh_first_frame_is_told_so_and_the_connection_ends(self):
        with connect(self.gateway) as client, connected(self.gateway) as renewing:
            for _ in range(10):
                self.fail_by_http()
            answer = ask(client, id="a", action="authenticate", token=tokens.token("user_789"))
            self.assertEqual((answer["type"], answer["replyTo"]), ("error", "a"))
            self.assertEqual(answer["payload"]["code"], "RATE_LIMIT_EXCEEDED")
            self.assertTrue(0 < answer["payload"]["retryAfterMs"] <= MINUTE_MS)
            messages, code = rest(client)
            self.assertEqual(([message["type"] for message in messages], code), (["connection.closing"], 4003))
            # Whoever is in already stays in.
            answer = ask(renewing, id="b", action="authenticate", token=tokens.token("user_789"))
            self.assertEqual((answer["payload"]["code"], answer["replyTo"]), ("RATE_LIMIT_EXCEEDED", "b"))
            self.assertEqual(ask(renewing, type="ping")["payload"]["message"], "pong")

    def test_success_does_not_count(self):
        for _ in range(25):
            self.succeed()
        for _ in range(10):
            self.fail_by_http()
        self.assert_refused()

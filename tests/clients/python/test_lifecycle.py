"""The life of connections: statistics, the heartbeat, and the end of the gateway."""

import http.client
import re
import threading
import time
import unittest
from contextlib import ExitStack

import tokens
from client import CLOSE, PING, PONG, TEXT, Raw, ask, connect, connected, rest
from gateway import DEADLINE, Gateway, until


class Statistics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(ROOM_ACCESS="open")
        cls.addClassCleanup(cls.gateway.stop)

    def test_they_have_the_shape_of_the_original(self):
        answer = self.gateway.call("GET", "/api/v1/ws/stats")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        data = answer.json["data"]
        self.assertEqual((set(answer.json), set(data)), ({"data"}, {"stats", "timestamp"}))
        self.assertRegex(data["timestamp"], re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"))
        self.assertEqual(data["stats"], {"totalClients": 0, "totalRooms": 0, "clientsPerRoom": {}})

    def test_they_count_connections_and_rooms_and_rooms_without_members_vanish(self):
        def are(clients, **rooms):
            per_room = {name.replace("__", ":"): count for name, count in rooms.items()}
            expected = {"totalClients": clients, "totalRooms": len(per_room), "clientsPerRoom": per_room}
            until(f"the statistics are {expected}", lambda: self.gateway.stats() == expected)

        with connected(self.gateway, "ann") as ann:
            ask(ann, action="subscribe", rooms=["team:t", "issue:i", "team:t"])
            with connected(self.gateway, "bob") as bob, connect(self.gateway):
                ask(bob, action="subscribe", rooms=["team:t"])
                # The third has not said who it is.
                are(2, team__t=2, issue__i=1, user__ann=1, user__bob=1)
                ask(ann, action="unsubscribe", rooms=["issue:i"])
                are(2, team__t=2, user__ann=1, user__bob=1)
            are(1, team__t=1, user__ann=1)
        are(0)

    def test_they_are_the_operators(self):
        elsewhere = tokens.token("ann", grants={"team:*": ["admin"]})
        for token, status in (("", 401), (tokens.token("ann"), 403), (elsewhere, 403)):
            self.assertEqual(self.gateway.call("GET", "/api/v1/ws/stats", token=token).status, status)


class Heartbeat(unittest.TestCase):
    PING_MS, IDLE_MS = 100, 2000

    def setUp(self):
        self.gateway = Gateway(PING_INTERVAL_MS=str(self.PING_MS), IDLE_TIMEOUT_MS=str(self.IDLE_MS))
        self.addCleanup(self.gateway.stop)

    def test_a_client_that_answers_nothing_is_given_up(self):
        start = time.monotonic()
        with Raw(self.gateway, tokens.token("ann")) as raw:
            self.assertEqual(raw.receive()["payload"]["heartbeat"], {"pingIntervalMs": 100, "timeoutMs": 2000})
            self.assertEqual(raw.frame()[0], PING)
            messages, code = raw.rest()
        self.assertGreaterEqual(time.monotonic() - start, self.IDLE_MS / 1000)
        closing = messages[-1]
        self.assertEqual((closing["type"], closing["payload"]["code"], code), ("connection.closing", 4001, 4001))
        self.assertTrue(closing["payload"]["resumable"])
        until("it does not count any more", lambda: self.gateway.stats()["totalClients"] == 0)

    def test_a_client_that_answers_pings_stays(self):
        start = time.monotonic()
        with Raw(self.gateway, tokens.token("ann")) as raw:
            self.assertEqual(raw.receive()["type"], "connection.ack")
            # Well behind the end that it would have had without answers.
            while time.monotonic() - start < 1.5 * self.IDLE_MS / 1000:
                opcode, payload = raw.frame()
                self.assertEqual(opcode, PING, payload)
                raw.send(PONG, payload)
            raw.send(TEXT, b'{"type":"ping"}')
            self.assertEqual(raw.receive()["payload"]["message"], "pong")

    def test_the_library_answers_by_itself(self):
        with connected(self.gateway, "ann") as client:
            self.assertRaises(TimeoutError, client.recv, timeout=1.5 * self.IDLE_MS / 1000)
            self.assertEqual(ask(client, type="ping")["payload"]["message"], "pong")


class Stopping(unittest.TestCase):
    CLIENTS = 60

    def test_every_connection_is_told_to_come_back_while_events_flow(self):
        gateway = Gateway(ROOM_ACCESS="open", DRAIN_SECONDS="15")
        self.addCleanup(gateway.stop)
        ends = []
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(gateway, f"user_{number}")) for number in range(self.CLIENTS)]
            for client in clients:
                ask(client, action="subscribe", rooms=["team:busy"])
            readers = [threading.Thread(target=lambda client=client: ends.append(rest(client))) for client in clients]
            publisher = threading.Thread(target=self.publish_until_the_end, args=(gateway,))
            for thread in (*readers, publisher):
                thread.start()
            until("events flow", lambda: self.delivered(gateway) > 10 * self.CLIENTS)
            start = time.monotonic()
            gateway.terminate()
            gateway.wait()
            took = time.monotonic() - start
            for thread in (*readers, publisher):
                thread.join(DEADLINE)
        self.assertLess(took, 15, "it ends within the drain")
        self.assertEqual([code for _, code in ends], [1012] * self.CLIENTS)
        for messages, _ in ends:
            *events, closing = messages
            self.assertEqual((closing["type"], closing["payload"]["code"]), ("connection.closing", 1012))
            self.assertTrue(closing["payload"]["resumable"])
            self.assertTrue(0 <= closing["payload"]["retryAfterMs"] <= 15_000)
            numbers = [event["payload"]["number"] for event in events]
            self.assertEqual(numbers, list(range(len(numbers))), "all events up to the end, in order")

    def publish_until_the_end(self, gateway):
        number = 0
        while True:
            try:
                gateway.publish("custom.event", {"number": number}, "team:busy")
            except (OSError, http.client.HTTPException, AssertionError):
                return
            number += 1

    def delivered(self, gateway):
        metrics = gateway.call("GET", "/metrics").body.decode()
        found = re.search(r"^\w*events_delivered_total (\d+)", metrics, re.MULTILINE)
        return int(found.group(1)) if found else 0

    def test_a_gateway_that_is_about_to_stop_says_so_first(self):
        gateway = Gateway(DRAIN_SECONDS="15", DRAIN_DELAY="2")
        self.addCleanup(gateway.stop)
        self.assertEqual(gateway.call("GET", "/readyz").status, 200)
        with connected(gateway) as client:
            gateway.terminate()
            until("it is not ready", lambda: gateway.call("GET", "/readyz").status == 503)
            self.assertEqual(gateway.call("GET", "/livez").status, 200)
            self.assertEqual(rest(client)[1], 1012)
        gateway.wait()

    def test_a_client_that_does_not_answer_the_close_does_not_hold_it_up(self):
        gateway = Gateway(DRAIN_SECONDS="5")
        self.addCleanup(gateway.stop)
        with Raw(gateway, tokens.token("ann")) as raw:
            self.assertEqual(raw.receive()["type"], "connection.ack")
            gateway.terminate()
            self.assertEqual(raw.receive()["type"], "connection.closing")
            self.assertEqual(raw.frame()[0], CLOSE)
            gateway.wait()

    def test_a_second_signal_ends_it_at_once(self):
        gateway = Gateway(DRAIN_SECONDS="300", DRAIN_DELAY="300")
        with connected(gateway):
            gateway.terminate()
            until("it drains", lambda: gateway.call("GET", "/readyz").status == 503)
            gateway.terminate()
            gateway.process.wait(DEADLINE)

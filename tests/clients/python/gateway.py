"""A gateway of the built binary, on a free port.

Owns the process and what it wrote. A gateway that is stopped must have ended well, and must not have logged a token.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import tokens

# Seconds; far above what a loaded machine needs.
DEADLINE = 20

# Of the environment, what a program needs to run. Settings of the machine that runs the tests stay out.
INHERITED = ["PATH", "TMPDIR", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE"]


def until(what, ask):
    """Asks until the answer is true, and gives it."""
    deadline = time.monotonic() + DEADLINE
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.005)


class Answer:
    """An answer of the HTTP API, whatever its status."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Gateway:
    """`roomcast serve`, with these settings beside the tests' secret."""

    def __init__(self, **settings):
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        # At this level libraries tell what they read, so that a token in the log would show.
        environment = inherited | {"RUST_LOG": "trace", "PORT": "0", "JWT_SECRET": tokens.SECRET} | settings
        self.log = []
        self.process = subprocess.Popen(
            [os.environ["ROOMCAST_BIN"], "serve"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        self.address = self._listening()
        self.url = f"http://{self.address}"
        self.websocket_url = f"ws://{self.address}/ws"

    def _read(self, stream):
        with stream:
            for line in stream:
                self.log.append(line.rstrip("\n"))

    def _listening(self):
        pattern = re.compile(r"roomcast listening on http://(\S+)")

        def found():
            if self.process.poll() is not None:
                raise AssertionError("the gateway ended at once:\n" + "\n".join(self.log))
            return next(filter(None, map(pattern.fullmatch, list(self.log))), None)

        try:
            return until("the gateway listens", found).group(1)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise

    def call(self, method, path, body=None, token=None):
        """Calls the HTTP API, with this token or with the back end's; an empty one is left out."""
        token = tokens.backend() if token is None else token
        request = urllib.request.Request(self.url + path, method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        # Nobody's proxy stands between here and here.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=DEADLINE) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def publish(self, event_type, payload, *rooms):
        """Publishes an event, and gives the answer."""
        answer = self.call("POST", "/api/v1/events", {"type": event_type, "payload": payload, "rooms": list(rooms)})
        assert answer.status == 200, answer.body
        return answer.json

    def stats(self):
        return self.call("GET", "/api/v1/ws/stats").json["data"]["stats"]

    def logged(self, *texts):
        """Waits for a line of the log that has all of this."""

        def found():
            return next((line for line in list(self.log) if all(text in line for text in texts)), None)

        return until(f"the log has {texts}", found)

    def terminate(self):
        """Asks it to end."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """Waits until it ended, well, and without having logged a secret."""
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        for reader in self._readers:
            reader.join(DEADLINE)
        assert code == 0, f"ended with {code}:\n" + "\n".join(self.log[-50:])
        told = [line for line in self.log if any(secret in line for secret in [tokens.SECRET, *tokens.signed])]
        assert not told, f"a token or the secret is logged: {told}"

    def stop(self):
        """Stops it as an operator does."""
        if self.process.poll() is None:
            self.terminate()
            self.wait()

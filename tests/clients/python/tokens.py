"""Tokens of the tests: HS256 by hand, so that what a gateway accepts is not judged by the library that it uses itself.

Owns the secret, and remembers every token that it signed: a gateway's log is searched for them when it stops.
"""

import base64
import hashlib
import hmac
import json
import time

SECRET = "a secret for tests alone, 32 bytes and more"

# Every token that was signed in this process.
signed = []


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims, secret=SECRET, header=None, digest=hashlib.sha256):
    """A token with exactly these claims."""
    parts = [header or {"alg": "HS256", "typ": "JWT"}, claims]
    content = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    token = f"{content}.{base64url(hmac.new(secret.encode(), content.encode(), digest).digest())}"
    signed.append(token)
    return token


def claims(user, **more):
    """The claims of a good token of the user for ten minutes."""
    now = int(time.time())
    return {"sub": user, "email": f"{user}@example.com", "iat": now, "exp": now + 600} | more


def token(user, **more):
    return sign(claims(user, **more))


def backend():
    """A token of a back end: it may publish everywhere and read the statistics."""
    return token("backend", grants={"*": ["publish", "admin"]})

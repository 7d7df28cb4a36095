#!/usr/bin/env python3
"""publish.py http|xadd NAMESPACE KEY...: tells coherd that keys are no longer true, and prints an id.

http  through an instance (COHERD_URL, COHERD_TOKEN): logged when it answers.
xadd  into the inbox in Valkey (BACKEND_HOST, BACKEND_PORT, BACKEND_PASSWORD): taken from there by an instance.

Only the standard library.
"""

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid


def publish_http(url, event, token=None, attempts=5):
    """Says it until an instance has logged it; the id of the event."""
    # With a request_id it is logged once, however often it is said.
    event = {"request_id": str(uuid.uuid4()), **event}
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{url}/v1/invalidate", json.dumps(event).encode(), headers)
    for attempt in range(1, attempts + 1):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)["id"]
        except urllib.error.HTTPError as refusal:
            if refusal.code != 503 or attempt == attempts:
                raise SystemExit(f"refused: {refusal.code} {refusal.read().decode()}")
            pause = float(refusal.headers.get("Retry-After", 1))
        except OSError as error:
            if attempt == attempts:
                raise SystemExit(f"no instance at {url}: {error}")
            pause = 0.1 * 2**attempt
        time.sleep(pause)


def publish_xadd(host, port, event, password=None, cluster="main"):
    """Puts it into the inbox; the id of the inbox entry."""
    command = ["XADD", f"coherd:{{{cluster}}}:inbox", "*", "event", json.dumps(event)]
    with socket.create_connection((host, port), timeout=10) as connection:
        stream = connection.makefile("rwb")
        if password:
            call(stream, ["AUTH", password])
        return call(stream, command)


def call(stream, words):
    """One command in RESP, and its answer: a status or a bulk string."""
    stream.write(b"*%d\r\n" % len(words))
    for word in words:
        data = word.encode()
        stream.write(b"$%d\r\n%s\r\n" % (len(data), data))
    stream.flush()
    line = stream.readline()
    if line.startswith(b"$"):
        return stream.read(int(line[1:]) + 2)[:-2].decode()
    if line.startswith(b"+"):
        return line[1:].strip().decode()
    raise SystemExit(f"refused: {line.decode().strip() or 'the connection was closed'}")


def main(way, namespace, *keys):
    event = {"namespace": namespace, "keys": keys, "source": "publish.py"}
    env = os.environ.get
    if way == "http":
        return publish_http(env("COHERD_URL", "http://127.0.0.1:8080"), event, env("COHERD_TOKEN"))
    host, port = env("BACKEND_HOST", "127.0.0.1"), int(env("BACKEND_PORT", "6379"))
    return publish_xadd(host, port, event, env("BACKEND_PASSWORD"))


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in ("http", "xadd"):
        raise SystemExit(__doc__)
    print(main(*sys.argv[1:]))

"""A service that obeys the fence of coherd's writes: fenced.py [PORT]. Prints its address; keeps its values in memory."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

values = {}
lock = threading.Lock()


class Users(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def change(self, body):  # None: removed
        seq = int(self.headers["Coherd-Write-Seq"])
        with lock:  # in a database: one transaction
            if seq < values.get(self.path, (0, None))[0]:
                return self.answer(412)  # an older write that comes late, or again
            values[self.path] = (seq, body)  # what is removed keeps its number
        self.answer(204)

    def do_PUT(self):
        self.change(self.rfile.read(int(self.headers["Content-Length"])))

    def do_DELETE(self):
        self.change(None)

    def do_GET(self):
        body = values.get(self.path, (0, None))[1]
        self.answer(404) if body is None else self.answer(200, body)

    def answer(self, status, body=b""):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8000), Users)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()

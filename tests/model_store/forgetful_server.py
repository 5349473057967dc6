"""An S3 server of old: passes everything on to a real one, except the condition of a write.

forgetful_server.py URL   prints its own port
"""

from __future__ import annotations

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BEHIND = urlsplit(sys.argv[1]).netloc


class Forgetful(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        kept = {k: v for k, v in self.headers.items() if k.lower() not in ("if-none-match", "host")}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        behind = http.client.HTTPConnection(BEHIND)
        behind.request(self.command, self.path, body, kept | {"Host": BEHIND})
        reply = behind.getresponse()
        data = reply.read()
        self.send_response(reply.status)
        for key, value in reply.getheaders():
            if key.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        behind.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = pass_on  # noqa: N815

    def log_message(self, *words: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
sys.stdout.write(f"{server.server_port}\n")
sys.stdout.flush()
server.serve_forever()

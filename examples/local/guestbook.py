"""A guestbook: a web page for each number, with messages that anybody may add. Messages of one page are in one shard."""

import argparse
import html
import http.server
import json
import time
import urllib.parse

import pymysql

PAGES = 100
LONGEST = 10_000

TEMPLATE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Guestbook</title></head><body>
<h1>Guestbook, page {page}</h1>
<p><a href="/page/{before}">before</a> <a href="/page/{after}">after</a></p>
<ul>{messages}</ul>
<form method="post" action="/page/{page}">
<label>Message <input name="message" maxlength="{longest}" required></label> <button>Add</button>
</form></body></html>"""


class Guestbook:
    def __init__(self, host, port, keyspace):
        self.host, self.port, self.keyspace = host, port, keyspace

    def run(self, sql, values):
        with pymysql.connect(host=self.host, port=self.port, user="guestbook", database=self.keyspace, autocommit=True,
                             charset="utf8mb4") as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def messages(self, page):
        return [row[0] for row in self.run("SELECT message FROM messages WHERE page = %s ORDER BY time_created_ns", (page,))]

    def add(self, page, message):
        self.run("INSERT INTO messages (page, time_created_ns, message) VALUES (%s, %s, %s)", (page, time.time_ns(), message))


class Handler(http.server.BaseHTTPRequestHandler):
    book = None

    def answer(self, status, text, kind="text/html", headers=()):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def page(self):
        """The number that the path names; None when it names none. "/" is page 0."""
        parts = urllib.parse.urlsplit(self.path).path.strip("/").split("/")
        if parts == [""]:
            return 0
        if len(parts) == 2 and parts[0] in ("page", "messages") and parts[1].isdigit() and int(parts[1]) < PAGES:
            return int(parts[1])
        return None

    def guarded(self, work):
        page = self.page()
        if page is None:
            self.answer(404, f"pages are /page/0 to /page/{PAGES - 1}", "text/plain")
            return
        try:
            work(page)
        except pymysql.MySQLError as error:
            self.answer(503, f"the database says: {error}", "text/plain")

    def do_GET(self):
        def show(page):
            messages = self.book.messages(page)
            if self.path.startswith("/messages/"):
                self.answer(200, json.dumps(messages), "application/json")
                return
            shown = "".join(f"<li>{html.escape(message)}</li>" for message in messages)
            self.answer(200, TEMPLATE.format(page=page, before=(page - 1) % PAGES, after=(page + 1) % PAGES, messages=shown,
                                             longest=LONGEST))
        self.guarded(show)

    def do_POST(self):
        def add(page):
            size = int(self.headers.get("Content-Length") or 0)
            if size > 4 * LONGEST:
                self.answer(413, "too long", "text/plain")
                return
            fields = urllib.parse.parse_qs(self.rfile.read(size).decode("utf-8", "replace"))
            message = fields.get("message", [""])[0]
            if not message or len(message) > LONGEST:
                self.answer(400, f"a message has 1 to {LONGEST} characters", "text/plain")
                return
            self.book.add(page, message)
            self.answer(303, "", headers=[("Location", f"/page/{page}")])
        self.guarded(add)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="of vtgate")
    parser.add_argument("--port", type=int, default=15306, help="of vtgate")
    parser.add_argument("--keyspace", default="test_keyspace")
    parser.add_argument("--listen", type=int, default=8080)
    options = parser.parse_args()
    Handler.book = Guestbook(options.host, options.port, options.keyspace)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.listen), Handler)
    print(f"The guestbook is at http://localhost:{options.listen}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

"""The Kubernetes API over HTTPS, as far as a kubelet needs it."""

import http.client
import json
import ssl
import threading
import time


class ApiError(Exception):
    def __init__(self, status, text):
        super().__init__(f"status {status}: {text}")
        self.status = status


class Api:
    """One server, one token. Threads have connections of their own."""

    def __init__(self, host, port, token, certificate):
        self.host, self.port, self.token = host, port, token
        self.tls = ssl.create_default_context(cafile=certificate)
        self.tls.check_hostname = False
        self.local = threading.local()

    def connect(self, timeout):
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)

    def call(self, method, path, body=None, content_type="application/json"):
        """The answer's object. ApiError when the server refuses; OSError when it cannot be reached."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body)
        for attempt in (1, 2):
            fresh = getattr(self.local, "connection", None) is None
            if fresh:
                self.local.connection = self.connect(30)
            try:
                self.local.connection.request(method, path, data, headers)
                answer = self.local.connection.getresponse()
                text = answer.read()
                break
            except (OSError, http.client.HTTPException) as error:
                self.local.connection.close()
                self.local.connection = None
                if attempt == 2 or fresh:  # An idle connection may have been closed: once more with a new one.
                    raise OSError(str(error)) from error
        if answer.status >= 300:
            raise ApiError(answer.status, text.decode(errors="replace")[:2000])
        return json.loads(text) if text else {}

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body):
        return self.call("POST", path, body)

    def delete(self, path, body=None):
        return self.call("DELETE", path, body)

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def watch(self, path, on_object, on_gone, stopped):
        """Calls on_object for every object at `path`, now and when it changes, and on_gone when it goes away. Until `stopped`."""
        while not stopped():
            try:
                self.watch_once(path, on_object, on_gone, stopped)
            except (OSError, http.client.HTTPException, ApiError, ValueError):
                time.sleep(0.2)

    def watch_once(self, path, on_object, on_gone, stopped):
        listing = self.get(path)
        known = {}
        for item in listing["items"]:
            known[item["metadata"]["uid"]] = item
            on_object(item)
        on_gone(None, set(known))
        connection = self.connect(330)
        try:
            joint = "&" if "?" in path else "?"
            connection.request("GET", f"{path}{joint}watch=1&timeoutSeconds=300&resourceVersion={listing['metadata']['resourceVersion']}",
                               headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise ApiError(answer.status, answer.read().decode(errors="replace"))
            while not stopped():
                line = answer.readline()
                if not line:
                    return
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    on_gone(event["object"], None)
                elif event["type"] in ("ADDED", "MODIFIED"):
                    on_object(event["object"])
        finally:
            connection.close()

#!/usr/bin/env python3
"""Fetches what end-to-end tests need of npm's registry: they run in networks of their own, from where it is not reached.

What cannot be had is said here, and again by the tests, which leave out what needs it.
"""

import backup_s3
import web

if __name__ == "__main__":
    for what, why_not in (("the tests of the web pages", web.why_not), ("the tests with an S3 server", backup_s3.why_not)):
        print(f"{what}: {why_not() or 'everything is there'}", flush=True)

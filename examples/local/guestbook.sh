#!/usr/bin/env bash
# The guestbook as web pages, until Ctrl-C.
source "$(dirname "$0")/env.sh"
exec "$here/python.sh" "$here/guestbook.py" --port "$vtgate_mysql" --keyspace "$KEYSPACE" --listen "$guestbook_port" "$@"

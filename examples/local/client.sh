#!/usr/bin/env bash
# Adds messages to the guestbook through vtgate and reads them from the master and from a replica.
source "$(dirname "$0")/env.sh"
exec "$here/python.sh" "$here/client.py" --port "$vtgate_mysql" --keyspace "$KEYSPACE" "$@"

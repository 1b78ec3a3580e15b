#!/usr/bin/env bash
# Runs a Python program with an interpreter that has a MySQL driver.
for python in "${PYTHON:-python3}" /usr/bin/python3; do
  if "$python" -c 'import pymysql' 2>/dev/null; then exec "$python" "$@"; fi
done
echo "no python3 here has pymysql (Debian: apt-get install python3-pymysql)" >&2
exit 1

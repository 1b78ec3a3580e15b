#!/usr/bin/env bash
# Stops etcd; its data stays.
source "$(dirname "$0")/env.sh"
echo "Stopping etcd..."
stop etcd

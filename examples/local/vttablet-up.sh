#!/usr/bin/env bash
# The tablets of a shard. Variables: SHARD (0) and UID_BASE (100), the uid of the first.
source "$(dirname "$0")/env.sh"
tablets_up "${SHARD:-0}" "${UID_BASE:-100}"

#!/usr/bin/env bash
# Stops the tablets of a shard; their data stays. Variable: UID_BASE (100), the uid of the first.
source "$(dirname "$0")/env.sh"
tablets_down "${UID_BASE:-100}"

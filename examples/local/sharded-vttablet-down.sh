#!/usr/bin/env bash
# Stops the tablets of the shards -80 and 80-; their data stays.
source "$(dirname "$0")/env.sh"
tablets_down 200
tablets_down 300

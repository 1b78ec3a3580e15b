#!/usr/bin/env bash
# The tablets of the shards -80 and 80-.
source "$(dirname "$0")/env.sh"
tablets_up -80 200
tablets_up 80- 300

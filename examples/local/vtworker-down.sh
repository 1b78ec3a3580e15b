#!/usr/bin/env bash
source "$(dirname "$0")/env.sh"
echo "Stopping vtworker..."
stop vtworker

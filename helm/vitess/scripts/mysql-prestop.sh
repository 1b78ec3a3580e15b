# The server stays until the tablet has moved the role of a primary elsewhere and has ended: it holds this lock while it runs.
. /vt/scripts/common.sh
flock "$VTDATAROOT/vttablet.lock" true

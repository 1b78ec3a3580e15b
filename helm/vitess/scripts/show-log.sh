# Shows a log of the server as this container's own.
. /vt/scripts/common.sh
. /vt/scripts/tablet.sh
trap 'exit 0' TERM INT
tail --lines=0 --follow=name --retry "$FOLDER/$1" 2>/dev/null &
wait $!

# Puts the server's text logs aside when they are too large: one older part of each is kept. The server appends, so it goes on in the emptied file.
. /vt/scripts/common.sh
. /vt/scripts/tablet.sh
trap 'exit 0' TERM INT

while :; do
  for log in error.log slow-query.log general.log; do
    file=$FOLDER/$log
    if [ -f "$file" ] && (($(stat -c %s "$file") > LOG_MAX_MIB * 1048576)); then
      cp "$file" "$file.1"
      : >"$file"
      say "$log was larger than $LOG_MAX_MIB MiB"
    fi
  done
  sleep 30 &
  wait $! || true
done

# Is the server there? Its port is, as soon as it answers.
. /vt/scripts/common.sh
address=$BIND_ADDRESS
[ "$address" = 0.0.0.0 ] && address=127.0.0.1
[ "$address" = "::" ] && address=::1
exec 3<>"/dev/tcp/$address/3306"
IFS= read -r -t 5 -n 5 greeting <&3 || true
[ -n "$greeting" ]

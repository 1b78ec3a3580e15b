# The file of vtgate's users.
. /vt/scripts/common.sh
quoted() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/\\t}
  printf '"%s"' "${text//$'\r'/\\r}"
}
umask 077
printf '{%s: [{"Password": %s}]}\n' "$(quoted "$MYSQL_USER")" "$(quoted "$MYSQL_PASSWORD")" >/vt/users/users.json

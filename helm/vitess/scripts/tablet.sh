# Who this tablet is: UID, ALIAS and the FOLDER of its server. Sourced after common.sh.
TABLET_UID=$(uid_of "$CELL" "$POD_NAME")
ALIAS=$(alias_of "$CELL" "$POD_NAME")
FOLDER=$VTDATAROOT/vt_$(printf '%010d' "$TABLET_UID")

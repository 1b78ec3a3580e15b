#pragma once

#include <string>

#include "base/result.h"
#include "mysql/binlog_reader.h"

namespace vitrail::mysql {

// Appends the text of a JSON value that MySQL logged as differences (binlog_row_value_options=PARTIAL_JSON): `before`
// is the binary JSON of the row before the change, `changes` what the log has of the column behind it, one behind the
// other: an operation (replace, insert, remove), a path, and a binary value. The text is as append_binary_json() spells
// it.
//   kDataLoss : malformed bytes, or a change that does not fit the value.
//   Bounds    : time and memory linear in both values, but for arrays from whose middle is taken.
// Source: MySQL source documentation, "Partial update of JSON values", and what a MySQL 9.7 server writes.
Status append_changed_json(BinlogBytes before, BinlogBytes changes, std::string& out);

}  // namespace vitrail::mysql

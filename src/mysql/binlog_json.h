#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "mysql/binlog_reader.h"

namespace vitrail::mysql {

// Appends the text of MySQL's binary JSON to `out`, spelled as that server prints JSON: ", " and ": " between members,
// members in stored order. An empty value is null.
//   kDataLoss : malformed bytes, nesting above the server's limit of 100.
//   Bounds    : text of at most 16 times the bytes plus 64; parts that overlap cannot multiply it.
// Source: MySQL source documentation, json_binary.h (the storage format is described there).
Status append_binary_json(BinlogBytes bytes, std::string& out);

// One value of a type byte and what follows it elsewhere: neither object nor array. False for malformed bytes.
bool append_binary_json_scalar(uint8_t type, BinlogBytes bytes, std::string& out);
void append_json_string(std::string_view text, std::string& out);

}  // namespace vitrail::mysql

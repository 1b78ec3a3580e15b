#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mysql/types.h"

namespace vitrail::gate {

// What a text in a user variable is beside its bytes, where that is not what the session's connection makes of a
// literal.
struct TextOrigin {
  std::string collation;   // "": the connection's.
  std::string written_in;  // The character set of the bytes; "": the client's.
  bool empty() const { return collation.empty() && written_in.empty(); }
  bool operator==(const TextOrigin&) const = default;
};

enum class VariablePlace : uint8_t {
  kStatement,  // An expression of a statement. utf8mb3, a part of utf8mb4 in which servers name things, is left to be a
               // literal: names of databases in it are looked for.
  kRow,        // A value that may decide about a shard: a literal, whatever its collation is.
  kVariable,   // What a variable of a server is set to: exactly as it is here.
};

// `charset`: the client's.
void append_text_variable(std::string& out, const mysql::Value& value, const TextOrigin& origin, VariablePlace place,
                          std::string_view charset);

// What CHARSET(), COLLATION() and COERCIBILITY() say of a variable with this value, as SQL; "": what a server says of
// the value itself.
std::string told_of_variable(std::string_view function, const mysql::Value& value, const TextOrigin& origin);

}  // namespace vitrail::gate

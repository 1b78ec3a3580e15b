#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace google::protobuf {
class Message;
}

// Records as JSON, in the form of Vitess's tools: field names as in the .proto files, 64-bit integers as strings, enum
// values by name, bytes in base64, map keys sorted.
namespace vitrail::vschema {

// How a keyspace's record keeps what its JSON text had and no message has: bytes in a field of this number, unknown to
// everybody else, with a JSON object: place as RFC 6901 writes it ("/tables/t/column_vindexes/0/type") -> value.
inline constexpr int kKeptFieldNumber = 30001;

// Fills `out` from `text` (at most 16 MiB). Field names in snake_case or camelCase.
//
// Fields that the message does not have go to `unknown_fields` as "tables.customer.colum_vindexes"; without that list
// they are an error. Those of a keyspace's vschema (when `out` is one) are kept in the record, and to_json() shows them
// in their places; others are dropped. kInvalidArgument says where the fault is; `out` is then unspecified.
Status parse_json(std::string_view text, google::protobuf::Message& out, std::vector<std::string>* unknown_fields);

// Whether a keyspace's record has such fields with it.
bool has_kept_fields(const google::protobuf::Message& keyspace);

struct JsonStyle {
  bool unpopulated = true;  // Also fields that are not set: "", 0, false, [], {}, null for messages.
  // As Vitess's client prints messages in lists and maps, which is how Go's own encoder sees them: enum values and
  // 64-bit integers as plain numbers, and <, > and & escaped. Goes with `unpopulated` = false.
  bool plain = false;
  int indent = 2;  // Negative: on one line.
};
std::string to_json(const google::protobuf::Message& message, JsonStyle style = {});

// JSON text with <, > and & in strings as \u003c ..., and U+FFFD too: the escapes of `plain`.
std::string escape_markup(std::string_view json);

}  // namespace vitrail::vschema

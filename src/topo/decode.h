#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace google::protobuf {
class Message;
}

// Stored records for people: by the path's last part, which says what a record is.
namespace vitrail::topo {

inline constexpr size_t kMaxDecodedBytes = 64 << 20;

// The message type of a path, empty; null when the path's name is not that of a known record.
std::unique_ptr<google::protobuf::Message> message_for_path(std::string_view path);

// Decodes. kInvalidArgument: not a known kind of path; kDataLoss: the bytes are not such a record.
Result<std::unique_ptr<google::protobuf::Message>> decode_record(std::string_view path, std::string_view data);

// One line: fields in declaration order, `field:{...}` and `field:value`, single spaces, strings in double quotes,
// bytes escaped (`\x80`), enum names bare, map entries sorted by key; absent and default fields are left out. The
// denied tables of a Shard are called `denylisted_tables`.
std::string to_prototext(const google::protobuf::Message& message);

struct JsonOptions {
  bool proto_names = true;      // snake_case instead of lowerCamelCase.
  bool print_defaults = false;  // Absent fields too: null, 0, "", [].
  bool pretty = false;
};
Result<std::string> to_json(const google::protobuf::Message& message, JsonOptions options = {});

// The two in one. Unknown paths: prototext gives the bytes as they are.
Result<std::string> decode_to_prototext(std::string_view path, std::string_view data);
Result<std::string> decode_to_json(std::string_view path, std::string_view data, JsonOptions options = {});

}  // namespace vitrail::topo

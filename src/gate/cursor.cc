#include "gate/cursor.h"

#include "mysql/messages.h"

namespace vitrail::gate {

Result<CursorParts> split_result(std::string_view response, mysql::Capabilities capabilities) {
  const CursorParts none;
  mysql::MessageReader messages(size_t{1} << 30);
  size_t at = 0;
  mysql::MessageReader::Message message;
  const auto next = [&]() -> Result<bool> {
    ASSIGN_OR_RETURN(auto read, messages.next(response.substr(at)));
    if (!read) return false;
    message = *read;
    at += message.consumed;
    return true;
  };
  ASSIGN_OR_RETURN(bool more, next());
  if (!more || message.payload.empty() || mysql::is_ok(message.payload) || mysql::is_err(message.payload)) return none;
  ASSIGN_OR_RETURN(const uint64_t columns, mysql::decode_column_count(message.payload));
  CursorParts parts;
  for (uint64_t i = 0; i < columns; ++i) {
    ASSIGN_OR_RETURN(more, next());
    if (!more) return fail(Code::kInternal, "a result set ends within its columns");
  }
  parts.columns_end = at;
  parts.columns_end_sequence = static_cast<uint8_t>(message.last_sequence + 1);
  if ((capabilities & mysql::kClientDeprecateEof) == 0) {
    ASSIGN_OR_RETURN(more, next());
    if (!more) return fail(Code::kInternal, "a result set ends behind its columns");
  }
  parts.rows_begin = at;
  for (;;) {
    ASSIGN_OR_RETURN(more, next());
    if (!more) return fail(Code::kInternal, "a result set without an end");
    if (mysql::is_err(message.payload)) return none;
    if (message.payload.empty() ||
        !mysql::is_result_end(static_cast<uint8_t>(message.payload[0]), message.payload.size(), capabilities)) {
      continue;
    }
    return at == response.size() ? parts : none;
  }
}

}  // namespace vitrail::gate

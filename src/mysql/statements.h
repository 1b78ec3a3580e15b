#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/types.h"

// Commands from client to server that carry statements: COM_QUERY, COM_STMT_PREPARE, COM_STMT_EXECUTE and their kin.
// Payloads include the command byte. Malformed input gives kInvalidArgument with errno 2027 or 1835.
// Source: MySQL 8 internals documentation, "COM_QUERY", "COM_STMT_PREPARE", "COM_STMT_EXECUTE", "Query Attributes".
namespace vitrail::mysql {

struct QueryAttribute {
  std::string name;
  Value value;
  bool operator==(const QueryAttribute&) const = default;
};

// Bound on parameters and attributes of one statement (the protocol counts placeholders in 16 bits).
inline constexpr size_t kMaxParameters = 65535;

struct QueryCommand {
  std::string_view text;  // Into the payload.
  std::vector<QueryAttribute> attributes;
};
// Attributes are written only if `capabilities` has CLIENT_QUERY_ATTRIBUTES, and dropped silently otherwise: this is
// how a relay strips them (decode with the one side's capabilities, encode with the other's).
void encode_query(std::string& out, std::string_view text, std::span<const QueryAttribute> attributes,
                  Capabilities capabilities);
Result<QueryCommand> decode_query(std::string_view payload, Capabilities capabilities);

// COM_STMT_PREPARE, answer and follow-ups.
void encode_stmt_prepare(std::string& out, std::string_view text);
struct PrepareOk {
  uint32_t statement_id = 0;
  uint16_t columns = 0;
  uint16_t parameters = 0;
  uint16_t warnings = 0;
  bool operator==(const PrepareOk&) const = default;
};
void encode_prepare_ok(std::string& out, const PrepareOk& ok);
Result<PrepareOk> decode_prepare_ok(std::string_view payload);
// Offset of the u32 statement id in the payloads of COM_STMT_PREPARE's answer and of COM_STMT_EXECUTE, SEND_LONG_DATA,
// CLOSE, RESET and FETCH: a relay may overwrite it in place.
inline constexpr size_t kStatementIdOffset = 1;
// COM_STMT_CLOSE, COM_STMT_RESET.
void encode_stmt_command(std::string& out, Command command, uint32_t statement_id);
Result<uint32_t> decode_stmt_command(std::string_view payload);
struct StmtFetch {
  uint32_t statement_id = 0;
  uint32_t rows = 0;
};
Result<StmtFetch> decode_stmt_fetch(std::string_view payload);

struct StmtLongData {
  uint32_t statement_id = 0;
  uint16_t parameter = 0;
  std::string_view data;  // Into the payload.
};
void encode_stmt_long_data(std::string& out, const StmtLongData& data);
Result<StmtLongData> decode_stmt_long_data(std::string_view payload);

// What the server side remembers of one prepared statement between commands.
struct StatementMemory {
  struct Type {
    FieldType type = FieldType::kNull;
    bool is_unsigned = false;
    std::string name;  // With CLIENT_QUERY_ATTRIBUTES: of attributes; placeholders usually have none.
  };
  std::vector<Type> types;                            // Of the last execute that sent types, attributes included.
  std::vector<std::optional<std::string>> long_data;  // By parameter; joined pieces of COM_STMT_SEND_LONG_DATA.

  size_t long_data_bytes = 0;            // Of all parameters.
  std::optional<Error> long_data_error;  // The command has no answer: the next execute gives it.

  // Takes one piece for one of `parameters`; `room`: whether its bytes may be kept. After an error nothing is kept, and
  // each execute fails with it until clear_long_data().
  //   kInvalidArgument (errno 1210)  the statement has no such parameter.
  //   The error of `room`.
  Status add_long_data(const StmtLongData& data, size_t parameters, Status room);
  // COM_STMT_RESET, and after each execute.
  void clear_long_data();
};

// One bound parameter, not decoded.
struct Parameter {
  FieldType type = FieldType::kNull;
  bool is_unsigned = false;
  bool is_null = true;
  bool is_long_data = false;  // `raw` is the joined long data without length prefix.
  std::string_view raw;       // Binary-protocol bytes (length prefix included), into the payload or the memory.
};

struct StmtExecute {
  uint32_t statement_id = 0;
  uint8_t cursor_flags = 0;  // kCursor..., without kParameterCountAvailable.
  uint32_t iterations = 1;
  std::vector<Parameter> parameters;
  std::vector<QueryAttribute> attributes;
};

// `parameters`: placeholders of the statement. Updates memory.types; does not clear the long data (the views in the
// result point to it): call clear_long_data() when the execute has been sent on.
//   The memory's long_data_error, when there is one.
Result<StmtExecute> decode_stmt_execute(std::string_view payload, Capabilities capabilities, size_t parameters,
                                        StatementMemory& memory);
// The same into `out`, whose room is used again.
Status decode_stmt_execute_into(StmtExecute& out, std::string_view payload, Capabilities capabilities,
                                size_t parameters, StatementMemory& memory);
// Only the statement id, for finding the statement before the rest can be decoded.
Result<uint32_t> decode_statement_id(std::string_view payload);
// Always sends types, so that executes of several clients can share one backend statement; long data goes inline.
void encode_stmt_execute(std::string& out, const StmtExecute& execute, Capabilities capabilities);
// The same for another statement id and with other attributes than `execute` has.
void encode_stmt_execute(std::string& out, const StmtExecute& execute, uint32_t statement_id,
                         std::span<const QueryAttribute> attributes, Capabilities capabilities);
// The parameter's value in text form.
Result<Value> parameter_value(const Parameter& parameter);
// Encodes an execute from owned values.
void encode_stmt_execute_values(std::string& out, uint32_t statement_id, std::span<const Value> values,
                                std::span<const QueryAttribute> attributes, Capabilities capabilities);

}  // namespace vitrail::mysql

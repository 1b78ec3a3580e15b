#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/protocol.h"

// What vtgate tells vttablet about a statement, in query attributes of the data port (docs/formats/data_port.md). Both
// sides read this file, so that neither knows more than the other.
namespace vitrail::mysql {

// Asks for a transaction around and after the statement: BEGIN and the statement are admitted as one, so that the
// statement can never run without its transaction. Value: TransactionOptions::to_text(). Ignored inside a transaction.
inline constexpr std::string_view kBeginAttribute = "vitrail_begin";
// Beside kBeginAttribute: the transaction is open on another shard already, so that holding it back here would only
// keep that one waiting.
inline constexpr std::string_view kJoinsAttribute = "vitrail_joins";
// What SET TRANSACTION said for this one statement, outside of a transaction. Value as kBeginAttribute's.
inline constexpr std::string_view kOnceAttribute = "vitrail_once";
// Sets a savepoint of this name in front of the statement; several, in their order. Inside a transaction (or beside
// kBeginAttribute) only.
inline constexpr std::string_view kSavepointAttribute = "vitrail_savepoint";

// LAST_INSERT_ID() of the client's session, for code that may ask for it. Value: the number.
inline constexpr std::string_view kInsertIdAttribute = "vitrail_insert_id";
// Plants a warning whose text has kWarningMark in it: SHOW WARNINGS behind code tells by it whether the code has left
// the warnings of statements before it.
inline constexpr std::string_view kMarkAttribute = "vitrail_mark";
inline constexpr std::string_view kWarningMark = "vitrail-mark";

// Beside kBeginAttribute: the transaction may have to be prepared (docs/formats/twopc.md), so that its changes are
// remembered.
inline constexpr std::string_view kAtomicAttribute = "vitrail_atomic";
// Of the statements "vitrail twopc ..." (docs/formats/twopc.md): they come from a vtgate, not from its client.
inline constexpr std::string_view kTwoPcAttribute = "vitrail_twopc";
inline constexpr std::string_view kTwoPcText = "vitrail twopc ";

// The session's workload is OLAP or DBA: the tablet's --queryserver-config-query-timeout does not end the statement.
inline constexpr std::string_view kUnlimitedAttribute = "vitrail_unlimited";

// The statement belongs to a session in which vtgate finishes one of a client's: it makes temporary tables, fills them
// with rows that the client was allowed to read, and reads them. The table ACL has nothing to say about these.
inline constexpr std::string_view kScratchAttribute = "vitrail_scratch";
// What the names of these tables begin with.
inline constexpr std::string_view kScratchTables = "_vt_finish_";

// A capability of the tablet's greeting, and of the vtgate that knows it: the tablet wants to know for whom a statement
// runs. Its bit is CLIENT_REMEMBER_OPTIONS, which other clients keep to themselves.
inline constexpr Capabilities kVitrailCallers = 1ull << 31;
// Who sends the statement, and that user's groups with commas between them. vtgate adds them where the tablet's
// greeting has kVitrailCallers; without them it is the user of the login.
inline constexpr std::string_view kUserAttribute = "vitrail_user";
inline constexpr std::string_view kGroupsAttribute = "vitrail_groups";

// How a transaction begins.
struct TransactionOptions {
  enum class Isolation : uint8_t { kSession, kReadUncommitted, kReadCommitted, kRepeatableRead, kSerializable };
  enum class Access : uint8_t { kSession, kReadOnly, kReadWrite };
  Isolation isolation = Isolation::kSession;
  Access access = Access::kSession;
  bool consistent_snapshot = false;
  bool operator==(const TransactionOptions&) const = default;

  // "", "serializable,read only,snapshot": words in this order, those that are set.
  std::string to_text() const;
  // kInvalidArgument names an unknown word. Anything without a comma and a word of the list is refused but "" and "1".
  static Result<TransactionOptions> parse(std::string_view text);
  // The statements that begin it, in order: one or two.
  std::vector<std::string> statements() const;
  // "set transaction ...", for the statement that follows.
  std::string set_statement() const;
};

// "savepoint `a`".
std::string savepoint_statement(std::string_view name);

}  // namespace vitrail::mysql

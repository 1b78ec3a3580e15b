#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "movement/server_session.h"

// A statement of the source that changes the schema, carried out on the target once, whoever dies when.
//
// No server commits such a statement together with the stream's position. So what it is about to change is noted first
// (_vt.schema_change: the position, and what the named objects look like before); the note goes with the commit of the
// position. Whoever meets the statement again and finds the note compares: the objects look the same, so it has not
// been carried out; or they do not, and it was.
namespace vitrail::movement {

struct SchemaChange {
  int32_t stream = 0;
  std::string database;
  std::string position;  // Behind the statement.
  std::string statement;
};

// What a statement changes, as far as a note needs it.
struct ChangedObjects {
  struct Name {
    std::string database;  // Empty: the stream's.
    std::string table;
    bool operator==(const Name&) const = default;
  };
  std::vector<Name> tables;  // And views and sequences.
  bool others = false;       // Triggers, routines, events, or what is not understood: their names are compared.
  // Done twice it would undo itself, and afterwards everything looks as before: names that change places.
  bool is_exchange = false;
  // Each table of a DROP goes by itself: one that was interrupted has to be finished.
  bool is_drop = false;
};
ChangedObjects changed_objects(std::string_view statement);

// Whether rows of a table come or go with the statement, of which the log has no events: tables that are dropped,
// replaced or renamed, partitions that are dropped, emptied, exchanged or converted, tablespaces that change. Not
// TRUNCATE TABLE, which is carried out as a change of rows; nor temporary tables.
bool replaces_rows(std::string_view statement);

enum class ChangeOutcome : uint8_t {
  kDone,     // Now, or in an earlier life of the stream.
  kRefused,  // By the server; nothing was changed.
  kUnknown,  // Whether it was carried out before cannot be told, and it must not be carried out twice.
};
struct ChangeResult {
  ChangeOutcome outcome = ChangeOutcome::kDone;
  std::optional<Error> refusal;
};

// `session`: an applying one, outside of transactions. Errors: of the connection; then it is met again.
net::Task<Result<ChangeResult>> carry_out_once(ServerSession& session, SchemaChange change, net::Wait wait);
// The statement that takes the note away; it belongs to the transaction that commits the position.
std::string forget_change(int32_t stream);

}  // namespace vitrail::movement

#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "movement/server_session.h"

// Secondary keys that a copy goes without: rows come faster into a table that has none, and the server builds a key
// from sorted rows in one go afterwards.
//
// A row of _vt.post_copy_action, written before the keys are dropped, remembers them; it goes when they are there
// again. Adding looks at what is missing first, so that both may be repeated after any death. Several streams may fill
// one table: each has a row, and whoever is the last to end its copy adds the keys.
namespace vitrail::movement {

struct SecondaryKey {
  std::string name;
  std::string definition;  // "KEY `k` (`a`,`b`)"
  bool operator==(const SecondaryKey&) const = default;
};

// The keys of a SHOW CREATE TABLE that a copy can go without. Unique keys stay (they tell rows apart and refuse others'
// rows), and so do those of other kinds, and the one that an AUTO_INCREMENT column needs. None when the table has
// foreign keys, which need theirs.
std::vector<SecondaryKey> deferrable_keys(std::string_view create_table);

// The text of post_copy_action.action and back; no keys for a text of another form.
std::string keys_to_action(const std::string& table_name, const std::vector<SecondaryKey>& keys);
std::vector<SecondaryKey> keys_from_action(std::string_view action);

// A stream, as far as these functions are concerned.
struct KeyOwner {
  int32_t stream = 0;
  std::string workflow;
  std::string database;
};

// The tables of the database to which foreign keys refer, in lower case: they need their keys. The server opens every
// table to answer, so it is asked once for all.
net::Task<Result<std::set<std::string>>> referenced_tables(ServerSession& session, std::string database,
                                                           net::CancelToken cancel);
// Drops the table's keys if it is empty; for tables to which no foreign key refers. `session`: an applying one.
net::Task<Status> defer_keys(ServerSession& session, KeyOwner owner, std::string table, net::CancelToken cancel);
// Adds what is missing of the keys that were dropped, unless other streams of the workflow still copy the table.
// `at_once`: also then, and for those streams, too. Returns whether it added any.
net::Task<Result<bool>> restore_keys(ServerSession& session, KeyOwner owner, std::string table, bool at_once,
                                     net::CancelToken cancel);
// Of all tables of the stream, at once: a table that does not exist any more is passed over.
net::Task<Status> restore_all_keys(ServerSession& session, KeyOwner owner, net::CancelToken cancel);

}  // namespace vitrail::movement

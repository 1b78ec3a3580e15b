#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/cancel.h"
#include "net/sync.h"
#include "tablet/local_server.h"

namespace vitrail::tablet {

// What the columns of a database's tables look like: table -> text that changes when they do.
using SchemaState = std::map<std::string, std::string, std::less<>>;

// The tables that are in one state and not, or otherwise, in the other. Sorted.
std::vector<std::string> changed_tables(const SchemaState& before, const SchemaState& after);

// Knows the tables of the keyspace's database, and tells which have changed: at once behind a statement that this
// tablet ran (poke()), within a second behind others that the server counts as changes of tables, and every `interval`
// whatever happened.
//
//   Threads : the loop on which run() is awaited; poke() too.
//   Cost    : a look reads information_schema.columns of the database; the server's counters are read each second.
class SchemaWatch {
 public:
  using OnChange = std::function<void(std::vector<std::string> tables)>;

  // `server` outlives it.
  SchemaWatch(LocalServer& server, std::string database, base::Duration interval, OnChange on_change);

  // Until `cancel`. The first look only learns.
  net::Task<void> run(net::CancelToken cancel);
  void poke() {
    poked_ = true;
    woken_.notify_all();
  }

 private:
  net::Task<Status> look(net::Wait wait);
  // Whether the server has run statements that change tables since it was asked last.
  net::Task<bool> others_changed(net::CancelToken cancel);

  LocalServer& server_;
  const std::string database_;
  const base::Duration interval_;
  OnChange on_change_;
  SchemaState state_;
  std::string ddl_counts_;
  bool known_ = false;
  bool poked_ = false;
  net::Signal woken_;
};

}  // namespace vitrail::tablet

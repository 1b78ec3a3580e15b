#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "net/cancel.h"
#include "net/task.h"

namespace vitrail::tablet {

class LocalServer;
struct ServingState;

// What of a database leads from one table to another without a statement saying so. Names as the server has them.
struct SchemaLinks {
  struct View {
    std::string name;
    std::string definition;  // Its SELECT.
  };
  struct Trigger {
    std::string table;
    std::string body;
  };
  struct ForeignKey {
    std::string child;
    std::string parent;
    bool cascades = false;  // A change of the parent changes rows of the child.
  };
  std::vector<View> views;
  std::vector<Trigger> triggers;
  std::vector<ForeignKey> foreign_keys;
};

// The names by which the tables `denied` (lower case) are reached: `any` by reading or changing the view, `writes` by
// changing the table or view. Lower case, sorted, without `denied` itself. What runs code that is not seen (a trigger
// with CALL, a view with a stored function) may reach anything, and so is taken in.
struct Reach {
  std::vector<std::string> any;
  std::vector<std::string> writes;
};
Reach reach_of(const std::vector<std::string>& denied, const SchemaLinks& links);

// Reads the links of `database` and fills state.indirect and indirect_writes. Nothing to do without denied tables.
//   Errors of the server: then nobody knows what reaches them, and the state must not be put in force as a fence.
net::Task<Status> find_indirect_tables(LocalServer& server, std::string database, ServingState& state, net::Wait wait);

}  // namespace vitrail::tablet

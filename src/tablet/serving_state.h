#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shard/target.h"

namespace vitrail::tablet {

// What the query service may serve: an immutable snapshot. The tablet manager makes a new one whenever a record
// changes, and hands it to QueryService::apply.
struct ServingState {
  shard::Target target;
  bool serving = false;
  std::string reason = "the tablet has just started";  // Why it does not serve; shown to the client.
  // Not empty: rows may be read, not changed, and why: a primary whose shard has not begun to serve is written to by
  // streams alone.
  std::string no_writes;
  // Not the primary (any more), or not for a while: what is prepared here goes on where the shard's next primary is.
  bool hands_over = false;
  bool waits_for_acks = false;  // Commits wait for a replica's acknowledgement.
  // Tables that must not be touched here (S1-70, S1-72); names in lower case, sorted. `description` is the rule's:
  // "enforce denied tables", or "enforce blacklisted tables" where an older command set it.
  std::vector<std::string> denied_tables;
  bool denied_allow_reads = false;
  std::string denied_description = "enforce denied tables";

  // What reaches a denied table by another name: views over one (`indirect`), and tables whose change changes one by a
  // trigger or a foreign key (`indirect_writes`). Lower case, sorted. See indirect_tables.h.
  std::vector<std::string> indirect;
  std::vector<std::string> indirect_writes;

  bool operator==(const ServingState&) const = default;

  bool denies(std::string_view table) const { return contains(denied_tables, table); }
  // Whether reading (or changing) `table` touches a denied one.
  bool reaches(std::string_view table, bool write) const {
    return denies(table) || contains(indirect, table) || (write && contains(indirect_writes, table));
  }

 private:
  static bool contains(const std::vector<std::string>& sorted, std::string_view name) {
    return std::binary_search(sorted.begin(), sorted.end(), name, std::less<>());
  }
};

}  // namespace vitrail::tablet

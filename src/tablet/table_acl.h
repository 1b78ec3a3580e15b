#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "sql/parser.h"

namespace vitrail::tablet {

enum class AclRole : uint8_t { kReader, kWriter, kAdmin };

// What a statement asks of a table ACL: computed once for each statement, whoever sends it.
struct AclNeeds {
  struct Table {
    std::string name;  // Lower case, without a database.
    AclRole role = AclRole::kReader;
    friend bool operator==(const Table&, const Table&) = default;
  };
  std::vector<Table> tables;
  // "CREATE PROCEDURE" and the like: which tables it will use cannot be seen, so it is for exempt users only.
  std::string opaque;
};
// `ast`: null when the text could not be parsed. Statements without tables (SET, BEGIN ..) need nothing. Views, and
// routines by CALL, need what their own name needs: whoever made them had the rights.
AclNeeds acl_needs(const sql::Ast* ast);

// Who sends a statement. Any string may be a name: who it is was checked by vtgate.
struct Caller {
  std::string_view user;
  std::vector<std::string_view> groups;
};

// An immutable set of rules, read from a file as Vitess's:
//   {"table_groups": [{"name": "g", "table_names_or_prefixes": ["item", "log_%"],
//                      "readers": ["alice", "a_group"], "writers": [..], "admins": [..]}]}
// A table belongs to one group at most: names must not overlap. A name ends in '%' to stand for all names that begin
// so.
// "*" among the members is everybody.
class TableAcl {
 public:
  // kInvalidArgument lists everything that is wrong.
  static Result<TableAcl> parse(std::string_view json);

  // Whether somebody of the caller's names is in the list of `role` of the table's group. A table in no group is
  // nobody's.
  bool allows(const Caller& caller, std::string_view table, AclRole role) const;
  // Of the group that a table is in; "" for none.
  std::string_view group_of(std::string_view table) const;

 private:
  struct Group {
    std::string name;
    std::vector<std::string> members[3];  // By AclRole; sorted.
  };
  const Group* find(std::string_view table) const;
  std::map<std::string, size_t, std::less<>> names_;  // Lower case; prefixes keep their '%'.
  std::vector<Group> groups_;
};

struct TableAclSettings {
  std::string config;    // File; empty: no table ACL.
  bool enforce = false;  // Do not start without a file that can be used.
  bool strict = true;    // Refuse; otherwise only count.
  bool dry_run = false;  // Count what would be refused.
  std::string exempt;    // Members, separated by commas: they may do everything. A user or a group.
  base::Duration reload_interval{0};
};

// The rules that are in force now, and their counters. Any thread.
class TableAclKeeper {
 public:
  TableAclKeeper(TableAclSettings settings, base::Metrics& metrics);

  // At start. kInvalidArgument, kNotFound: the file cannot be used, and --enforce-tableacl-config is given; without it
  // nobody but exempt users gets in until it can.
  Status load();
  // Reads the file again; a file that cannot be used changes nothing, and the log says so.
  void reload();

  bool enabled() const { return !settings_.config.empty(); }
  const TableAclSettings& settings() const { return settings_; }
  // kPermissionDenied "Select command denied to user 'a', in groups [b], for table 't' (ACL check error)";
  // kUnauthenticated "missing caller id".
  Status check(const AclNeeds& needs, std::string_view command, const Caller& caller) const;

 private:
  Status denied(std::string_view command, std::string_view table, std::string_view group, const Caller& caller) const;

  const TableAclSettings settings_;
  std::vector<std::string> exempt_;
  std::atomic<std::shared_ptr<const TableAcl>> rules_;
  base::Counter& allowed_;
  base::Counter& denied_;
  base::Counter& pseudo_denied_;
};

}  // namespace vitrail::tablet

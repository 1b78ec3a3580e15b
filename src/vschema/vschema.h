#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "shard/keyspace_id.h"
#include "shard/lookup.h"
#include "shard/vindex.h"
#include "topodata.pb.h"
#include "vschema.pb.h"

namespace vitrail::vschema {

// One use of a vindex by a table.
struct ColumnVindex {
  std::string name;
  std::shared_ptr<const shard::Vindex> vindex;
  std::vector<std::string> columns;  // As written; compare without case. At least one, at most vindex->max_columns().
  bool is_owned = false;             // The table's changes maintain it (lookup vindexes).
};

// One use of a lookup vindex by a table.
struct LookupUse {
  std::shared_ptr<const shard::Lookup> lookup;
  std::vector<std::string> columns;  // As written; compare without case. One for each of lookup->from.
  bool is_owned = false;             // The table's changes maintain it.
  // Not empty: it is not asked, changes that would have to maintain it are refused, and why.
  std::string problem;
};

struct AutoIncrement {
  std::string column;
  // Where values come from: select next :n values from `sequence_table`. Rules are already applied.
  std::string sequence_keyspace;
  std::string sequence_table;
  // Not empty: the sequence cannot be found, and why. Reads are fine, an insert that needs a value fails with this
  // text.
  std::string problem;
};

enum class TableType : uint8_t {
  kNormal,
  kSequence,
  kReference,  // A copy on every shard of its keyspace.
};

// What the vschema says about a table. Immutable.
struct Table {
  std::string keyspace;
  std::string name;  // In that keyspace; the statement may have used another.
  TableType type = TableType::kNormal;
  bool sharded = false;  // Of the keyspace.
  bool listed = false;   // False: an unsharded keyspace's table that its vschema does not mention, assumed to exist.
  // The primary vindex first. Empty in unsharded keyspaces and for pinned, reference and sequence tables.
  std::vector<ColumnVindex> column_vindexes;
  std::vector<LookupUse> lookups;
  std::optional<shard::KeyspaceId> pinned;  // All rows have this keyspace id.
  std::optional<AutoIncrement> auto_increment;
  std::vector<::vschema::Column> columns;
  bool column_list_authoritative = false;  // `columns` are all columns, in order.
  // A reference table's original: its keyspace and name. Empty: none, or unknown.
  std::string source_keyspace;
  std::string source_table;

  // Null when there is none.
  const ColumnVindex* primary_vindex() const { return column_vindexes.empty() ? nullptr : &column_vindexes.front(); }
};

struct RoutedTable {
  std::shared_ptr<const Table> table;
  bool by_rule = false;  // A routing rule led here.
};

struct Keyspace {
  std::string name;
  bool sharded = false;
  bool require_explicit_routing = false;
  ::vschema::Keyspace::ForeignKeyMode foreign_key_mode = ::vschema::Keyspace::unspecified;
  std::map<std::string, std::shared_ptr<const shard::Vindex>, std::less<>> vindexes;
  std::map<std::string, std::shared_ptr<const Table>, std::less<>> tables;  // Also those with a problem.
  // Tables and vindexes whose definition is wrong, and why. Using such a table is an error with this text; the rest of
  // the keyspace works.
  std::map<std::string, std::string, std::less<>> table_problems;
  std::map<std::string, std::string, std::less<>> vindex_problems;
  std::map<std::string, std::shared_ptr<const shard::Lookup>, std::less<>> lookup_vindexes;
};

// The columns of the tables as the servers have them, in order: by keyspace, then table. They stand in where the
// vschema has no authoritative list.
using TrackedTables = std::map<std::string, std::vector<::vschema::Column>, std::less<>>;
using TrackedColumns = std::map<std::string, std::shared_ptr<const TrackedTables>, std::less<>>;

// Keyspaces that are served from another one, as they have it in one cell: "customer@replica" -> "commerce".
using ServedFrom = std::map<std::string, std::string, std::less<>>;

// Everything a router needs to know about tables: the vschemas of all keyspaces and the routing rules, as one immutable
// snapshot with a version.
//
//   Owns    : all it returns; tables are shared so that a plan may outlive the snapshot. Pointers and views live as
//   long
//             as the snapshot.
//   Threads : any number of concurrent readers.
//   Errors  : mistakes in a record never make the snapshot fail; they hit the statements that use what is wrong, and
//             problems() lists them.
class VSchema {
 public:
  // `version`: chosen by the caller, growing; part of the key of cached plans.
  // `served_from`: from the cell's SrvKeyspace records, see ServedFrom. `tracked`: null for none.
  static std::shared_ptr<const VSchema> build(const ::vschema::SrvVSchema& record, uint64_t version,
                                              ServedFrom served_from = {},
                                              std::shared_ptr<const TrackedColumns> tracked = nullptr);

  uint64_t version() const { return version_; }

  // Finds the table that a statement means when it says `table`, or `keyspace`.`table`. For a session with a default
  // keyspace, that is the keyspace of an unqualified name too.
  //
  //   1. A keyspace routing rule replaces the keyspace.
  //   2. A routing rule for the name as written replaces keyspace and table: first the one for this tablet type
  //      ("t@replica"), then the general one. Once only: the result is not looked up in the rules again.
  //   3. The keyspace's own tables; without a keyspace, the one keyspace that lists the name (a keyspace with
  //      require_explicit_routing does not count; a reference table gives way to its source).
  //      If the keyspace that was found is served from another one, the table of that name there is meant.
  //   4. In an unsharded keyspace, named or the only one there is, a table that is not listed is assumed to exist.
  //
  //   kNotFound            "table t1 not found"; "VT05003: unknown database 'x' in vschema" (MySQL errno 1049).
  //   kFailedPrecondition  "ambiguous table reference: t1"; the table's or rule's definition is wrong.
  Result<RoutedTable> find_table(std::string_view keyspace, std::string_view table, ::topodata::TabletType type) const;

  // The keyspace that a keyspace routing rule (for the tablet type, or general) puts in the place of this one; the same
  // without such a rule.
  std::string_view route_keyspace(std::string_view keyspace, ::topodata::TabletType type) const;

  // The keyspace from which this one is served for the tablet type; the same without such a redirect.
  std::string_view serving_keyspace(std::string_view keyspace, ::topodata::TabletType type) const;

  // The keyspace that serves this shard while a keyspace is moved shard by shard; the same without a rule.
  std::string_view route_shard(std::string_view keyspace, std::string_view shard) const;
  bool has_shard_rules() const { return !shard_rules_.empty(); }

  // Mirror rules: how many of a hundred reads of this table (as find_table() has it) are run again where the rule
  // leads; 0 without one.
  bool has_mirrors() const { return !mirrors_.empty(); }
  float mirror_percent(const Table& table, ::topodata::TabletType type) const;
  // The same snapshot as a read sees it that is run again: find_table() follows the mirror rules.
  std::shared_ptr<const VSchema> as_mirror() const;

  // Null when there is none.
  const Keyspace* find_keyspace(std::string_view name) const;
  const std::map<std::string, Keyspace, std::less<>>& keyspaces() const { return keyspaces_; }
  // The name of the only keyspace, or empty.
  std::string_view only_keyspace() const;

  // "keyspace.table: text", for operators. Sorted.
  std::vector<std::string> problems() const;

 private:
  struct StringHash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  template <typename T>
  using NameMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

  struct Rule {
    std::shared_ptr<const Table> table;  // Null: there is `error`.
    std::optional<Error> error;
  };

  struct Mirror {
    std::string keyspace;
    std::string table;
    float percent = 0;
  };

  VSchema() = default;
  void add_tracked_columns();
  void add_rules(const ::vschema::RoutingRules& rules);
  void index_names();
  void resolve_sequences();
  // The steps before the redirects of served keyspaces.
  Result<RoutedTable> find_ruled(std::string_view keyspace, std::string_view table, ::topodata::TabletType type) const;
  const Mirror* find_mirror(const Table& table, ::topodata::TabletType type) const;
  const Rule* find_rule(std::string_view qualified, ::topodata::TabletType type) const;
  Result<std::shared_ptr<const Table>> find_in_keyspace(std::string_view keyspace, std::string_view table) const;
  Result<std::shared_ptr<const Table>> find_anywhere(std::string_view table) const;
  Result<std::shared_ptr<const Table>> usable(const std::shared_ptr<const Table>& table) const;

  uint64_t version_ = 0;
  std::map<std::string, Keyspace, std::less<>> keyspaces_;
  NameMap<std::vector<std::shared_ptr<const Table>>> by_name_;  // Of keyspaces without require_explicit_routing.
  NameMap<Rule> rules_;                                         // By from_table.
  NameMap<std::string> keyspace_rules_;
  ServedFrom served_from_;
  std::shared_ptr<const TrackedColumns> tracked_;  // Never null.
  NameMap<std::string> shard_rules_;               // By "keyspace/shard".
  NameMap<Mirror> mirrors_;                        // By "keyspace.table@type".
  bool follows_mirrors_ = false;
};

// The record as the snapshot has it: with the tracked columns of tables without an authoritative list, and with the
// tables of unsharded keyspaces that no vschema lists.
::vschema::SrvVSchema with_tracked_columns(::vschema::SrvVSchema record, const TrackedColumns& tracked);

// Reads one keyspace's vschema; what is wrong goes to the keyspace's problems. Sequences stay unresolved ("seq" or
// "ks.seq" is split, no more). An unsharded keyspace's column vindexes and pins mean nothing and are not read.
Keyspace read_keyspace(std::string_view name, const ::vschema::Keyspace& record);

// The faults of a keyspace's vschema by itself, sorted: vindexes with unknown types or bad parameters; tables without
// or with a non-unique primary vindex, with unknown vindexes, with columns missing or too many; bad types, pins,
// sequences without a column. Empty: it may be saved. What refers to other keyspaces is checked by check_references().
std::vector<std::string> find_problems(std::string_view name, const ::vschema::Keyspace& record);

// What a keyspace's vschema asks for that is stored but not done: lookup vindexes that cannot be used, with the tables
// and statements that are refused because of them. Sorted.
std::vector<std::string> find_warnings(std::string_view name, const ::vschema::Keyspace& record);

// The faults that `keyspace` has in the context of all others: sequences and sources that cannot be found. Saving a
// vschema before the other keyspace's is legitimate, so these are warnings.
std::vector<std::string> check_references(const VSchema& vschema, std::string_view keyspace);

// Parameters that vindex types of this keyspace do not know, as "vindex.parameter". Sorted.
std::vector<std::string> unknown_vindex_parameters(std::string_view name, const ::vschema::Keyspace& record);

// "primary", "replica", "rdonly": as routing rules and targets spell it.
std::string_view tablet_type_word(::topodata::TabletType type);

}  // namespace vitrail::vschema

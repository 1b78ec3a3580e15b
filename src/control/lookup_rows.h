#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "mysql/types.h"
#include "shard/key_range.h"
#include "vschema/vschema.h"

// The rows of a table beside those of a lookup vindex's table: compared, and filled in.
namespace vitrail::control {

struct LookupShard {
  std::string name;
  shard::KeyRange range;
  ::topodata::Tablet primary;
  // Where an owner's rows are gone through. What it does not have yet is found by the next look, on the primary; what
  // it still has gets a lookup row that misleads nobody.
  std::optional<::topodata::Tablet> reader = {};  // Else the primary.
};

// A lookup vindex, its owner and its table, with everything that is needed to go through their rows.
struct LookupTables {
  std::shared_ptr<const vschema::Table> owner;
  size_t use = 0;  // Of owner->lookups.
  std::vector<LookupShard> owner_shards;
  std::vector<std::string> owner_key;  // The primary key's columns.
  std::string keyspace;                // Of the lookup's table.
  std::shared_ptr<const vschema::Table> table;
  std::vector<LookupShard> shards;
  std::vector<std::string> table_key;

  const shard::Lookup& lookup() const { return *owner->lookups[use].lookup; }
};

struct LookupReport {
  uint64_t rows = 0;                  // Of the owner that have a lookup row, or should.
  uint64_t missing = 0;               // Without their lookup row; of these:
  uint64_t written = 0;               // written now.
  uint64_t conflicts = 0;             // Of a unique value that another row has too, or with a NULL that is not allowed.
  uint64_t strays = 0;                // Lookup rows without a row.
  std::vector<std::string> examples;  // Of conflicts and rows that are missing.
};

// kNotFound: no such vindex, or its table. kFailedPrecondition: it cannot be used, has no owner, or a table has no
// primary key.
net::Task<Result<LookupTables>> load_lookup(TabletClient& tablets, std::string keyspace, std::string vindex);

// Goes through the owner's rows; with `write`, missing lookup rows are written. Rows may change meanwhile: a lookup row
// is never overwritten while there is a row for it.
net::Task<Result<LookupReport>> check_lookup(TabletClient& tablets, const LookupTables& tables, bool write);

// Counts lookup rows without a row. They mislead nobody, and are taken over by the next row with their value.
net::Task<Status> count_strays(TabletClient& tablets, const LookupTables& tables, LookupReport& report);

// Runs one statement on a primary. `max_rows`: more are an error.
net::Task<Result<::query::QueryResult>> fetch_as_dba(TabletClient& tablets, ::topodata::Tablet primary, std::string sql,
                                                     uint64_t max_rows, bool reload_schema = false);

// A cell of a result as a value.
std::vector<mysql::Value> values_of(const ::query::QueryResult& result, const ::query::Row& row);

// "(`a` > 1) or (`a` = 1 and `b` > 2)": what comes behind `last` in the order of `columns`.
std::string behind(const std::vector<std::string>& columns, const std::vector<mysql::Value>& last);

}  // namespace vitrail::control

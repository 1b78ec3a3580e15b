#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mysql/types.h"
#include "shard/lookup.h"

// The statements with which the product itself reads and changes the tables of lookup vindexes.
namespace vitrail::plan {

// "`ks`.`t`", or "`t`" wherever it is.
std::string lookup_table(const shard::Lookup& lookup);

// What the lookup's table has in the place of a vindex column's value; NULL stays NULL. `charset`: of the value.
//   kInvalidArgument  lookup_unicodeloosemd5_hash of what is no text.
Result<mysql::Value> lookup_from(const shard::Lookup& lookup, const mysql::Value& value, std::string_view charset);
// And for a keyspace id.
Result<mysql::Value> lookup_to(const shard::Lookup& lookup, const shard::KeyspaceId& id);

// "`a` = 1 and `b` = 'x'"
std::string all_equal(std::span<const std::string> columns, std::span<const mysql::Value> values);

// "select `to` from `t` where ...": `values` as in LookupRead.
std::string lookup_select(const shard::Lookup& lookup, std::span<const size_t> places,
                          std::span<const mysql::Value> values, bool list, std::string_view lock);

// One row of a lookup's table: the `from` values, then `to`.
using LookupRow = std::vector<mysql::Value>;
Result<LookupRow> lookup_row(const shard::Lookup& lookup, std::span<const mysql::Value> values,
                             const shard::KeyspaceId& id, std::string_view charset);
// Not unique: a row that is there already is locked as if it had been written.
std::string lookup_insert(const shard::Lookup& lookup, std::span<const LookupRow> rows);
// "(`from` = 1 and `to` = 2) or (...)"
std::string lookup_condition(const shard::Lookup& lookup, std::span<const LookupRow> rows);

// "" for kNone.
std::string_view lock_text(shard::Lookup::ReadLock lock);

// As users read it: "'x-7'".
std::string shown_values(std::span<const mysql::Value> values);

}  // namespace vitrail::plan

#pragma once

#include <optional>
#include <string_view>

#include "mysql/types.h"
#include "plan/plan.h"
#include "sql/ast.h"
#include "vschema/vschema.h"

// Which value a row was placed by, of the values that a statement compares with or stores.
namespace vitrail::plan {

// Of the single column of the table's primary vindex: from the vindex, which may be one of integers, or from the type
// that the vschema gives the column.
KeyType key_type(const vschema::Table& table);
// The same of any column as the vschema describes it.
KeyType column_key_type(const vschema::Table& table, std::string_view column);

// A literal with a type; a minus sign before it in `negative`. nullopt: dates, strings with a character set that is not
// understood, and what has no value by itself.
std::optional<mysql::Value> literal_value(const sql::Literal& literal, bool negative);

// The one value that rows have whose key compares equal to `value`. nullopt: there may be several, or it is not known:
// then every shard may have such rows. NULL, to which nothing is equal, is itself.
std::optional<mysql::Value> compared_value(KeyType type, const mysql::Value& value);

// The values that the plan's route takes from `parameters` all have one place. Otherwise the plan does not hold for
// them.
bool fits(const Route& route, std::span<const mysql::Value> parameters);

// How INSERT stores a value.
struct Storing {
  KeyType type = KeyType::kUnknown;
  ::query::Type column = ::query::NULL_TYPE;  // As the vschema says; NULL_TYPE: nothing.
  std::string_view charset = "utf8mb4";       // Of the session.
  bool strict = true;                         // What does not fit the column is an error, not a change.
  bool integers = false;                      // The vindex takes integers only.
};
// `vindex`: null for none.
bool takes_integers(const shard::Vindex* vindex);
// What the stored row will be placed by. kUnimplemented: a value that the server converts in a way that is not known
// here; `column` names it.
Result<mysql::Value> stored_value(const Storing& storing, mysql::Value value, std::string_view column);

// `text` of this character set as UTF-8; nullopt when it has characters that are not known here.
std::optional<std::string> to_utf8(std::string_view text, std::string_view charset);

}  // namespace vitrail::plan

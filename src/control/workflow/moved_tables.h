#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Names and definitions of the tables that a workflow moves. No I/O.
namespace vitrail::control {

// Table names as somebody typed them: "`a,b`" is the table a,b, even where it was split at its comma, and "`x``y`" is
// x`y. Expressions between slashes, and names without backquotes, stay as they are.
//   kInvalidArgument: an odd number of backquotes, or something before or behind the quoted name.
Result<std::vector<std::string>> read_table_names(const std::vector<std::string>& pieces);

// Tables that tools make for themselves while they change or drop another one; they are nobody's data.
bool is_internal_table_name(std::string_view name);

// A CREATE TABLE without the attribute AUTO_INCREMENT and the option AUTO_INCREMENT=n. `column`: the one that had it;
// empty: none had. Text between quotes is left alone.
struct NumberedTable {
  std::string create;
  std::string column;
};
NumberedTable strip_auto_increment(std::string_view create);

// The sequence that takes the place of a table's AUTO_INCREMENT.
std::string sequence_name(std::string_view table);

}  // namespace vitrail::control

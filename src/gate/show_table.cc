#include "gate/show_table.h"

#include <utility>

namespace vitrail::gate {

net::QueryResult table_of(std::vector<std::string> names, ShownRows rows) {
  net::QueryResult result;
  for (auto& name : names) {
    mysql::ColumnDef column;
    column.name = std::move(name);
    column.collation = 45;
    column.length = 1024;
    result.columns.push_back(std::move(column));
  }
  result.rows = std::move(rows);
  return result;
}

}  // namespace vitrail::gate

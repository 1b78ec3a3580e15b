#include "vschema/collation.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/text.h"
#include "vschema/vschema.h"

namespace vitrail::vschema {

std::vector<std::string> find_collation_warnings(std::string_view name, const ::vschema::Keyspace& record,
                                                 const Collations& collations) {
  constexpr std::string_view kOfBytes[] = {"binary", "binary_md5", "cfc", "xxhash"};
  std::vector<std::string> out;
  const Keyspace keyspace = read_keyspace(name, record);
  for (const auto& [table_name, table] : keyspace.tables) {
    const auto columns = collations.find(table_name);
    if (columns == collations.end()) continue;
    for (const ColumnVindex& use : table->column_vindexes) {
      const std::string& type = use.vindex->type();
      if (std::ranges::find(kOfBytes, type) == std::end(kOfBytes)) continue;
      for (const std::string& column : use.columns) {
        const auto found = columns->second.find(base::to_lower(column));
        if (found == columns->second.end()) continue;
        const std::string& collation = found->second;
        if (collation == "binary" || collation.find("_bin") != std::string::npos) continue;
        const std::string_view instead = type == "xxhash"       ? "unicode_loose_xxhash or a _bin collation"
                                         : type == "binary_md5" ? "unicode_loose_md5 or a _bin collation"
                                                                : "a _bin collation";
        out.push_back(
            fmt::format("vindex {} of type {} does not follow the collation {} of column {} of table {}: "
                        "values that are equal there may be on different shards; use {}",
                        use.name, type, collation, column, table_name, instead));
      }
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace vitrail::vschema

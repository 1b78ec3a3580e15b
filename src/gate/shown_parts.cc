#include "gate/shown_parts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/text.h"

namespace vitrail::gate {
namespace {

using Cell = std::optional<std::string>;
using Row = std::vector<Cell>;

// Places of columns by their names; of those that are not there kNone.
constexpr size_t kNone = SIZE_MAX;

size_t place_of(const net::QueryResult& result, std::string_view name) {
  for (size_t i = 0; i < result.columns.size(); ++i) {
    if (base::equals_ignoring_case(result.columns[i].name, name)) return i;
  }
  return kNone;
}

std::optional<uint64_t> number_in(const Row& row, size_t at) {
  uint64_t value = 0;
  if (at >= row.size() || !row[at]) return std::nullopt;
  const std::string& text = *row[at];
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::string_view text_in(const Row& row, size_t at) {
  return at < row.size() && row[at] ? std::string_view(*row[at]) : std::string_view();
}

void add_to(Cell& cell, const Row& row, size_t at) {
  const auto more = number_in(row, at);
  if (more) cell = std::to_string(number_in({cell}, 0).value_or(0) + *more);
}

// Texts of one width, as dates are, and numbers.
bool is_more(const Cell& cell, const Cell& than) {
  if (!cell || !than) return cell.has_value() && !than.has_value();
  const auto a = number_in({cell}, 0);
  const auto b = number_in({than}, 0);
  const bool dates = cell->find('-') != std::string::npos;
  return a && b && !dates ? *a > *b : *cell > *than;
}

net::QueryResult unite_status(const plan::ShownParts& parts, std::vector<net::QueryResult> results) {
  static constexpr std::array<std::string_view, 4> kAdded = {"Rows", "Data_length", "Index_length", "Data_free"};
  static constexpr std::array<std::string_view, 2> kNewest = {"Auto_increment", "Update_time"};
  static constexpr std::array<std::string_view, 2> kOldest = {"Create_time", "Check_time"};
  net::QueryResult out = std::move(results.front());
  const size_t name = place_of(out, "Name");
  const size_t average = place_of(out, "Avg_row_length");
  const size_t rows = place_of(out, "Rows");
  const size_t length = place_of(out, "Data_length");
  if (name == kNone) return out;
  std::map<std::string, size_t, std::less<>> known;
  for (size_t i = 0; i < out.rows.size(); ++i) known.emplace(text_in(out.rows[i], name), i);
  std::set<size_t> added;
  for (auto& result : std::span(results).subspan(1)) {
    for (auto& row : result.rows) {
      const auto [found, fresh] = known.emplace(text_in(row, name), out.rows.size());
      if (fresh) {
        out.rows.push_back(std::move(row));
        continue;
      }
      if (parts.copies.contains(base::to_lower(found->first))) continue;
      Row& all = out.rows[found->second];
      added.insert(found->second);
      for (const auto column : kAdded) {
        if (const size_t at = place_of(out, column); at != kNone) add_to(all[at], row, at);
      }
      for (const auto column : kNewest) {
        if (const size_t at = place_of(out, column); at != kNone && is_more(row[at], all[at])) all[at] = row[at];
      }
      for (const auto column : kOldest) {
        const size_t at = place_of(out, column);
        if (at != kNone && row[at] && (!all[at] || is_more(all[at], row[at]))) all[at] = row[at];
      }
    }
  }
  for (const size_t i : added) {
    const auto count = number_in(out.rows[i], rows);
    const auto bytes = number_in(out.rows[i], length);
    if (average != kNone && count && bytes) out.rows[i][average] = std::to_string(*count == 0 ? 0 : *bytes / *count);
  }
  return out;
}

// The part of an index that a row of SHOW INDEX is about.
struct IndexPlaces {
  explicit IndexPlaces(const net::QueryResult& result)
      : key(place_of(result, "Key_name")),
        number(place_of(result, "Seq_in_index")),
        column(place_of(result, "Column_name")),
        repeats(place_of(result, "Non_unique")),
        cardinality(place_of(result, "Cardinality")) {}
  bool complete() const {
    return key != kNone && number != kNone && column != kNone && repeats != kNone && cardinality != kNone;
  }
  std::pair<std::string, std::string> part(const Row& row) const {
    return {std::string(text_in(row, key)), std::string(text_in(row, number))};
  }
  size_t key;
  size_t number;
  size_t column;
  size_t repeats;
  size_t cardinality;
};

// How many different values an index has that has `values` of them on each shard, in `rows` rows each.
uint64_t united_cardinality(const std::vector<uint64_t>& values, uint64_t rows, bool apart) {
  uint64_t sum = 0;
  uint64_t most = 0;
  for (const uint64_t one : values) {
    sum += one;
    most = std::max(most, one);
  }
  if (apart || rows == 0) return sum;
  const double alone = std::min(1.0, static_cast<double>(sum) / static_cast<double>(rows));
  return most + static_cast<uint64_t>(std::llround(static_cast<double>(sum - most) * alone));
}

net::QueryResult unite_index(const plan::ShownParts& parts, std::vector<net::QueryResult> results) {
  const IndexPlaces places(results.front());
  if (!places.complete() || !parts.copies.empty()) return std::move(results.front());
  std::map<std::pair<std::string, std::string>, std::vector<uint64_t>> values;
  uint64_t rows = 0;
  for (const auto& result : results) {
    uint64_t most = 0;  // The primary key has as many values as there are rows.
    for (const auto& row : result.rows) {
      const auto count = number_in(row, places.cardinality);
      if (!count) continue;
      values[places.part(row)].push_back(*count);
      most = std::max(most, *count);
    }
    rows += most;
  }
  net::QueryResult out = std::move(results.front());
  std::string key;
  std::set<std::string> columns;
  for (size_t i = 0; i < out.rows.size(); ++i) {
    Row& row = out.rows[i];
    if (key != text_in(row, places.key)) columns.clear();
    key = text_in(row, places.key);
    columns.insert(base::to_lower(text_in(row, places.column)));
    const auto found = values.find(places.part(row));
    if (found == values.end()) continue;
    const bool last = i + 1 == out.rows.size() || text_in(out.rows[i + 1], places.key) != key;
    const bool unique = last && text_in(row, places.repeats) == "0";
    const bool placed = !parts.key.empty() && std::ranges::all_of(parts.key, [&](const std::string& column) {
      return columns.contains(column);
    });
    row[places.cardinality] = std::to_string(united_cardinality(found->second, rows, unique || placed));
  }
  return out;
}

// "Table", "Checksum": the sum of the checksums of all rows in 32 bits; NULL where there is none.
net::QueryResult unite_checksums(const plan::ShownParts& parts, std::vector<net::QueryResult> results) {
  net::QueryResult out = std::move(results.front());
  for (const auto& result : std::span(results).subspan(1)) {
    for (size_t i = 0; i < out.rows.size() && i < result.rows.size(); ++i) {
      const std::string_view name = text_in(out.rows[i], 0);  // "database.table"
      const size_t dot = name.rfind('.');
      const std::string table = base::to_lower(name.substr(dot == std::string_view::npos ? 0 : dot + 1));
      const auto more = number_in(result.rows[i], 1);
      const auto sum = number_in(out.rows[i], 1);
      if (!more || !sum || parts.copies.contains(table)) continue;
      out.rows[i][1] = std::to_string((*sum + *more) & 0xffff'ffff);
    }
  }
  return out;
}

}  // namespace

net::QueryResult unite_shown(const plan::ShownParts& parts, std::vector<net::QueryResult> results) {
  if (results.size() == 1) return std::move(results.front());
  switch (parts.of) {
    case plan::ShownParts::Of::kIndex: return unite_index(parts, std::move(results));
    case plan::ShownParts::Of::kChecksum: return unite_checksums(parts, std::move(results));
    case plan::ShownParts::Of::kStatus: break;
  }
  return unite_status(parts, std::move(results));
}

}  // namespace vitrail::gate

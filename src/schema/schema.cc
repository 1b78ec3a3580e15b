#include "schema/schema.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "base/text.h"
#include "mysql/protocol.h"

namespace vitrail::schema {
namespace {

template <size_t N>
bool one_of(std::string_view word, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array<std::string_view, 4> kLongTexts = {"tinytext", "text", "mediumtext", "longtext"};
constexpr std::array<std::string_view, 5> kBlobs = {"tinyblob", "blob", "mediumblob", "longblob", "vector"};
constexpr std::array<std::string_view, 8> kShapes = {
    "geometry",   "point",           "linestring",   "polygon",
    "multipoint", "multilinestring", "multipolygon", "geometrycollection"};

std::string utc_time(std::string_view unix_time) {
  const size_t point = unix_time.find('.');
  const std::string_view whole = unix_time.substr(0, point);
  int64_t seconds = 0;
  std::from_chars(whole.data(), whole.data() + whole.size(), seconds);
  const std::string_view fraction = point == std::string_view::npos ? "" : unix_time.substr(point);
  const bool zero = seconds == 0 && fraction.find_first_of("123456789") == std::string_view::npos;
  if (zero || seconds < 0) return "0000-00-00 00:00:00";  // What is no time: 1970-01-01 00:00:00 cannot be stored.
  constexpr int64_t kDay = 86400;
  const int64_t rest = seconds % kDay;
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(seconds / kDay))};
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}{}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), rest / 3600,
                     rest / 60 % 60, rest % 60, fraction);
}

}  // namespace

const Column* Table::find(std::string_view column) const {
  const auto found = std::ranges::find_if(
      columns, [&](const Column& known) { return base::equals_ignoring_case(known.name, column); });
  return found == columns.end() ? nullptr : &*found;
}

const Table* find_table(const Snapshot& snapshot, std::string_view keyspace, std::string_view table) {
  const auto tables = snapshot.find(keyspace);
  if (tables == snapshot.end() || tables->second == nullptr) return nullptr;
  const auto found = tables->second->find(table);
  return found == tables->second->end() ? nullptr : &found->second;
}

void set_key_flags(Table& table, const std::vector<IndexPart>& parts) {
  std::map<std::string_view, uint32_t> sizes;
  for (const IndexPart& part : parts) sizes[part.index] = std::max(sizes[part.index], part.place);
  for (const IndexPart& part : parts) {
    const auto column = std::ranges::find_if(
        table.columns, [&](const Column& known) { return base::equals_ignoring_case(known.name, part.column); });
    if (column == table.columns.end()) continue;  // An index of an expression.
    column->key_flags |= kPartOfKey;
    if (part.index == "PRIMARY") {
      column->key_flags |= mysql::kFieldPrimaryKey;
    } else if (part.place == 1) {
      const bool alone = part.unique && sizes[part.index] == 1;
      column->key_flags |= alone ? mysql::kFieldUniqueKey : mysql::kFieldMultipleKey;
    }
  }
}

const Column* find_whole_key(const Table& table) {
  const Column* found = nullptr;
  for (const Column& column : table.columns) {
    if ((column.key_flags & mysql::kFieldPrimaryKey) == 0) continue;
    if (found != nullptr || !is_whole(column)) return nullptr;
    found = &column;
  }
  return found;
}

Form form_of(const Column& column) {
  const std::string_view type = column.data_type;
  if (type == "enum" || type == "set" || type == "bit") return Form::kNumber;
  if (type == "float") return Form::kDouble;
  if (type == "timestamp") return Form::kUnixTime;
  if (type == "json") return Form::kJson;  // MariaDB's is a longtext.
  if (type == "char" || type == "varchar" || one_of(type, kLongTexts)) return Form::kCharacters;
  const bool binary = type == "binary" || type == "varbinary" || one_of(type, kBlobs) || one_of(type, kShapes);
  return binary ? Form::kBytes : Form::kText;
}

std::string select_text(Form form, const std::string& expr) {
  switch (form) {
    case Form::kText:
    case Form::kBytes: return expr;
    case Form::kCharacters: return "cast(" + expr + " as binary)";
    case Form::kNumber: return "cast(" + expr + " as unsigned)";
    case Form::kDouble: return expr + " * 1e0";
    case Form::kUnixTime: return "unix_timestamp(" + expr + ")";
    case Form::kJson: return "cast(convert(" + expr + " using utf8mb4) as binary)";
  }
  return expr;
}

std::string stored_text(Form form, std::string_view text) {
  return form == Form::kUnixTime ? utc_time(text) : std::string(text);
}

std::string definition(const Column& column) {
  std::string out = column.type;
  if (!column.charset.empty() && column.data_type != "json") {
    out += " character set " + column.charset;
    if (!column.collation.empty()) out += " collate " + column.collation;
  }
  if (column.nullable) {
    // A TIMESTAMP that may be NULL says so.
    out += " null default null";
  } else {
    out += " not null";
    // Else a server may give it a default, and a change with each UPDATE.
    if (column.data_type == "timestamp") out += " default 0";
  }
  return out;
}

bool is_whole(const Column& column) {
  constexpr std::array<std::string_view, 5> kWhole = {"tinyint", "smallint", "mediumint", "int", "bigint"};
  return one_of(column.data_type, kWhole);
}

bool indexable(const Column& column) {
  // Only what an index finds as a comparison without it does: looked up in an index of years, the number 2 is 2002.
  const std::string_view type = column.data_type;
  if (is_whole(column) || type == "uuid" || type == "inet6") return true;
  if (type != "varchar" && type != "char" && type != "varbinary" && type != "binary") return false;
  // By a comparison of another collation servers look up in such an index too, and miss what differs in spaces only.
  if (column.collation.contains("nopad")) return false;
  const size_t open = column.type.find('(');
  uint32_t length = 0;
  if (open != std::string::npos) {
    std::from_chars(column.type.data() + open + 1, column.type.data() + column.type.size(), length);
  }
  constexpr uint32_t kLongest = 190;  // Characters; 767 bytes are taken by every engine and row format.
  return length <= kLongest;
}

uint16_t origin_flags(const Column& column) {
  uint16_t flags = column.key_flags;
  if (column.extra.contains("auto_increment")) flags |= mysql::kFieldAutoIncrement;
  if (column.extra.contains("on update")) flags |= mysql::kFieldOnUpdateNow;
  const bool by_clock = column.extra.contains("default_generated") || column.extra.contains("on update");
  if (column.data_type == "timestamp" && by_clock) flags |= mysql::kFieldTimestamp;
  if (!column.has_default) flags |= mysql::kFieldNoDefaultValue;
  return flags;
}

}  // namespace vitrail::schema

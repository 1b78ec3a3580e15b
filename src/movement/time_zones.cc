#include "movement/time_zones.h"

#include <fmt/core.h>

#include <set>

#include "movement/table_schema.h"
#include "mysqld/rows.h"

namespace vitrail::movement {
namespace {

constexpr size_t kValuesPerQuery = 500;
constexpr size_t kKnownMax = 100'000;

// Servers know this one without tables.
std::string zone_literal(const std::string& zone) { return mysqld::quote_string(zone == "UTC" ? "+00:00" : zone); }

}  // namespace

TimeZones time_zones_of(const ::binlogdata::BinlogSource& source) {
  if (source.source_time_zone().empty() && source.target_time_zone().empty()) return {};
  const auto or_utc = [](const std::string& zone) { return zone.empty() ? std::string("UTC") : zone; };
  return {or_utc(source.source_time_zone()), or_utc(source.target_time_zone())};
}

std::vector<size_t> datetime_fields(const google::protobuf::RepeatedPtrField<::query::Field>& fields) {
  std::vector<size_t> out;
  for (int i = 0; i < fields.size(); ++i) {
    if (fields[i].type() == ::query::DATETIME) out.push_back(static_cast<size_t>(i));
  }
  return out;
}

Status replace_cells(::query::Row& row, size_t columns, const std::vector<size_t>& fields,
                     const std::vector<std::string>& values) {
  std::vector<mysql::Cell> cells;
  RETURN_IF_ERROR(read_row(row, columns, cells));
  ::query::Row next;
  size_t at = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    const bool replaced = at < fields.size() && fields[at] == i;
    append_cell(next, replaced && cells[i] ? mysql::Cell(values[at]) : cells[i]);
    if (replaced) ++at;
  }
  row.Swap(&next);
  return {};
}

net::Task<Status> ZoneConverter::ask(std::vector<std::string> values, net::Wait wait) {
  if (!session_ || session_->client().broken()) {
    CO_ASSIGN_OR_RETURN(session_, co_await ServerSession::open(login_, mysqld::ConnectionPurpose::kApply, wait));
  }
  for (size_t begin = 0; begin < values.size(); begin += kValuesPerQuery) {
    const size_t end = std::min(begin + kValuesPerQuery, values.size());
    std::string sql;
    for (size_t i = begin; i < end; ++i) {
      sql += fmt::format("{}CONVERT_TZ({}, {}, {})", sql.empty() ? "SELECT " : ", ", mysqld::quote_string(values[i]),
                         zone_literal(zones_.from), zone_literal(zones_.to));
    }
    CO_ASSIGN_OR_RETURN(const auto answer, co_await session_->query(std::move(sql), wait));
    for (size_t i = begin; i < end; ++i) {
      const auto& cell = answer.rows.at(0).at(i - begin);
      // A date that is none ('0000-00-00') is none everywhere.
      const bool is_zero = values[i].starts_with("0000-00-00");
      if (!cell && !is_zero) {
        co_return fail(
            Code::kFailedPrecondition,
            fmt::format("the server does not convert {} from time zone {} to {}: its time zone tables have to "
                        "be loaded (mysql_tzinfo_to_sql)",
                        values[i], zones_.from, zones_.to));
      }
      // A fraction of a second is the same in every zone, and stays written with as many digits.
      constexpr size_t kSeconds = std::string_view("2020-01-01 00:00:00").size();
      std::string text = values[i];
      if (cell && !is_zero && text.size() >= kSeconds) text.replace(0, kSeconds, cell->substr(0, kSeconds));
      known_.emplace(values[i], std::move(text));
    }
  }
  co_return Status{};
}

net::Task<Status> ZoneConverter::convert(std::vector<::query::Row*> rows, size_t columns, std::vector<size_t> fields,
                                         net::Wait wait) {
  if (fields.empty() || !zones_.differ()) co_return Status{};
  if (known_.size() > kKnownMax) known_.clear();
  std::set<std::string> unknown;
  std::vector<mysql::Cell> cells;
  for (const ::query::Row* row : rows) {
    CO_RETURN_IF_ERROR(read_row(*row, columns, cells));
    for (const size_t field : fields) {
      if (cells[field] && !known_.contains(std::string(*cells[field]))) unknown.emplace(*cells[field]);
    }
  }
  CO_RETURN_IF_ERROR(co_await ask({unknown.begin(), unknown.end()}, wait));
  for (::query::Row* row : rows) {
    CO_RETURN_IF_ERROR(read_row(*row, columns, cells));
    std::vector<std::string> values;
    for (const size_t field : fields) values.push_back(cells[field] ? known_.at(std::string(*cells[field])) : "");
    CO_RETURN_IF_ERROR(replace_cells(*row, columns, fields, values));
  }
  co_return Status{};
}

}  // namespace vitrail::movement

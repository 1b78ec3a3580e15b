#include "movement/vdiff_compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "mysqld/rows.h"

namespace vitrail::movement {
namespace {

using nlohmann::json;

// Rows hold any bytes.
std::string text_of(const json& document) { return document.dump(-1, ' ', false, json::error_handler_t::replace); }

json to_array(const std::vector<std::string>& texts) {
  json out = json::array();
  for (const auto& text : texts) out.push_back(json::parse(text, nullptr, false));
  return out;
}

// MariaDB keeps no negative zero, MySQL does.
bool same_value(const Column& column, const mysql::Cell& a, const mysql::Cell& b) {
  if (a == b) return true;
  if (column.type != ::query::FLOAT32 && column.type != ::query::FLOAT64) return false;
  const auto is_zero = [](const mysql::Cell& cell) {
    return cell && !cell->empty() && cell->find_first_not_of("-0.") == std::string_view::npos;
  };
  return is_zero(a) && is_zero(b);
}

constexpr size_t kStatementBytes = 1u << 20;

json sample(const TargetTable& table, std::span<const mysql::Cell> cells, const SampleSettings& settings) {
  json row = json::object();
  for (const auto& binding : table.bindings()) {
    const auto& identity = table.schema().identity;
    const bool key = std::find(identity.begin(), identity.end(), binding.column) != identity.end();
    if (settings.only_pks && !key) continue;
    const mysql::Cell& cell = cells[binding.field];
    std::string text(cell ? *cell : std::string_view("NULL"));
    if (text.size() > settings.truncate_at) text = text.substr(0, settings.truncate_at) + "...[TRUNCATED]";
    row[table.schema().columns[binding.column].name] = std::move(text);
  }
  json out = {{"Row", std::move(row)}};
  if (settings.debug_query) {
    std::string condition;
    table.append_key(condition, cells);
    out["Query"] =
        fmt::format("select {} from {} where {}{}", table.read_list(), table.qualified_name(),
                    table.has_single_key()
                        ? mysqld::quote_identifier(table.schema().columns[table.schema().identity[0]].name) + " = "
                        : "",
                    condition);
  }
  return out;
}

// Gathers what is to be deleted and inserted into as few statements as there may be.
class RepairPlan {
 public:
  explicit RepairPlan(const TargetTable& table) : table_(table) {}

  void remove(std::span<const mysql::Cell> cells) {
    delete_ += delete_.empty() ? std::string_view(table_.delete_head()) : table_.key_separator();
    table_.append_key(delete_, cells);
    if (++deletes_ < kKeysMax && delete_.size() < kStatementBytes) return;
    end_delete();
  }
  void insert(std::span<const mysql::Cell> cells) {
    insert_ += insert_.empty() ? std::string_view(table_.insert_head()) : std::string_view(", ");
    table_.append_values(insert_, cells);
    if (table_.has_blank_enum(cells)) blank_.push_back(table_.blank_enums(cells));
    if (insert_.size() >= kStatementBytes) end_insert();
  }
  // Deletes come first: a unique key may change hands.
  std::vector<std::string> take() {
    if (!delete_.empty()) end_delete();
    if (!insert_.empty()) end_insert();
    std::vector<std::string> out = std::move(deleting_);
    for (auto& statement : inserting_) out.push_back(std::move(statement));
    for (auto& statement : blank_) out.push_back(std::move(statement));
    return out;
  }

 private:
  static constexpr size_t kKeysMax = 500;
  void end_delete() {
    deleting_.push_back(std::move(delete_) + ")");
    delete_.clear();
    deletes_ = 0;
  }
  void end_insert() {
    inserting_.push_back(std::move(insert_));
    insert_.clear();
  }

  const TargetTable& table_;
  std::string delete_;
  std::string insert_;
  size_t deletes_ = 0;
  std::vector<std::string> deleting_;
  std::vector<std::string> inserting_;
  std::vector<std::string> blank_;
};

}  // namespace

std::string Report::to_json(const std::string& table) const {
  json document = {{"TableName", table},
                   {"ProcessedRows", processed},
                   {"MatchingRows", matching},
                   {"MismatchedRows", mismatched},
                   {"ExtraRowsSource", extra_source},
                   {"ExtraRowsTarget", extra_target},
                   {"ExtraRowsSourceSample", to_array(source_samples)},
                   {"ExtraRowsTargetSample", to_array(target_samples)},
                   {"MismatchedRowsSample", to_array(mismatch_samples)}};
  if (repaired != 0) document["RepairedRows"] = repaired;
  return text_of(document);
}

Report Report::parse(std::string_view text) {
  Report report;
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return report;
  const auto number = [&](const char* name) {
    const auto found = document.find(name);
    return found != document.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
  };
  const auto list = [&](const char* name) {
    const auto found = document.find(name);
    std::vector<std::string> texts;
    if (found == document.end() || !found->is_array()) return texts;
    for (const auto& one : *found) texts.push_back(text_of(one));
    return texts;
  };
  report.processed = number("ProcessedRows");
  report.matching = number("MatchingRows");
  report.mismatched = number("MismatchedRows");
  report.extra_source = number("ExtraRowsSource");
  report.extra_target = number("ExtraRowsTarget");
  report.repaired = number("RepairedRows");
  report.source_samples = list("ExtraRowsSourceSample");
  report.target_samples = list("ExtraRowsTargetSample");
  report.mismatch_samples = list("MismatchedRowsSample");
  return report;
}

void Report::add(Report more, size_t samples_max) {
  processed += more.processed;
  matching += more.matching;
  mismatched += more.mismatched;
  extra_source += more.extra_source;
  extra_target += more.extra_target;
  repaired += more.repaired;
  const auto join = [samples_max](std::vector<std::string>& all, std::vector<std::string>& some) {
    for (auto& one : some) {
      if (all.size() < samples_max) all.push_back(std::move(one));
    }
  };
  join(source_samples, more.source_samples);
  join(target_samples, more.target_samples);
  join(mismatch_samples, more.mismatch_samples);
}

Status compare_rows(const TargetTable& table, const std::vector<const ::binlogdata::VStreamRowsResponse*>& sources,
                    const std::vector<std::vector<std::optional<std::string>>>& target, const SampleSettings& samples,
                    Report& report, Repair* repair) {
  // Both sides are texts of the same expressions at the same moment.
  struct Row {
    const ::query::Row* row;
    bool met = false;
  };
  std::unordered_map<std::string, Row> by_key;
  std::vector<mysql::Cell> cells;
  std::vector<mysql::Cell> first;
  std::vector<mysql::Cell> other(table.field_count());
  std::string key;
  RepairPlan plan(table);
  for (const auto* response : sources) {
    for (const auto& row : response->rows()) {
      RETURN_IF_ERROR(read_row(row, table.field_count(), cells));
      RETURN_IF_ERROR(table.key_of(cells, key));
      ++report.processed;
      const auto [known, added] = by_key.try_emplace(key, Row{&row});
      if (added) continue;
      // Two sources have it. A reference table is the same on all of them, and one of its rows on the target is all
      // of them; of rows that differ one cannot be there.
      RETURN_IF_ERROR(read_row(*known->second.row, table.field_count(), first));
      if (std::ranges::equal(first, cells)) {
        --report.processed;
        continue;
      }
      ++report.extra_source;
      if (report.source_samples.size() < samples.count_max) {
        report.source_samples.push_back(text_of(sample(table, cells, samples)));
      }
    }
  }
  for (const auto& row : target) {
    for (size_t i = 0; i < row.size(); ++i)
      other[table.bindings()[i].field] = row[i] ? mysql::Cell(*row[i]) : mysql::Cell();
    RETURN_IF_ERROR(table.key_of(other, key));
    const auto found = by_key.find(key);
    if (found == by_key.end()) {
      ++report.processed;
      ++report.extra_target;
      if (repair != nullptr) plan.remove(other);
      if (report.target_samples.size() < samples.count_max)
        report.target_samples.push_back(text_of(sample(table, other, samples)));
      continue;
    }
    found->second.met = true;
    RETURN_IF_ERROR(read_row(*found->second.row, table.field_count(), cells));
    bool equal = true;
    for (const auto& binding : table.bindings()) {
      equal = equal && same_value(table.schema().columns[binding.column], cells[binding.field], other[binding.field]);
    }
    if (equal) {
      ++report.matching;
      continue;
    }
    ++report.mismatched;
    if (repair != nullptr) {
      plan.remove(other);
      plan.insert(cells);
    }
    if (report.mismatch_samples.size() < samples.count_max) {
      report.mismatch_samples.push_back(
          text_of(json{{"Source", sample(table, cells, samples)}, {"Target", sample(table, other, samples)}}));
    }
  }
  for (const auto& [bytes, row] : by_key) {
    if (row.met) continue;
    ++report.extra_source;
    RETURN_IF_ERROR(read_row(*row.row, table.field_count(), cells));
    if (repair != nullptr) plan.insert(cells);
    if (report.source_samples.size() >= samples.count_max) continue;
    report.source_samples.push_back(text_of(sample(table, cells, samples)));
  }
  if (repair != nullptr) repair->statements = plan.take();
  return {};
}

}  // namespace vitrail::movement

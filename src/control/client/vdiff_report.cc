#include "control/client/vdiff_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace vitrail::control {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::map<std::string, std::string>;

std::vector<Row> rows_of(const ::query::QueryResult& result) {
  std::vector<Row> rows;
  for (const auto& row : result.rows()) {
    Row& out = rows.emplace_back();
    std::string_view values = row.values();
    for (int i = 0; i < row.lengths_size() && i < result.fields_size(); ++i) {
      if (row.lengths(i) < 0) continue;
      const size_t size = std::min(values.size(), static_cast<size_t>(row.lengths(i)));
      out[result.fields(i).name()] = values.substr(0, size);
      values.remove_prefix(size);
    }
  }
  return rows;
}

std::string get(const Row& row, const std::string& name) {
  const auto found = row.find(name);
  return found == row.end() ? "" : found->second;
}

int64_t number(const Row& row, const std::string& name) { return std::atoll(get(row, name).c_str()); }

int64_t field(const Json& report, const char* name) {
  const auto found = report.find(name);
  return found != report.end() && found->is_number() ? found->get<int64_t>() : 0;
}

// error before stopped before anything unfinished before completed.
std::string worse(const std::string& a, const std::string& b) {
  static const std::vector<std::string> order = {"error", "stopped", "started", "pending", "unknown", "completed"};
  if (a.empty()) return b;
  const auto rank = [](const std::string& s) { return std::find(order.begin(), order.end(), s) - order.begin(); };
  return rank(a) <= rank(b) ? a : b;
}

Json summary_of(const std::map<std::string, std::vector<Row>>& by_shard, const std::string& keyspace,
                const std::string& workflow) {
  Json out;
  out["Workflow"] = workflow;
  out["Keyspace"] = keyspace;
  std::string state;
  std::string uuid;
  std::string shards;
  std::string started;
  std::string completed;
  int64_t compared = 0;
  int64_t total = 0;
  int64_t repaired = 0;
  bool mismatch = false;
  Json tables = Json::object();
  Json reports = Json::object();
  Json errors = Json::object();
  for (const auto& [shard, rows] : by_shard) {
    shards += (shards.empty() ? "" : ",") + shard;
    for (const auto& row : rows) {
      state = worse(state, get(row, "vdiff_state"));
      uuid = get(row, "vdiff_uuid");
      if (started.empty() || get(row, "started_at") < started) started = get(row, "started_at");
      completed = std::max(completed, get(row, "completed_at"));
      if (!get(row, "last_error").empty()) errors[shard] = get(row, "last_error");
      const std::string table = get(row, "table_name");
      if (table.empty()) continue;
      compared += number(row, "rows_compared");
      total += number(row, "table_rows");
      mismatch = mismatch || get(row, "has_mismatch") == "1";
      Json report = Json::parse(get(row, "report"), nullptr, false);
      if (!report.is_object()) report = Json::object();
      Json& entry = tables[table];
      if (entry.is_null()) {
        entry = {{"TableName", table},  {"State", get(row, "table_state")},
                 {"RowsCompared", 0},   {"MatchingRows", 0},
                 {"MismatchedRows", 0}, {"ExtraRowsSource", 0},
                 {"ExtraRowsTarget", 0}};
      }
      entry["State"] = worse(entry["State"], get(row, "table_state"));
      entry["RowsCompared"] = entry["RowsCompared"].get<int64_t>() + number(row, "rows_compared");
      for (const char* name : {"MatchingRows", "MismatchedRows", "ExtraRowsSource", "ExtraRowsTarget"}) {
        entry[name] = entry[name].get<int64_t>() + field(report, name);
      }
      if (const int64_t rows_mended = field(report, "RepairedRows"); rows_mended > 0) {
        repaired += rows_mended;
        entry["RepairedRows"] = entry.value("RepairedRows", int64_t{0}) + rows_mended;
      }
      if (get(row, "has_mismatch") == "1") reports[table][shard] = report;
    }
  }
  out["State"] = state.empty() ? "unknown" : state;
  out["UUID"] = uuid;
  out["RowsCompared"] = compared;
  out["HasMismatch"] = mismatch;
  if (repaired > 0) out["RepairedRows"] = repaired;
  out["Shards"] = shards;
  out["StartedAt"] = started;
  if (state == "completed") {
    out["CompletedAt"] = completed;
  } else {
    const double percentage =
        total > 0 ? std::min(100.0, 100.0 * static_cast<double>(compared) / static_cast<double>(total)) : 0;
    out["Progress"] = {{"Percentage", percentage}};
  }
  out["TableSummary"] = tables;
  if (!reports.empty()) out["Reports"] = reports;
  if (!errors.empty()) out["Errors"] = errors;
  return out;
}

}  // namespace

Result<std::string> vdiff_state(const ::vtctldata::VDiffShowResponse& response) {
  std::string state;
  for (const auto& [shard, answer] : response.tablet_responses()) {
    for (const auto& row : rows_of(answer.output())) state = worse(state, get(row, "vdiff_state"));
  }
  return state.empty() ? "unknown" : state;
}

Result<bool> vdiff_has_mismatch(const ::vtctldata::VDiffShowResponse& response) {
  for (const auto& [shard, answer] : response.tablet_responses()) {
    for (const auto& row : rows_of(answer.output())) {
      if (get(row, "has_mismatch") == "1") return true;
    }
  }
  return false;
}

namespace {

// All comparisons, one line for each target shard: columns to the right, headings underlined.
std::string list_text(const Json& list) {
  static const std::vector<std::string> names = {"UUID", "Workflow", "Keyspace", "Shard", "State"};
  std::vector<size_t> widths;
  for (const auto& name : names) {
    widths.push_back(name.size());
    for (const auto& entry : list)
      widths.back() = std::max(widths.back(), entry[name].get_ref<const std::string&>().size());
  }
  const auto rule = [&](char c) {
    std::string out = "+";
    for (const size_t width : widths) out += std::string(width + 5, c) + "+";
    return out + "\n";
  };
  const auto line = [&](const auto& text_of) {
    std::string out = "|";
    for (size_t i = 0; i < names.size(); ++i) out += fmt::format("    {:>{}} |", text_of(names[i]), widths[i]);
    return out + "\n";
  };
  std::string out = rule('-') + line([](const std::string& name) { return name; }) + rule('=');
  for (const auto& entry : list) {
    out += line([&](const std::string& name) { return entry[name].template get<std::string>(); }) + rule('-');
  }
  return out + "\n";
}

std::string summary_text(const Json& summary, const std::string& keyspace, const std::string& workflow, bool tables) {
  std::string out = fmt::format(
      "\nVDiff Summary for {}.{} ({})\nState:        {}\nRowsCompared: {}\nHasMismatch:  {}\nStartedAt:    {}\n",
      keyspace, workflow, summary["UUID"].get<std::string>(), summary["State"].get<std::string>(),
      summary["RowsCompared"].get<int64_t>(), summary["HasMismatch"].get<bool>(),
      summary["StartedAt"].get<std::string>());
  if (summary.contains("RepairedRows")) {
    out += fmt::format("RepairedRows: {}\n", summary["RepairedRows"].get<int64_t>());
  }
  if (summary.contains("CompletedAt")) out += "CompletedAt:  " + summary["CompletedAt"].get<std::string>() + "\n";
  if (tables) {
    for (const auto& [table, entry] : summary["TableSummary"].items()) {
      out += fmt::format(" \nTable {}:\n\tState:            {}\n\tProcessedRows:    {}\n\tMatchingRows:     {}\n",
                         table, entry["State"].get<std::string>(), entry["RowsCompared"].get<int64_t>(),
                         entry["MatchingRows"].get<int64_t>());
      for (const char* name : {"MismatchedRows", "ExtraRowsSource", "ExtraRowsTarget"}) {
        if (const auto count = entry[name].get<int64_t>(); count > 0) {
          out += fmt::format("\t{:<17} {}\n", std::string(name) + ":", count);
        }
      }
    }
  }
  if (summary.contains("Errors")) {
    for (const auto& [shard, text] : summary["Errors"].items())
      out += fmt::format("Error on shard {}: {}\n", shard, text.get<std::string>());
  }
  return out + " \nUse \"--format=json\" for more detailed output.\n\n";
}

}  // namespace

Result<std::string> format_vdiff(const ::vtctldata::VDiffShowResponse& response, const std::string& keyspace,
                                 const std::string& workflow, const VDiffFormat& format) {
  // By VDiff, then by shard.
  std::map<std::string, std::map<std::string, std::vector<Row>>> diffs;
  for (const auto& [shard, answer] : response.tablet_responses()) {
    for (auto& row : rows_of(answer.output())) {
      const std::string named = get(row, "vdiff_uuid");
      diffs[named.empty() ? answer.vdiff_uuid() : named][shard].push_back(std::move(row));
    }
  }
  if (diffs.empty()) {
    if (format.json) return std::string(format.all ? "[]\n" : "{}\n");
    return fmt::format("{} for {}.{}\n", format.all ? "No vdiffs found" : "No previous vdiff found", keyspace,
                       workflow);
  }
  if (format.all) {
    Json list = Json::array();
    for (const auto& [uuid, by_shard] : diffs) {
      for (const auto& [shard, rows] : by_shard) {
        const std::string state = get(rows.front(), "vdiff_state");
        list.push_back({{"UUID", uuid},
                        {"Workflow", workflow},
                        {"Keyspace", keyspace},
                        {"Shard", shard},
                        {"State", state.empty() ? get(rows.front(), "state") : state}});
      }
    }
    return format.json ? list.dump(2) + "\n" : list_text(list);
  }
  Json summary = summary_of(diffs.begin()->second, keyspace, workflow);
  summary["UUID"] = diffs.begin()->first;
  const bool tables = format.verbose || summary["HasMismatch"].get<bool>();
  if (!format.json) return summary_text(summary, keyspace, workflow, tables);
  if (!tables) summary.erase("TableSummary");
  return summary.dump(2) + "\n";
}

}  // namespace vitrail::control

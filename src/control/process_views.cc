#include "control/process_views.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "control/http_client.h"
#include "control/tablet_vars.h"
#include "net/sync.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr base::Duration kVersionKept = 60s;
constexpr base::Duration kAnswerTime = 3s;
constexpr size_t kOthersMax = 200;
constexpr size_t kVersionsKept = 50'000;

uint64_t number(const json& row, const char* name) {
  const auto found = row.find(name);
  return found != row.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string text(const json& row, const char* name) {
  const auto found = row.find(name);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const char* field_of(const std::string& order) {
  if (order == "time") return "time_ns";
  if (order == "count") return "count";
  if (order == "rows") return "rows";
  return order == "errors" ? "errors" : nullptr;
}

void add_statement(std::map<std::pair<std::string, std::string>, json>& all, const json& row, const std::string& gate) {
  json& sum = all[{text(row, "Target"), text(row, "Query")}];
  if (sum.is_null()) {
    sum = {{"query", text(row, "Query")},
           {"target", text(row, "Target")},
           {"plan", text(row, "Plan")},
           {"keyspace", ""},
           {"vindex", ""},
           {"sent", ""},
           {"count", 0U},
           {"errors", 0U},
           {"rows", 0U},
           {"time_ns", 0U},
           {"longest_ns", 0U},
           {"gates", json::array()}};
  }
  for (const auto& [to, from] : {std::pair("count", "QueryCount"), std::pair("errors", "ErrorCount"),
                                 std::pair("rows", "RowCount"), std::pair("time_ns", "TimeNs")}) {
    sum[to] = sum[to].get<uint64_t>() + number(row, from);
  }
  sum["longest_ns"] = std::max(sum["longest_ns"].get<uint64_t>(), number(row, "LongestNs"));
  // Of a gate that has the plan still.
  if (!text(row, "Keyspace").empty()) {
    sum["plan"] = text(row, "Plan");
    sum["keyspace"] = text(row, "Keyspace");
    sum["vindex"] = text(row, "Vindex");
    sum["sent"] = text(row, "Sent");
  }
  sum["gates"].push_back(gate);
}

}  // namespace

std::string short_version(const std::string& text) {
  constexpr std::string_view kOurs = "(Vitrail ";
  const size_t begin = text.find(kOurs);
  const size_t end = text.find(')', begin == std::string::npos ? 0 : begin);
  if (begin == std::string::npos || end == std::string::npos) return text;
  return text.substr(begin + kOurs.size(), end - begin - kOurs.size());
}

json merge_statements(const std::vector<GateAnswer>& answers, const std::string& order, size_t limit) {
  std::map<std::pair<std::string, std::string>, json> all;
  json gates = json::array();
  for (const GateAnswer& answer : answers) {
    std::string error = answer.body.ok() ? "" : answer.body.error().message();
    const json rows = answer.body.ok() ? json::parse(*answer.body, nullptr, false) : json::array();
    if (!rows.is_array()) error = "its answer cannot be read";
    gates.push_back({{"name", answer.gate}, {"error", error}});
    if (!rows.is_array()) continue;
    for (const json& row : rows) {
      if (row.is_object()) add_statement(all, row, answer.gate);
    }
  }
  std::vector<json> sorted;
  for (auto& [key, sum] : all) sorted.push_back(std::move(sum));
  const char* const field = field_of(order);
  std::ranges::sort(sorted, [&](const json& a, const json& b) {
    const uint64_t left = field == nullptr ? 0 : a[field].get<uint64_t>();
    const uint64_t right = field == nullptr ? 0 : b[field].get<uint64_t>();
    if (left != right) return left > right;
    return std::pair(text(a, "query"), text(a, "target")) < std::pair(text(b, "query"), text(b, "target"));
  });
  if (sorted.size() > limit) sorted.resize(limit);
  return {{"statements", std::move(sorted)}, {"gates", std::move(gates)}};
}

net::Task<Result<json>> ProcessViews::processes(std::vector<::topodata::Tablet> tablets) {
  CO_ASSIGN_OR_RETURN(const auto found, co_await topo::list_processes(topology_));
  json list = json::array();
  for (const auto& process : found) {
    list.push_back({{"program", process.program},
                    {"host", process.host},
                    {"port", process.port},
                    {"tls", process.http_tls},
                    {"version", process.version},
                    {"cell", process.cell},
                    {"started_ms", process.started_ms}});
  }
  if (versions_.size() > kVersionsKept && scope_.running() == 0) versions_.clear();
  const base::TimePoint now = base::system_clock().now();
  std::map<std::string, size_t> counts;
  json others = json::array();
  size_t asked = 0;
  for (const auto& tablet : tablets) {
    const std::string alias = topo::alias_to_string(tablet.alias());
    Version& version = versions_[alias];
    const bool old = !version.known || now - version.heard > kVersionKept;
    if (old && !version.asked && !scope_.stopping() && scope_.running() < kAskedAtOnce) {
      version.asked = true;
      scope_.spawn(ask(*this, tablet));
    }
    if (!version.known) continue;
    ++asked;
    if (version.error.empty()) ++counts[version.text];
    if (version.text == base::kProjectVersion || others.size() == kOthersMax) continue;
    others.push_back({{"tablet", alias},
                      {"shard", tablet.keyspace() + "/" + tablet.shard()},
                      {"version", version.text},
                      {"error", version.error}});
  }
  co_return json{{"processes", std::move(list)},
                 {"own_version", std::string(base::kProjectVersion)},
                 {"tablets", counts},
                 {"other_tablets", std::move(others)},
                 {"asked", asked},
                 {"total", tablets.size()}};
}

net::Task<void> ProcessViews::ask(ProcessViews& self, ::topodata::Tablet tablet) {
  const std::string alias = topo::alias_to_string(tablet.alias());
  auto heard = co_await read_version(std::move(tablet), net::Wait::within(kAnswerTime, self.scope_.token()));
  self.versions_[alias] = {.known = true,
                           .text = heard.ok() ? short_version(*heard) : "",
                           .error = heard.ok() ? "" : heard.error().message(),
                           .heard = base::system_clock().now()};
}

net::Task<Result<json>> ProcessViews::queries(std::string order) {
  if (field_of(order) == nullptr) {
    co_return fail(Code::kNotFound, "statements are ordered by time, count, rows or errors, not by " + order);
  }
  CO_ASSIGN_OR_RETURN(auto found, co_await topo::list_processes(topology_));
  std::erase_if(found, [](const topo::Process& process) { return process.program != "vtgate"; });
  std::vector<GateAnswer> answers;
  for (const auto& gate : found) {
    answers.push_back({fmt::format("{}:{}", gate.host, gate.port), fail(Code::kUnavailable, "not asked")});
  }
  const auto one = [](const topo::Process& gate, std::string path, GateAnswer& out, net::Wait wait) -> net::Task<void> {
    out.body = co_await http_get(gate.host, gate.port, gate.http_tls, std::move(path), std::move(wait));
  };
  const std::string path = fmt::format("/debug/query_stats?order={}&limit={}", order, kStatements);
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < found.size(); ++i) {
    tasks.push_back(one(found[i], path, answers[i], net::Wait::within(kAnswerTime, scope_.token())));
  }
  co_await net::when_all(std::move(tasks));
  co_return merge_statements(answers, order, kStatements);
}

net::Task<void> ProcessViews::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::control

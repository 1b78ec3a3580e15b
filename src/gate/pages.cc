#include "gate/pages.h"

#include <fmt/core.h>

#include "base/text.h"
#include "gate/gate.h"
#include "rpc/query_pages.h"
#include "vschema/proto_json.h"

namespace vitrail::gate {
namespace {

std::string vschema_json(const Gate& gate) {
  const auto view = gate.view();
  if (view == nullptr || view->topology->vschema == nullptr || view->columns == nullptr) return "{}\n";
  const auto shown = vschema::with_tracked_columns(*view->topology->vschema, *view->columns);
  return vschema::to_json(shown, {.unpopulated = false}) + "\n";
}

// {"keyspace": {"table": {"column": "varchar(20) collate latin1_bin"}}}
std::string schema_json(const Gate& gate) {
  std::string json = "{";
  const auto view = gate.view();
  if (view == nullptr || view->schema == nullptr) return "{}\n";
  for (const auto& [keyspace, tables] : *view->schema) {
    json += fmt::format("{}\n{}: {{", json.size() > 1 ? "," : "", base::json_string(keyspace));
    const char* between_tables = "";
    for (const auto& [name, table] : *tables) {
      json += fmt::format("{}\n  {}: {{", std::exchange(between_tables, ","), base::json_string(name));
      const char* between = "";
      for (const auto& column : table.columns) {
        const std::string collation = column.collation.empty() ? "" : " collate " + column.collation;
        json += fmt::format("{}{}: {}", std::exchange(between, ", "), base::json_string(column.name),
                            base::json_string(column.type + collation));
      }
      json += "}";
    }
    json += "}";
  }
  return json + "\n}\n";
}

std::string srv_keyspaces_json(const Gate& gate) {
  std::string json = "{";
  if (const auto view = gate.view(); view != nullptr) {
    for (const auto& [name, record] : *view->topology->keyspaces) {
      json += fmt::format("{}\n{}: {}", json.size() > 1 ? "," : "", base::json_string(name),
                          vschema::to_json(*record, {.unpopulated = false, .indent = -1}));
    }
  }
  return json + "\n}\n";
}

std::string targets_html(const Gate& gate) {
  std::string html = "<table><tr><th>target</th><th>tablets</th></tr>";
  if (const auto view = gate.view(); view != nullptr) {
    const std::map<std::string, std::vector<Endpoint>> sorted(view->endpoints.begin(), view->endpoints.end());
    for (const auto& [target, endpoints] : sorted) {
      std::string names;
      for (const auto& endpoint : endpoints) names += endpoint.alias + " (" + endpoint.address.to_string() + ") ";
      html += fmt::format("<tr><td>{}</td><td>{}</td></tr>", rpc::html_escape(target), rpc::html_escape(names));
    }
  }
  return html + "</table>";
}

// "SELECT": the statement's first word.
std::string query_type(std::string_view query) {
  std::string out(query.substr(0, query.find_first_of(" \t\n(")));
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

std::string plans_json(const std::vector<PlanUse>& plans) {
  // By target and statement: what tools look for is within the values.
  std::string json = "{";
  for (const PlanUse& use : plans) {
    json += json.size() > 1 ? ",\n" : "\n";
    json += fmt::format(
        R"({}: {{"QueryType":{},"Original":{},"Target":{},"Instructions":{{"OperatorType":"Route","Variant":{},)"
        R"("Keyspace":{{"Name":{}}},"Query":{},"Vindex":{}}},"ExecCount":{}}})",
        base::json_string(use.target + ": " + use.query), base::json_string(query_type(use.query)),
        base::json_string(use.query), base::json_string(use.target), base::json_string(use.plan),
        base::json_string(use.keyspace), base::json_string(use.sent.empty() ? use.query : use.sent),
        base::json_string(use.vindex), use.count);
  }
  return json + "\n}\n";
}

// ?order=time|count|rows|errors&limit=
rpc::HttpResponse statement_page(const rpc::HttpRequest& request, const Gate& gate) {
  const auto given = request.query.find("order");
  const auto order = parse_statement_order(given == request.query.end() ? "time" : given->second);
  if (!order.ok()) return rpc::HttpResponse::error(order.error());
  const auto limit = rpc::number_of(request, "limit", 500, 100'000);
  if (!limit.ok()) return rpc::HttpResponse::error(limit.error());
  return rpc::HttpResponse::json(statements_json(top_statements(gate.statements(), *order, *limit)));
}

}  // namespace

void add_pages(rpc::HttpServer& http, Gate& gate) {
  using rpc::HttpRequest;
  using rpc::HttpResponse;
  http.handle("/debug/vschema", [&](const HttpRequest&) { return HttpResponse::json(vschema_json(gate)); });
  http.handle("/debug/schema", [&](const HttpRequest&) { return HttpResponse::json(schema_json(gate)); });
  http.handle("/debug/srv_keyspace", [&](const HttpRequest&) { return HttpResponse::json(srv_keyspaces_json(gate)); });
  http.handle("/debug/gateway", [&](const HttpRequest&) { return HttpResponse::html(targets_html(gate)); });
  http.handle("/debug/query_plans", [&](const HttpRequest&) { return HttpResponse::json(plans_json(gate.plans())); });
  http.handle("/debug/query_stats", [&](const HttpRequest& request) { return statement_page(request, gate); });
  http.handle("/debug/scatter_stats", [&](const HttpRequest& request) {
    const auto limit = rpc::number_of(request, "limit", 100, 100'000);
    if (!limit.ok()) return HttpResponse::error(limit.error());
    return HttpResponse::json(scatter_json(gate.statements(), *limit));
  });
  http.add_status_part("Tablets", [&] { return targets_html(gate); });
  rpc::add_query_pages(http, gate.query_log(), [&] {
    std::vector<rpc::QueryUse> uses;
    for (PlanUse& use : gate.plans()) {
      uses.push_back({std::move(use.query), std::move(use.target), std::move(use.plan), use.count});
    }
    return uses;
  });
}

}  // namespace vitrail::gate

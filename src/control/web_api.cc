#include "control/web_api.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/settings.h"
#include "base/text.h"
#include "control/client/client.h"
#include "control/legacy/legacy.h"
#include "topo/decode.h"
#include "topo/tablet.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
using nlohmann::json;
using namespace std::chrono_literals;

// Bytes of a query or file may be no UTF-8: they are replaced.
std::string dump(const json& document) { return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

Result<std::string> record_json(const google::protobuf::Message& message) {
  ASSIGN_OR_RETURN(std::string text, topo::to_json(message, {.print_defaults = true, .pretty = true}));
  return text + "\n";
}

Result<json> record_object(const google::protobuf::Message& message) {
  ASSIGN_OR_RETURN(const std::string text, topo::to_json(message, {.print_defaults = true}));
  return json::parse(text);
}

std::string query_value(const rpc::HttpRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? "" : found->second;
}

// "a/b/c" -> "a", leaving "b/c".
std::string take_segment(std::string_view& rest) {
  const size_t slash = rest.find('/');
  std::string segment(rest.substr(0, slash));
  rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  return segment;
}

Result<std::vector<std::string>> parse_command(const std::string& body) {
  const json arguments = json::parse(body, nullptr, /*allow_exceptions=*/false);
  std::vector<std::string> out;
  bool good = arguments.is_array() && !arguments.empty();
  for (const json& argument : arguments.is_array() ? arguments : json::array()) {
    good = good && argument.is_string();
    if (good) out.push_back(argument.get<std::string>());
  }
  if (good) return out;
  return fail(Code::kInvalidArgument, "send the command as a JSON array of strings: [\"GetTablet\", \"zone1-100\"]");
}

Error unknown_page(const rpc::HttpRequest& request) { return fail(Code::kNotFound, "no such page: " + request.path); }

}  // namespace

template <typename Response, typename Request>
Result<Response> WebApi::ask(std::string_view method, const Request& request) {
  ASSIGN_OR_RETURN(
      const std::string bytes,
      net::block_on(loop_, vtctld_.methods().in_process()(std::string("/vtctlservice.Vtctld/").append(method),
                                                          request.SerializeAsString(), net::Wait::within(60s))));
  Response response;
  if (!response.ParseFromString(bytes)) return fail(Code::kInternal, std::string(method) + " gave no answer");
  return response;
}

Status WebApi::register_pages(rpc::HttpServer& http) {
  rpc::ServerOptions as_grpc;
  as_grpc.host = "127.0.0.1";  // Where gRPC listens is vtctld's business.
  RETURN_IF_ERROR(rpc::secure(options_.grpc_security, as_grpc));
  access_ = {.http_host = options_.http_host,
             .asks_certificates = options_.http_asks_certificates,
             .grpc = options_.grpc_security,
             .authenticate = std::move(as_grpc.authenticate)};
  http.handle("/api/", [this](const rpc::HttpRequest& request) { return answer(request); });
  return {};
}

net::Task<void> WebApi::stop() {
  co_await feed_.stop();
  co_await views_.stop();
}

rpc::HttpResponse WebApi::answer(const rpc::HttpRequest& request) {
  std::string_view rest = std::string_view(request.path).substr(std::string_view("/api/").size());
  const std::string collection = take_segment(rest);
  const bool command =
      collection == "vtctl" || collection == "run" || (collection == "schema" && rest.starts_with("apply"));
  if (command) {
    if (request.method != "POST")
      return {.status = 405, .body = "send this with POST\n", .headers = {{"Allow", "POST"}}};
    if (auto refusal = access_.refuse(request)) return std::move(*refusal);
    if (collection == "run") return run_command(request);
    if (collection == "vtctl") return run_older_command(request);
    auto applied = apply_schema(request);
    return applied.ok() ? rpc::HttpResponse::json(std::move(*applied)) : rpc::HttpResponse::error(applied.error());
  }
  if (request.method != "GET" && request.method != "HEAD") {
    return {.status = 405, .body = "this can only be read\n", .headers = {{"Allow", "GET"}}};
  }
  if (collection == "events" && rest.empty()) return feed_.open(base::split_list(query_value(request, "topics")));
  auto text = read(request, collection, rest);
  return text.ok() ? rpc::HttpResponse::json(std::move(*text)) : rpc::HttpResponse::error(text.error());
}

Result<std::string> WebApi::read(const rpc::HttpRequest& request, std::string_view collection, std::string_view rest) {
  const auto keyspace_names = [&]() -> Result<std::vector<std::string>> {
    ASSIGN_OR_RETURN(const auto found, ask<vd::GetKeyspacesResponse>("GetKeyspaces", vd::GetKeyspacesRequest()));
    std::vector<std::string> names;
    for (const auto& keyspace : found.keyspaces()) names.push_back(keyspace.name());
    std::ranges::sort(names);
    return names;
  };
  const auto cell_names = [&]() -> Result<std::vector<std::string>> {
    ASSIGN_OR_RETURN(const auto found,
                     ask<vd::GetCellInfoNamesResponse>("GetCellInfoNames", vd::GetCellInfoNamesRequest()));
    std::vector<std::string> names(found.names().begin(), found.names().end());
    std::ranges::sort(names);
    return names;
  };
  const auto tablets_of = [&](const std::string& keyspace, const std::string& shard,
                              const std::string& cells) -> Result<vd::GetTabletsResponse> {
    vd::GetTabletsRequest wanted;
    wanted.set_keyspace(keyspace);
    wanted.set_shard(shard);
    for (const std::string& cell : base::split_list(cells)) wanted.add_cells(cell);
    return ask<vd::GetTabletsResponse>("GetTablets", wanted);
  };

  if (collection == "cells" && rest.empty()) {
    ASSIGN_OR_RETURN(const auto names, cell_names());
    return dump(names);
  }
  if (collection == "keyspaces") {
    const std::string name = take_segment(rest);
    if (name.empty()) {
      ASSIGN_OR_RETURN(const auto names, keyspace_names());
      return dump(names);
    }
    vd::GetKeyspaceRequest wanted;
    wanted.set_keyspace(name);
    ASSIGN_OR_RETURN(const auto found, ask<vd::GetKeyspaceResponse>("GetKeyspace", wanted));
    return record_json(found.keyspace().keyspace());
  }
  if (collection == "keyspace") {
    const std::string keyspace = take_segment(rest);
    if (keyspace.empty() || take_segment(rest) != "tablets") return unknown_page(request);
    ASSIGN_OR_RETURN(const auto found,
                     tablets_of(keyspace, take_segment(rest),
                                query_value(request, query_value(request, "cells").empty() ? "cell" : "cells")));
    json list = json::array();
    for (const auto& tablet : found.tablets()) {
      ASSIGN_OR_RETURN(json object, record_object(tablet));
      list.push_back(std::move(object));
    }
    return dump(list);
  }
  if (collection == "shards") {
    const std::string keyspace = take_segment(rest);
    const std::string shard = take_segment(rest);
    if (keyspace.empty()) return unknown_page(request);
    if (shard.empty()) {
      vd::FindAllShardsInKeyspaceRequest wanted;
      wanted.set_keyspace(keyspace);
      ASSIGN_OR_RETURN(const auto found, ask<vd::FindAllShardsInKeyspaceResponse>("FindAllShardsInKeyspace", wanted));
      std::vector<std::string> names;
      for (const auto& [name, info] : found.shards()) names.push_back(name);
      std::ranges::sort(names);
      return dump(names);
    }
    vd::GetShardRequest wanted;
    wanted.set_keyspace(keyspace);
    wanted.set_shard_name(shard);
    ASSIGN_OR_RETURN(const auto found, ask<vd::GetShardResponse>("GetShard", wanted));
    return record_json(found.shard().shard());
  }
  if (collection == "srv_keyspace") {
    std::string cell = take_segment(rest);
    if (cell == "local") cell = options_.cell;
    const std::string keyspace = take_segment(rest);
    if (cell.empty()) return unknown_page(request);
    const auto one = [&](const std::string& name) -> Result<vd::GetSrvKeyspacesResponse> {
      vd::GetSrvKeyspacesRequest wanted;
      wanted.set_keyspace(name);
      wanted.add_cells(cell);
      return ask<vd::GetSrvKeyspacesResponse>("GetSrvKeyspaces", wanted);
    };
    if (!keyspace.empty()) {
      ASSIGN_OR_RETURN(const auto found, one(keyspace));
      const auto record = found.srv_keyspaces().find(cell);
      if (record == found.srv_keyspaces().end()) {
        return fail(Code::kNotFound, fmt::format("no serving graph of {} in cell {}", keyspace, cell));
      }
      return record_json(record->second);
    }
    ASSIGN_OR_RETURN(const auto names, keyspace_names());
    json all = json::object();
    for (const std::string& name : names) {
      const auto found = one(name);
      if (!found.ok() && found.error().code() == Code::kNotFound) continue;  // Not served in this cell.
      if (!found.ok()) return found.error();
      const auto record = found->srv_keyspaces().find(cell);
      if (record == found->srv_keyspaces().end()) continue;
      ASSIGN_OR_RETURN(all[name], record_object(record->second));
    }
    return dump(all);
  }
  if (collection == "tablets") {
    const std::string alias = take_segment(rest);
    if (!alias.empty()) {
      vd::GetTabletRequest wanted;
      ASSIGN_OR_RETURN(*wanted.mutable_tablet_alias(), topo::parse_alias(alias));
      ASSIGN_OR_RETURN(const auto found, ask<vd::GetTabletResponse>("GetTablet", wanted));
      return record_json(found.tablet());
    }
    const std::string shard = query_value(request, "shard");
    const size_t slash = shard.find_first_of("/:");
    ASSIGN_OR_RETURN(const auto found,
                     tablets_of(shard.substr(0, slash), slash == std::string::npos ? "" : shard.substr(slash + 1),
                                query_value(request, "cell")));
    json list = json::array();
    for (const auto& tablet : found.tablets()) {
      list.push_back({{"cell", tablet.alias().cell()}, {"uid", tablet.alias().uid()}});
    }
    return dump(list);
  }
  if (collection == "topodata") {
    vd::GetTopologyPathRequest wanted;
    wanted.set_path("/" + std::string(rest));
    const auto found = ask<vd::GetTopologyPathResponse>("GetTopologyPath", wanted);
    json out = {{"Error", found.ok() ? "" : found.error().message()}, {"Children", json::array()}, {"Text", ""}};
    if (found.ok()) {
      for (const std::string& child : found->cell().children()) out["Children"].push_back(child);
      out["Text"] = found->cell().data();
    }
    return dump(out);
  }
  if (collection == "topology_info") {
    ASSIGN_OR_RETURN(const auto keyspaces, keyspace_names());
    ASSIGN_OR_RETURN(const auto cells, cell_names());
    const std::string keyspace = query_value(request, "keyspace");
    ASSIGN_OR_RETURN(const auto tablets,
                     tablets_of(keyspace == "all" ? "" : keyspace, "",
                                query_value(request, "cell") == "all" ? "" : query_value(request, "cell")));
    std::vector<std::string> types;
    for (const auto& tablet : tablets.tablets()) types.emplace_back(topo::tablet_type_to_string(tablet.type()));
    std::ranges::sort(types);
    types.erase(std::unique(types.begin(), types.end()), types.end());
    return dump({{"Keyspaces", keyspaces}, {"Cells", cells}, {"TabletTypes", types}});
  }
  if (collection == "views" && !rest.empty()) return net::block_on(loop_, views_.make(std::string(rest)));
  if (collection == "schema" && !rest.empty()) return read_schema(take_segment(rest));
  if (collection == "access" && rest.empty()) {
    const Status allowed = access_.check(request);
    return dump({{"commands", allowed.ok()},
                 {"grpc_port", vtctld_.grpc_port()},
                 {"sign_in", !allowed.ok() && allowed.error().code() == Code::kUnauthenticated},
                 {"why", allowed.ok() ? "" : allowed.error().message()}});
  }
  if (collection == "features" && rest.empty()) {
    return dump({{"activeReparents", true},
                 {"showStatus", false},
                 {"showTopologyCRUD", false},
                 {"showWorkflows", vtctld_.workflow_manager() != nullptr},
                 {"workflows", vtctld_.workflow_factories()}});
  }
  return unknown_page(request);
}

rpc::HttpResponse WebApi::run_command(const rpc::HttpRequest& request) {
  const auto arguments = parse_command(request.body);
  if (!arguments.ok()) return rpc::HttpResponse::error(arguments.error());
  base::Settings settings("vtctldclient", "commands for a Vitrail cluster");
  CommandSet commands(settings);
  bool compact = false;
  settings.add("compact", &compact, "leave empty fields out of JSON");
  json out = {{"Error", ""}, {"Output", ""}};
  std::string output;
  const auto parsed = settings.parse(*arguments);
  if (!parsed.ok()) {
    out["Error"] = parsed.error().to_string();
  } else if (*parsed != base::Settings::Outcome::kRun) {
    output = settings.help();
  } else {
    ClientContext context{.vtctld = vtctld_.methods().in_process(),
                          .compact = compact,
                          .arguments = settings.positional(),
                          .who = access_.caller_of(request),
                          .read_file = [](const std::string& path) -> Result<std::string> {
                            return fail(Code::kInvalidArgument,
                                        "files are not read here: send what is in " + path + " itself");
                          },
                          .show = [&output](std::string_view text) { output += text; },
                          .streams = streams_of(vtctld_.methods())};
    auto done = net::block_on(loop_, commands.run(context));
    if (done.ok()) output += *done;
    if (!done.ok()) out["Error"] = done.error().to_string();
  }
  out["Output"] = output;
  return rpc::HttpResponse::json(dump(out));
}

rpc::HttpResponse WebApi::run_older_command(const rpc::HttpRequest& request) {
  auto arguments = parse_command(request.body);
  if (!arguments.ok()) return rpc::HttpResponse::error(arguments.error());
  json out = {{"Error", ""}, {"Output", ""}};
  std::string output;
  const auto take = [](std::string& all, std::string text) -> net::Task<Status> {
    all += text;
    co_return Status{};
  };
  const LegacyEnvironment environment{
      .tablets = vtctld_.tablets(),
      .vtctld = vtctld_.methods().in_process(),
      .report = [&](LegacyLevel, std::string text) { return take(output, std::move(text)); },
      .streams = streams_of(vtctld_.methods()),
      .workflow_factories = vtctld_.workflow_manager() == nullptr ? nullptr : &vtctld_.workflow_factories(),
      .who = access_.caller_of(request)};
  const Status done = net::block_on(loop_, run_legacy_command(environment, std::move(*arguments)));
  if (!done.ok() && done.error().code() == Code::kUnimplemented && output.empty()) {
    return rpc::HttpResponse::error(done.error());
  }
  out["Output"] = output;
  if (!done.ok()) out["Error"] = done.error().message();
  return rpc::HttpResponse::json(dump(out));
}

// The tables of each shard, as its primary has them.
Result<std::string> WebApi::read_schema(const std::string& keyspace) {
  vd::FindAllShardsInKeyspaceRequest all;
  all.set_keyspace(keyspace);
  ASSIGN_OR_RETURN(const auto shards, ask<vd::FindAllShardsInKeyspaceResponse>("FindAllShardsInKeyspace", all));
  json out = json::object();
  for (const auto& [name, shard] : shards.shards()) {
    if (!shard.shard().has_primary_alias()) {
      out[name] = {{"error", "the shard has no primary"}};
      continue;
    }
    vd::GetSchemaRequest wanted;
    *wanted.mutable_tablet_alias() = shard.shard().primary_alias();
    wanted.set_include_views(true);
    const auto found = ask<vd::GetSchemaResponse>("GetSchema", wanted);
    if (!found.ok()) {
      out[name] = {{"error", found.error().message()}};
      continue;
    }
    ASSIGN_OR_RETURN(out[name], record_object(found->schema()));
  }
  return dump(out);
}

Result<std::string> WebApi::apply_schema(const rpc::HttpRequest& request) {
  const json body = json::parse(request.body, nullptr, /*allow_exceptions=*/false);
  const auto text = [&](const char* key) {
    return body.is_object() && body.contains(key) && body[key].is_string() ? body[key].get<std::string>() : "";
  };
  vd::ApplySchemaRequest wanted;
  wanted.set_keyspace(text("Keyspace"));
  if (!text("SQL").empty()) wanted.add_sql(text("SQL"));
  wanted.set_ddl_strategy(text("DDLStrategy"));
  if (wanted.keyspace().empty() || wanted.sql().empty()) {
    return fail(Code::kInvalidArgument, "send {\"Keyspace\": \"...\", \"SQL\": \"...\"}");
  }
  ASSIGN_OR_RETURN(const auto done, ask<vd::ApplySchemaResponse>("ApplySchema", wanted));
  return record_json(done);
}

}  // namespace vitrail::control

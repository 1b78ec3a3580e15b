#pragma once

#include <fmt/core.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/client/client.h"
#include "topo/tablet.h"
#include "vtctldata.pb.h"

// What the files with commands share: most commands are one call, and differ in how the request is filled and what of
// the response is printed.
namespace vitrail::control {

using Output = net::Task<Result<std::string>>;

template <typename Request, typename Response>
struct Call {
  std::string method;
  std::function<Status(const ClientContext& context, Request& request)> fill;
  std::function<Result<std::string>(const ClientContext& context, const Response& response)> print;
};

template <typename Request, typename Response>
Output run_call(const ClientContext& context, std::shared_ptr<const Call<Request, Response>> call) {
  Request request;
  if (call->fill) CO_RETURN_IF_ERROR(call->fill(context, request));
  auto response = co_await context.call<Response>(call->method, std::move(request));
  if (!response.ok()) co_return std::move(response).error();
  co_return call->print ? call->print(context, *response) : Result<std::string>(std::string());
}

// A command of the method's name. Without `print` it prints nothing.
template <typename Request, typename Response>
base::Settings& add_call(CommandSet& set, std::string_view name, std::string_view description,
                         std::function<Status(const ClientContext&, Request&)> fill = {},
                         std::function<Result<std::string>(const ClientContext&, const Response&)> print = {},
                         std::string_view method = {}, std::vector<std::string> aliases = {}) {
  auto call = std::make_shared<const Call<Request, Response>>(
      Call<Request, Response>{std::string(method.empty() ? name : method), std::move(fill), std::move(print)});
  return set.add(
      set.root(), name, description, [call](const ClientContext& context) { return run_call(context, call); },
      std::move(aliases));
}

// For `print`: the response as it is.
template <typename Response>
Result<std::string> print_json(const ClientContext& context, const Response& response) {
  return context.json(response);
}

// A map of messages as one JSON object, sorted by key.
template <typename Map>
Result<std::string> json_map(const ClientContext& context, const Map& map) {
  std::map<std::string, std::string> parts;
  for (const auto& [key, message] : map) {
    ASSIGN_OR_RETURN(parts[key], context.plain_json(message));
  }
  return json_object(parts);
}

// A list of messages as one JSON array.
template <typename List>
Result<std::string> json_list(const ClientContext& context, const List& list) {
  std::vector<std::string> parts;
  for (const auto& message : list) {
    ASSIGN_OR_RETURN(std::string text, context.plain_json(message));
    parts.push_back(std::move(text));
  }
  return json_array(parts);
}

// Fills in a request's tablet_alias from the first argument.
template <typename Request>
Status fill_alias(const ClientContext& context, Request& request) {
  ASSIGN_OR_RETURN(*request.mutable_tablet_alias(), topo::parse_alias(context.arguments[0]));
  return {};
}

// keyspace and shard from the first argument, "ks/shard".
template <typename Request>
Status fill_shard(const ClientContext& context, Request& request) {
  ASSIGN_OR_RETURN(auto name, parse_keyspace_shard(context.arguments[0]));
  request.set_keyspace(std::move(name.first));
  request.set_shard(std::move(name.second));
  return {};
}

}  // namespace vitrail::control

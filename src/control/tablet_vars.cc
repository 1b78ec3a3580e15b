#include "control/tablet_vars.h"

#include <nlohmann/json.hpp>

#include "control/http_client.h"
#include "topo/tablet.h"

namespace vitrail::control {

net::Task<Result<std::string>> read_version(::topodata::Tablet tablet, net::Wait wait) {
  const auto port = tablet.port_map().find(std::string(topo::kPortHttp));
  const std::string who = "tablet " + topo::alias_to_string(tablet.alias());
  if (port == tablet.port_map().end() || port->second == 0) {
    co_return fail(Code::kFailedPrecondition, who + " announces no HTTP port");
  }
  auto body = co_await http_get(tablet.hostname(), static_cast<uint16_t>(port->second), http_client_has_tls(),
                                "/debug/vars", wait);
  if (!body.ok()) co_return std::move(body).error().with_context("version of " + who);
  const auto vars = nlohmann::json::parse(*body, nullptr, false);
  const auto text = [&](const char* name) {
    const auto value = vars.is_object() ? vars.find(name) : vars.end();
    return vars.is_object() && value != vars.end() && value->is_string() ? value->get<std::string>() : std::string();
  };
  if (std::string version = text("BuildVersion"); !version.empty()) co_return version;
  if (!text("BuildGitRev").empty()) {
    co_return "{" + text("BuildHost") + " " + text("BuildUser") + " " + text("BuildTimestamp") + " " +
        text("BuildGitRev") + "}";
  }
  co_return fail(Code::kDataLoss, who + " does not tell its version");
}

}  // namespace vitrail::control

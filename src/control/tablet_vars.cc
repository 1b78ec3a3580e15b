#include "control/tablet_vars.h"

#include <nlohmann/json.hpp>

#include "net/socket.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

constexpr size_t kAnswerBytesMax = 8 << 20;

// The body of GET `path`, by HTTP/1.0: the server closes the connection behind it.
net::Task<Result<std::string>> http_get(std::string host, uint16_t port, std::string path, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto socket, co_await net::Socket::connect_tcp(host, port, wait));
  const std::string request = "GET " + path + " HTTP/1.0\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
  CO_RETURN_IF_ERROR(co_await socket.write_all(request, wait));
  std::string answer;
  std::string buffer(16'384, '\0');
  for (;;) {
    CO_ASSIGN_OR_RETURN(const size_t read, co_await socket.read_some(buffer, wait));
    if (read == 0) break;
    answer.append(buffer, 0, read);
    if (answer.size() > kAnswerBytesMax) co_return fail(Code::kResourceExhausted, "the answer is too long");
  }
  const size_t head_end = answer.find("\r\n\r\n");
  const size_t blank = answer.find(' ');
  if (!answer.starts_with("HTTP/1.") || head_end == std::string::npos || answer.compare(blank + 1, 3, "200") != 0) {
    co_return fail(Code::kUnavailable, "the answer is not HTTP 200: " + answer.substr(0, answer.find('\r')));
  }
  co_return answer.substr(head_end + 4);
}

}  // namespace

net::Task<Result<std::string>> read_version(::topodata::Tablet tablet, net::Wait wait) {
  const auto port = tablet.port_map().find(std::string(topo::kPortHttp));
  const std::string who = "tablet " + topo::alias_to_string(tablet.alias());
  if (port == tablet.port_map().end() || port->second == 0) {
    co_return fail(Code::kFailedPrecondition, who + " announces no HTTP port");
  }
  auto body = co_await http_get(tablet.hostname(), static_cast<uint16_t>(port->second), "/debug/vars", wait);
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

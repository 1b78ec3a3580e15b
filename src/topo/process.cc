#include "topo/process.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/version.h"
#include "topo/paths.h"
#include "topo/record_io.h"

namespace vitrail::topo {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr base::Duration kFarewell = 1s;
constexpr base::Duration kPauseMax = 10s;

std::string process_dir(const std::string& program, const std::string& name) {
  return std::string(kProcessesDir) + "/" + program + "/" + name;
}

}  // namespace

std::string Process::to_json() const {
  return json{{"Program", program}, {"Host", host}, {"Port", port},           {"HttpTls", http_tls},
              {"Version", version}, {"Cell", cell}, {"StartedMs", started_ms}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Process> Process::from_json(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  const Error bad = fail(Code::kDataLoss, "this is no announcement of a process");
  if (!document.is_object()) return bad;
  Process out;
  const auto string = [&](const char* name, std::string& into) {
    if (const auto value = document.find(name); value != document.end() && value->is_string()) into = *value;
  };
  string("Program", out.program);
  string("Host", out.host);
  string("Version", out.version);
  string("Cell", out.cell);
  const auto port = document.find("Port");
  if (port == document.end() || !port->is_number_unsigned() || *port == 0 || *port > 65535) return bad;
  out.port = *port;
  if (const auto tls = document.find("HttpTls"); tls != document.end() && tls->is_boolean()) out.http_tls = *tls;
  if (const auto at = document.find("StartedMs"); at != document.end() && at->is_number_integer()) out.started_ms = *at;
  if (out.program.empty() || out.host.empty()) return bad;
  return out;
}

net::Task<Result<std::vector<Process>>> list_processes(Server& server) {
  Store& store = server.global();
  std::vector<Process> out;
  CO_ASSIGN_OR_RETURN(const auto programs, co_await internal::names_below(store, std::string(kProcessesDir)));
  for (const std::string& program : programs) {
    CO_ASSIGN_OR_RETURN(const auto names,
                        co_await internal::names_below(store, std::string(kProcessesDir) + "/" + program));
    for (const std::string& name : names) {
      CO_ASSIGN_OR_RETURN(const auto queue, co_await store.lock_queue(process_dir(program, name)));
      if (queue.empty()) continue;  // It has just ended.
      // The newest one: the one before has died, and its lease has not ended yet.
      auto process = Process::from_json(queue.back().contents);
      if (process.ok()) out.push_back(std::move(*process));
    }
  }
  std::ranges::sort(out, {}, [](const Process& p) { return std::tie(p.program, p.host, p.port); });
  co_return out;
}

Announcement::Announcement(Server& server, Process process, std::string bind_address)
    : server_(server), process_(std::move(process)) {
  process_.host = std::move(bind_address);
  if (process_.host.empty() || process_.host == "0.0.0.0" || process_.host == "::") {
    std::array<char, 256> name{};
    process_.host = gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
  }
  process_.version = base::kProjectVersion;
  process_.started_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(server.clock().wall_now().time_since_epoch()).count();
}

net::Task<void> Announcement::start() {
  scope_.spawn(hold(server_, process_, scope_.token()));
  co_return;
}

net::Task<void> Announcement::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

net::Task<void> Announcement::hold(Server& server, Process process, net::CancelToken cancel) {
  const std::string dir = process_dir(process.program, process.host + ":" + std::to_string(process.port));
  base::Duration pause = 500ms;
  while (!cancel.cancelled()) {
    auto lock = co_await server.global().lock(
        dir, process.to_json(), {.wait = {.cancel = cancel}, .ttl = kAnnouncementTtl, .require_dir = false});
    if (lock.ok()) {
      pause = 500ms;
      static_cast<void>(co_await (*lock)->wait_lost({.cancel = cancel}));
      if (cancel.cancelled()) static_cast<void>(co_await (*lock)->unlock(net::Wait::within(kFarewell)));
    } else if (lock.error().code() == Code::kPermissionDenied || lock.error().code() == Code::kUnauthenticated) {
      static base::LogLimit limit(1h);
      if (limit.allow()) log_warning("vtctld's pages will not show this process: {}", lock.error().message());
    }
    if (!(co_await net::sleep_for(pause, cancel)).ok()) break;
    pause = std::min(pause * 2, kPauseMax);
  }
}

}  // namespace vitrail::topo

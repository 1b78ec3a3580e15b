// What vtorc shows: its API and its part of the status page.
#include <fmt/core.h>

#include <ctime>

#include "base/text.h"
#include "control/web_access.h"
#include "orc/orc.h"
#include "rpc/http.h"

namespace vitrail::orc {
namespace {

std::string time_text(base::WallTime time) {
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string query_value(const rpc::HttpRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? "" : found->second;
}

}  // namespace

std::string Orc::seen_json() const {
  std::string json = "[";
  const std::scoped_lock lock(mutex_);
  for (const auto& [name, problems] : seen_) {
    for (const Seen& seen : problems) {
      json += fmt::format(
          R"({}{{"AnalyzedInstanceAlias":{},"AnalyzedKeyspace":{},"AnalyzedShard":{},"Analysis":{},"Description":{},)"
          R"("Detail":{},"Recovery":{},"Since":{}}})",
          json.size() > 1 ? ",\n" : "\n", base::json_string(seen.tablet), base::json_string(seen.keyspace),
          base::json_string(seen.shard), base::json_string(problem_name(seen.problem)),
          base::json_string(problem_text(seen.problem)), base::json_string(seen.detail),
          base::json_string(recovery_name(seen.recovery)), base::json_string(time_text(seen.since)));
    }
  }
  return json + "\n]\n";
}

std::string Orc::history_json() const {
  std::string json = "[";
  const std::scoped_lock lock(mutex_);
  for (auto done = history_.rbegin(); done != history_.rend(); ++done) {
    json += fmt::format(
        R"({}{{"Time":{},"Keyspace":{},"Shard":{},"Alias":{},"Analysis":{},"Recovery":{},"Successful":{},"DryRun":{},)"
        R"("Milliseconds":{},"Error":{}}})",
        json.size() > 1 ? ",\n" : "\n", base::json_string(time_text(done->at)), base::json_string(done->keyspace),
        base::json_string(done->shard), base::json_string(done->tablet), base::json_string(problem_name(done->problem)),
        base::json_string(recovery_name(done->recovery)), done->successful, done->dry,
        std::chrono::duration_cast<std::chrono::milliseconds>(done->took).count(), base::json_string(done->outcome));
  }
  return json + "\n]\n";
}

std::string Orc::page() const {
  using rpc::html_escape;
  std::string html = fmt::format("<p>Recoveries are {}.</p>", !enabled_ ? "switched off (/api/enable-global-recoveries)"
                                                              : options_.dry_run ? "only told (--dry-run)"
                                                                                 : "switched on");
  const std::scoped_lock lock(mutex_);
  html += "<table><tr><th>Shard</th><th>Tablet</th><th>Problem</th><th>Since</th><th>Recovery</th></tr>";
  for (const auto& [name, problems] : seen_) {
    if (problems.empty()) html += fmt::format("<tr><td>{}</td><td colspan=4>well</td></tr>", html_escape(name));
    for (const Seen& seen : problems) {
      html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}: {}</td><td>{}</td><td>{}</td></tr>", html_escape(name),
                          html_escape(seen.tablet), problem_name(seen.problem), problem_text(seen.problem),
                          time_text(seen.since), recovery_name(seen.recovery));
    }
  }
  html +=
      "</table><h3>Recoveries</h3><table><tr><th>Time</th><th>Shard</th><th>Tablet</th><th>Problem</th><th>Recovery</"
      "th>"
      "<th>Outcome</th></tr>";
  for (auto done = history_.rbegin(); done != history_.rend(); ++done) {
    html += fmt::format(
        "<tr><td>{}</td><td>{}/{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", time_text(done->at),
        html_escape(done->keyspace), html_escape(done->shard), html_escape(done->tablet), problem_name(done->problem),
        recovery_name(done->recovery),
        done->dry ? "not done: --dry-run"
        : done->successful
            ? fmt::format("{} ms", std::chrono::duration_cast<std::chrono::milliseconds>(done->took).count())
            : html_escape(done->outcome));
  }
  return html + "</table>";
}

void Orc::add_pages(rpc::HttpServer& http, const control::WebAccess& access) {
  using rpc::HttpRequest;
  using rpc::HttpResponse;
  http.handle("/api/problems", [this](const HttpRequest&) { return HttpResponse::json(seen_json()); });
  http.handle("/api/detection-analysis", [this](const HttpRequest&) { return HttpResponse::json(seen_json()); });
  http.handle("/api/replication-analysis", [this](const HttpRequest&) { return HttpResponse::json(seen_json()); });
  http.handle("/api/recoveries", [this](const HttpRequest&) { return HttpResponse::json(history_json()); });
  http.handle("/api/database-state", [this](const HttpRequest& request) {
    const std::string keyspace = query_value(request, "keyspace");
    std::string json = "{";
    const std::scoped_lock lock(mutex_);
    for (const auto& [name, tablets] : views_) {
      if (!keyspace.empty() && !name.starts_with(keyspace + "/")) continue;
      json += fmt::format("{}{}:{}", json.size() > 1 ? ",\n" : "\n", base::json_string(name), tablets);
    }
    return HttpResponse::json(json + "\n}\n");
  });
  const auto toggle = [this, &access](bool on) {
    return [this, on, access](const HttpRequest& request) {
      if (auto refusal = access.refuse(request)) return std::move(*refusal);
      enabled_ = on;
      return HttpResponse{.body = on ? "Global recoveries enabled\n" : "Global recoveries disabled\n"};
    };
  };
  http.handle("/api/enable-global-recoveries", toggle(true));
  http.handle("/api/disable-global-recoveries", toggle(false));
  http.add_status_part("Shards", [this] { return page(); });
}

}  // namespace vitrail::orc

#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/clock.h"
#include "net/scope.h"
#include "topo/process.h"
#include "topodata.pb.h"

namespace vitrail::control {

// "0.1.0" of a tablet's "Version: 24.0.0 (Vitrail 0.1.0)"; other texts as they are.
std::string short_version(const std::string& text);

// What one vtgate says of its statements: the body of its /debug/query_stats.
struct GateAnswer {
  std::string gate;  // "host:port"
  Result<std::string> body;
};
// {"statements": [{"query", "target", "plan", "keyspace", "vindex", "sent", "count", "errors", "rows", "time_ns",
// "longest_ns", "gates": [...]}], "gates": [{"name", "error"}]}: the same statements of several gates added up, the
// first `limit` by `order` ("time", "count", "rows", "errors").
nlohmann::json merge_statements(const std::vector<GateAnswer>& answers, const std::string& order, size_t limit);

// Which versions run, and what vtgates have to do: for pages.
//   Threads: one loop. `topology` outlives it. stop() before destruction.
class ProcessViews {
 public:
  static constexpr size_t kAskedAtOnce = 32;
  static constexpr size_t kStatements = 100;

  explicit ProcessViews(topo::Server& topology) : topology_(topology) {}

  // {"processes": [{"program", "host", "port", "tls", "version", "cell", "started_ms"}], "own_version", "tablets":
  // {"<version>": n}, "other_tablets": [{"tablet", "shard", "version", "error"}], "asked": n, "total": n}. Tablets are
  // asked while somebody wants to know, and nobody waits for them; `other_tablets`: not of our version, at most 200.
  net::Task<Result<nlohmann::json>> processes(std::vector<::topodata::Tablet> tablets);
  // merge_statements() of all vtgates. kInvalidArgument: no such order.
  net::Task<Result<nlohmann::json>> queries(std::string order);
  net::Task<void> stop();

 private:
  struct Version {
    bool known = false;
    bool asked = false;
    std::string text;
    std::string error;
    base::TimePoint heard;
  };
  static net::Task<void> ask(ProcessViews& self, ::topodata::Tablet tablet);

  topo::Server& topology_;
  std::map<std::string, Version> versions_;  // By alias.
  net::Scope scope_;
};

}  // namespace vitrail::control

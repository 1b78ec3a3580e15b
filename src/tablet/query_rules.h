#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "net/cancel.h"
#include "net/task.h"
#include "tablet/query_guard.h"

namespace vitrail::topo {
class Server;
}

namespace vitrail::tablet {

// Rules that an operator gives to keep statements from the server, as Vitess writes them:
//   [{"Name": "r1", "Description": "no scans of log", "User": "batch.*", "Query": "select .* from log.*",
//     "LeadingComment": "..", "TrailingComment": "..", "Plans": ["Select"], "TableNames": ["log"], "Action": "FAIL"}]
// A rule is for a statement when all that it names fits: expressions (ECMAScript's) match the whole of it, of the lists
// one entry. "Query" sees the statement without comments and with :vtg1, :vtg2 ... in the place of values; of a text
// that is longer than kQuerySeen its beginning. The first rule for a statement that says FAIL or FAIL_RETRY decides.
class QueryRules {
 public:
  static constexpr size_t kQuerySeen = 4096;

  enum class Action : uint8_t { kContinue, kFail, kFailRetry };
  struct Question {
    const StatementInfo& info;
    std::string_view text;
    std::string_view user;
  };
  struct Verdict {
    Action action = Action::kContinue;
    std::string name, description;  // Of the rule.
  };

  // kInvalidArgument lists everything that is wrong. kUnimplemented: RequestIP, BindVarConds, and the action BUFFER.
  static Result<QueryRules> parse(std::string_view json);

  bool empty() const { return rules_.empty(); }
  // Whether a rule asks for the user.
  bool needs_user() const;
  Verdict judge(const Question& question) const;
  // Those of `more` behind these.
  void append(const QueryRules& more) { rules_.insert(rules_.end(), more.rules_.begin(), more.rules_.end()); }
  // As they were given, as one list.
  std::string to_json() const;

 private:
  struct Rule {
    std::string name, description;
    std::shared_ptr<const std::regex> user, query, leading, trailing;  // Null: any.
    std::vector<std::string> plans, tables;                            // Lower case; empty: any.
    Action action = Action::kContinue;
    std::string json;
  };
  friend class RuleParser;
  std::vector<Rule> rules_;
};

// The comments before and behind a statement: "/* a */ select 1 /* b */" gives "/* a */ " and " /* b */".
struct MarginComments {
  std::string_view leading, statement, trailing;
};
MarginComments split_comments(std::string_view text);

struct QueryRulesSettings {
  std::string file;       // --filecustomrules
  bool watch = false;     // And look each second whether it has changed.
  bool topology = false;  // Others come from there: set_topology().
  bool enabled() const { return !file.empty() || topology; }
};

// The rules in force, and their counters. Any thread.
class QueryRulesKeeper {
 public:
  QueryRulesKeeper(QueryRulesSettings settings, base::Metrics& metrics);

  // At start: a file that cannot be used is an error.
  Status load();
  // Reads the file again; one that cannot be used changes nothing, and the log says so.
  void reload();
  // The rules of the topology ("": none), which come behind the file's. Those that cannot be used change nothing.
  Status set_topology(std::string_view json);

  const QueryRulesSettings& settings() const { return settings_; }
  bool empty() const { return rules_.load()->empty(); }
  // kInvalidArgument "disallowed due to rule: <description>"; for FAIL_RETRY kFailedPrecondition, so that vtgate may
  // try again.
  Status check(const QueryRules::Question& question) const;
  std::string to_json() const { return rules_.load()->to_json(); }

 private:
  Status load_file();
  void put_together();

  const QueryRulesSettings settings_;
  mutable std::mutex mutex_;  // Guards the next two.
  QueryRules file_rules_, topology_rules_;
  std::string file_text_;
  std::atomic<std::shared_ptr<const QueryRules>> rules_;
  base::Family<base::Counter>& refused_;
};

// Keeps the keeper's rules of the topology those of a record, until `cancel`. A record that is not there is no rules;
// while the topology is away they stay as they were.
net::Task<void> follow_query_rules(topo::Server& topology, std::string cell, std::string path, QueryRulesKeeper& keeper,
                                   net::CancelToken cancel);

}  // namespace vitrail::tablet

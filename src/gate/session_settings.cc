#include "gate/session_settings.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

namespace vitrail::gate {
namespace {

using Names = std::set<std::string_view, std::less<>>;

const Names& gate_variables() {
  static const Names names = {"autocommit",        "transaction_mode",    "query_timeout",
                              "wait_timeout",      "interactive_timeout", "net_write_timeout",
                              "workload",          "ddl_strategy",        "enable_system_settings",
                              "client_found_rows", "sql_auto_is_null",    "transaction_timeout",
                              "completion_type"};
  return names;
}

// What is remembered has no effect by nature: the gate tells no client of session changes, waits for the rest of a
// message for as long as it takes, and plans afresh whenever a plan could be stale.
const Names& stored_variables() {
  static const Names names = {"migration_context",
                              "net_read_timeout",
                              "session_track_gtids",
                              "session_track_schema",
                              "session_track_state_change",
                              "session_track_system_variables",
                              "session_track_transaction_info",
                              "session_uuid",
                              "skip_query_plan_cache"};
  return names;
}

// Profiles and traces show the statements of whoever had the connection before.
const Names& refused_variables() {
  static const Names names = {"auto_increment_increment",
                              "auto_increment_offset",
                              "binlog_format",
                              "binlog_row_image",
                              "gtid_domain_id",
                              "gtid_next",
                              "gtid_seq_no",
                              "identity",
                              "insert_id",
                              "last_insert_id",
                              "optimizer_trace",
                              "profiling",
                              "pseudo_thread_id",
                              "rand_seed1",
                              "rand_seed2",
                              "read_after_write_gtid",
                              "read_after_write_timeout",
                              "server_id",
                              "skip_replication",
                              "sql_log_bin"};
  return names;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string_view unquoted(std::string_view literal) {
  const bool quoted = literal.size() >= 2 && (literal.front() == '\'' || literal.front() == '"');
  return quoted ? literal.substr(1, literal.size() - 2) : literal;
}

}  // namespace

std::string SessionSettings::assignment(const std::string& name, const std::string& literal) const {
  std::string out = "@@session." + name + " = ";
  if (name != "sql_mode" || !reading_.any()) return out + literal;
  return out + "'" + sql::split_modes(unquoted(literal)).others + "'";
}

SessionSettings::Kind SessionSettings::kind_of(std::string_view name) {
  if (gate_variables().contains(name)) return Kind::kGate;
  if (stored_variables().contains(name)) return Kind::kStored;
  if (refused_variables().contains(name)) return Kind::kRefused;
  return Kind::kServer;
}

std::string SessionSettings::canonical(std::string_view name) {
  std::string out = lower(name);
  if (out == "transaction_isolation") return "tx_isolation";
  if (out == "transaction_read_only") return "tx_read_only";
  return out;
}

void SessionSettings::set(std::string name, std::string literal) {
  // A connection's character set and its collation are one thing: the later one decides.
  if (name == "character_set_connection") values_.erase("collation_connection");
  if (name == "sql_mode") reading_ = sql::split_modes(unquoted(literal)).reading;
  values_[std::move(name)] = std::move(literal);
}

void SessionSettings::set_names(std::string_view charset, std::string_view collation) {
  const std::string quoted = "'" + std::string(charset) + "'";
  set("character_set_client", quoted);
  set("character_set_results", quoted);
  set("character_set_connection", quoted);
  if (!collation.empty()) set("collation_connection", "'" + std::string(collation) + "'");
}

void SessionSettings::set_names_default() {
  set("character_set_client", "default");
  set("character_set_results", "default");
  set("character_set_connection", "default");
}

std::string SessionSettings::text() const {
  std::string out;
  for (const auto& [name, literal] : values_) {
    out += out.empty() ? "set " : ", ";
    out += assignment(name, literal);
  }
  return out;
}

std::string SessionSettings::text_of_changes(const SessionSettings& before) const {
  std::string out;
  const auto add = [&](const std::string& name, const std::string& literal) {
    out += out.empty() ? "set " : ", ";
    out += assignment(name, literal);
  };
  for (const auto& [name, literal] : before.values_) {
    if (!values_.contains(name)) add(name, "default");
  }
  // All that is set, not the difference alone: DEFAULT of one variable may change another.
  for (const auto& [name, literal] : values_) add(name, literal);
  return out;
}

std::string SessionSettings::text_of(std::set<std::string> names, const SessionSettings& before) const {
  for (const auto& [name, literal] : before.values_) {
    const auto now = values_.find(name);
    if (now == values_.end() || now->second != literal) names.insert(name);
  }
  for (const auto& [name, literal] : values_) {
    if (!before.values_.contains(name)) names.insert(name);
  }
  std::string out;
  for (const bool to_default : {true, false}) {  // DEFAULT of a collation comes before the character set.
    for (const auto& name : names) {
      const auto now = values_.find(name);
      if ((now == values_.end()) != to_default) continue;
      out += out.empty() ? "set " : ", ";
      out += assignment(name, to_default ? "default" : now->second);
    }
  }
  return out;
}

std::vector<std::string> SessionSettings::new_numbers(const SessionSettings& before) const {
  static constexpr auto kSwitches = std::to_array<std::string_view>(
      {"big_tables", "explicit_defaults_for_timestamp", "foreign_key_checks", "keep_files_on_create",
       "low_priority_updates", "old_passwords", "sql_auto_is_null", "sql_big_selects", "sql_buffer_result", "sql_notes",
       "sql_quote_show_create", "sql_safe_updates", "sql_warnings", "tx_read_only", "unique_checks",
       "updatable_views_with_limit"});
  std::vector<std::string> out;
  for (const auto& [name, literal] : values_) {
    const auto old = before.values_.find(name);
    if (old != before.values_.end() && old->second == literal) continue;
    const std::string_view digits = std::string_view(literal).substr(literal.starts_with('-') ? 1 : 0);
    const bool number = !digits.empty() && std::ranges::all_of(digits, [](unsigned char c) { return std::isdigit(c); });
    if (number && std::ranges::find(kSwitches, name) == kSwitches.end()) out.push_back(name);
  }
  return out;
}

std::optional<bool> switch_value(std::string_view literal) {
  std::string value = lower(literal);
  if (value.size() >= 2 && (value.front() == '\'' || value.front() == '"') && value.back() == value.front()) {
    value = value.substr(1, value.size() - 2);
    if (value != "on" && value != "off") return std::nullopt;  // TRUE is the number 1; 'TRUE' is no word for it.
  }
  if (value == "1" || value == "on" || value == "true") return true;
  if (value == "0" || value == "off" || value == "false") return false;
  return std::nullopt;
}

Status check_sql_mode(std::string_view modes) {
  // Each changes how a text is to be read, or is a name for a set of modes with one that does.
  static constexpr auto kUnread =
      std::to_array<std::string_view>({"ansi_quotes", "no_backslash_escapes", "pipes_as_concat", "high_not_precedence",
                                       "ansi", "oracle", "mssql", "db2", "maxdb", "postgresql"});
  const std::string text = lower(modes);
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    std::string_view mode = rest.substr(0, comma);
    while (!mode.empty() && mode.front() == ' ') mode.remove_prefix(1);
    while (!mode.empty() && mode.back() == ' ') mode.remove_suffix(1);
    if (std::ranges::find(kUnread, mode) != kUnread.end()) {
      return fail(Code::kUnimplemented, "VT12001: unsupported: setting the sql_mode: " + std::string(mode));
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return {};
}

}  // namespace vitrail::gate

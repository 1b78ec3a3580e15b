#include "tablet/message_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/text.h"
#include "mysql/convert.h"
#include "sql/parser.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kOwnColumns[] = {"priority", "time_next", "epoch", "time_acked"};
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr base::Duration kRestMin = 10ms;  // What is due by the table's clock may be due a moment later here.

std::string sql_name(std::string_view name) {
  std::string out;
  mysql::append_sql_identifier(out, name);
  return out;
}

std::string column_list(std::span<const std::string> columns) {
  std::string list;
  for (const std::string& column : columns) {
    if (!list.empty()) list += ", ";
    mysql::append_sql_identifier(list, column);
  }
  return list;
}

std::string value_list(std::span<const mysql::Value> values) {
  std::string list;
  for (const mysql::Value& value : values) {
    if (!list.empty()) list += ", ";
    mysql::append_sql_literal(list, value);
  }
  return list;
}

std::string is_due(int64_t now_ns) {
  return fmt::format("time_acked is null and (time_next is null or time_next <= {})", now_ns);
}

std::optional<base::Duration> seconds(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  if (copy.empty() || *end != '\0' || !std::isfinite(value) || value < 0 || value > 1e9) return std::nullopt;
  return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(value));
}

std::optional<size_t> count(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  const long long value = std::strtoll(copy.c_str(), &end, 10);
  if (copy.empty() || *end != '\0' || value < 1 || value > 1'000'000) return std::nullopt;
  return static_cast<size_t>(value);
}

bool has(std::span<const std::string> columns, std::string_view name) {
  return std::ranges::any_of(columns, [&](const auto& column) { return base::equals_ignoring_case(column, name); });
}

}  // namespace

Result<MessageTable> MessageTable::create(std::string name, std::string_view comment,
                                          std::span<const std::string> columns) {
  const auto refuse = [&](std::string_view why) {
    return fail(Code::kFailedPrecondition, fmt::format("{} is not a message table: {}", name, why));
  };
  const std::vector<std::string> parts = base::split_list(comment, ',');
  if (parts.empty() || parts.front() != "vitess_message") {
    return refuse("its comment does not begin with vitess_message");
  }
  MessageTable table;
  std::vector<std::string> wanted;
  std::vector<std::string_view> given;
  for (const std::string& part : std::span(parts).subspan(1)) {
    const size_t equals = part.find('=');
    if (!part.starts_with("vt_") || equals == std::string::npos) continue;  // Words for people.
    const std::string_view key = std::string_view(part).substr(0, equals);
    const std::string_view value = std::string_view(part).substr(equals + 1);
    bool good = true;
    const auto time = [&](base::Duration& into) {
      const auto parsed = seconds(value);
      good = parsed.has_value();
      into = parsed.value_or(base::Duration{});
    };
    const auto number = [&](size_t& into) {
      const auto parsed = count(value);
      good = parsed.has_value();
      into = parsed.value_or(0);
    };
    if (key == "vt_ack_wait") {
      time(table.ack_wait);
    } else if (key == "vt_min_backoff") {
      time(table.min_backoff);
    } else if (key == "vt_max_backoff") {
      time(table.max_backoff);
    } else if (key == "vt_purge_after") {
      time(table.purge_after);
    } else if (key == "vt_poller_interval") {
      time(table.poller_interval);
    } else if (key == "vt_batch_size") {
      number(table.batch_size);
    } else if (key == "vt_cache_size") {
      number(table.cache_size);
    } else if (key == "vt_message_cols") {
      wanted = base::split_list(value, '|');
    } else {
      return refuse(fmt::format("{} is not known", key));
    }
    if (!good) return refuse(fmt::format("{} is no number that it may be", part));
    given.push_back(key);
  }
  for (const std::string_view key :
       {"vt_ack_wait", "vt_purge_after", "vt_batch_size", "vt_cache_size", "vt_poller_interval"}) {
    if (std::ranges::find(given, key) == given.end()) return refuse(fmt::format("its comment lacks {}", key));
  }
  if (table.ack_wait <= 0s || table.poller_interval <= 0s) {
    return refuse("vt_ack_wait and vt_poller_interval must not be 0");
  }
  if (table.min_backoff <= 0s) table.min_backoff = table.ack_wait;
  for (const std::string_view column : {"id", "priority", "time_next", "epoch", "time_acked"}) {
    if (!has(columns, column)) return refuse(fmt::format("it lacks the column {}", column));
  }
  table.columns = {"id"};
  for (const std::string& column : wanted.empty() ? std::vector(columns.begin(), columns.end()) : wanted) {
    if (!has(columns, column)) return refuse(fmt::format("it lacks the column {} of vt_message_cols", column));
    const bool own = std::ranges::any_of(
        kOwnColumns, [&](std::string_view known) { return base::equals_ignoring_case(column, known); });
    if (!has(table.columns, column) && !(wanted.empty() && own)) table.columns.push_back(column);
  }
  table.name = std::move(name);
  return table;
}

size_t MessageTable::receivers_max() const { return std::max<size_t>(cache_size / batch_size, 1); }

int64_t MessageTable::send_again_at(int64_t now_ns, int64_t epoch) const {
  const int64_t most = max_backoff > 0s ? std::max(max_backoff, min_backoff).count() : kNever;
  int64_t backoff = min_backoff.count();
  for (int64_t i = 0; i < epoch && backoff < most; ++i) {
    if (backoff > kNever / 2) {
      backoff = kNever;
      break;
    }
    backoff *= 2;
  }
  backoff = std::min(backoff, most);
  return now_ns > kNever - backoff ? kNever : now_ns + backoff;
}

base::Duration MessageTable::rest(int64_t now_ns, std::optional<int64_t> next_due) const {
  if (!next_due) return poller_interval;
  const base::Duration left(*next_due <= now_ns ? 0 : *next_due - now_ns);
  return std::clamp<base::Duration>(left, kRestMin, std::max(poller_interval, kRestMin));
}

std::string MessageTable::shape() const {
  return fmt::format("select {}, epoch from {} where false", column_list(columns), sql_name(name));
}

std::string MessageTable::due(int64_t now_ns, size_t batches) const {
  return fmt::format("select `id` from {} where {} order by priority, time_next limit {}", sql_name(name),
                     is_due(now_ns), batch_size * batches);
}

std::string MessageTable::take(std::span<const mysql::Value> ids, int64_t now_ns, bool skip_locked) const {
  return fmt::format(
      "select {}, epoch from {} where `id` in ({}) and {} order by priority, time_next limit {} for update{}",
      column_list(columns), sql_name(name), value_list(ids), is_due(now_ns), batch_size,
      skip_locked ? " skip locked" : "");
}

std::string MessageTable::next_due(int64_t now_ns) const {
  return fmt::format("select min(time_next) from {} where time_acked is null and time_next > {}", sql_name(name),
                     now_ns);
}

std::string MessageTable::postpone(std::span<const mysql::Value> ids, int64_t epoch, int64_t again_at) const {
  return fmt::format("update {} set time_next = {}, epoch = {} where id in ({}) and time_acked is null", sql_name(name),
                     again_at, epoch == kNever ? epoch : epoch + 1, value_list(ids));
}

std::string MessageTable::purge(int64_t now_ns) const {
  return fmt::format("delete from {} where time_acked < {} limit {}", sql_name(name), now_ns - purge_after.count(),
                     kPurgeRows);
}

std::string acknowledge_messages(std::string_view table, int64_t now_ns) {
  return fmt::format("update {} set time_acked = {}, time_next = null where id in ::ids and time_acked is null",
                     sql_name(table), now_ns);
}

Result<std::string> streamed_table(std::string_view text) {
  ASSIGN_OR_RETURN(const auto ast, sql::parse(text));
  const auto* stream = sql::statement_as<sql::StreamStatement>(&ast.statement());
  if (stream == nullptr || stream->kind != sql::StatementKind::kStream || stream->where != nullptr ||
      stream->limit != nullptr || sql::as<sql::Star>(stream->item) == nullptr) {
    return fail(Code::kInvalidArgument, "give: stream * from <message table>");
  }
  return std::string(stream->table.name.text);
}

}  // namespace vitrail::tablet

#include "tablet/hot_rows.h"

#include <fmt/core.h>

#include <algorithm>

#include "sql/lexer.h"

namespace vitrail::tablet {
namespace {

constexpr size_t kKeyMax = 4096;   // Bytes; what has a longer condition is no point of contention.
constexpr size_t kSeenMax = 1000;  // Rows.

// The first WHERE that is in no parentheses, and how many '?' stand before it.
std::optional<std::pair<size_t, size_t>> find_condition(std::string_view text) {
  sql::Lexer lexer(text);
  size_t depth = 0, parameters = 0;
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd; token = lexer.next()) {
    if (token.type == sql::TokenType::kError) break;
    if (token.type == sql::TokenType::kParameter) ++parameters;
    if (token.type == sql::TokenType::kLeftParen) ++depth;
    if (token.type == sql::TokenType::kRightParen && depth > 0) --depth;
    if (depth == 0 && token.keyword == sql::Keyword::kWhere) return std::pair(token.end(), parameters);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> hot_row_key(const StatementInfo& info, std::string_view text,
                                       const std::vector<mysql::Parameter>* parameters) {
  if (info.kind != sql::StatementKind::kUpdate && info.kind != sql::StatementKind::kDelete) return std::nullopt;
  if (info.tables.size() != 1 || !info.tables_known) return std::nullopt;
  const auto condition = find_condition(text);
  if (!condition) return std::nullopt;
  std::string key = info.tables.front().name + " where" + std::string(text.substr(condition->first));
  for (size_t i = condition->second; parameters != nullptr && i < parameters->size(); ++i) {
    const mysql::Parameter& parameter = (*parameters)[i];
    key += fmt::format(" :{}{}:", static_cast<int>(parameter.type), parameter.is_null ? "null" : "");
    key += parameter.raw;
  }
  if (key.size() > kKeyMax) return std::nullopt;
  return key;
}

HotRowVerdict judge_hot_row(size_t running, size_t waiting, size_t everywhere, const HotRowSettings& settings) {
  if (running + waiting == 0) return HotRowVerdict::kGo;  // Alone it needs no queue.
  if (everywhere >= settings.global_max) return HotRowVerdict::kAllFull;
  if (running + waiting >= settings.queue_max) return HotRowVerdict::kRowFull;
  return waiting == 0 && running < std::max<size_t>(settings.concurrent, 1) ? HotRowVerdict::kGo : HotRowVerdict::kWait;
}

HotRows::Counters::Counters(base::Metrics& metrics)
    : waits(metrics.counters("TxSerializerWaits", "changes that waited for others of the same row", {"table"})),
      row_full(metrics.counters("TxSerializerQueueExceeded", "changes refused since too many waited for their row",
                                {"table"})),
      all_full(metrics.counters("TxSerializerGlobalQueueExceeded",
                                "changes refused since too many waited for rows of all tables", {"table"})) {}

void HotRows::note(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  if (seen_.size() >= kSeenMax && !seen_.contains(key)) {
    seen_.erase(std::ranges::min_element(seen_, {}, &std::pair<const std::string, uint64_t>::second));
  }
  ++seen_[key];
}

std::vector<std::pair<std::string, uint64_t>> HotRows::seen() const {
  const std::scoped_lock lock(mutex_);
  return {seen_.begin(), seen_.end()};
}

void HotRows::leave(const std::string& key) {
  const auto found = rows_.find(key);
  --found->second->running;
  --everywhere_;
  if (found->second->running + found->second->waiting == 0) {
    rows_.erase(found);
  } else {
    found->second->left.notify_all();
  }
}

net::Task<Result<HotRows::Place>> HotRows::enter(std::string key, std::string table, net::Wait wait) {
  auto& slot = rows_[key];
  if (slot == nullptr) slot = std::make_unique<Row>();
  Row& row = *slot;
  const HotRowVerdict verdict = judge_hot_row(row.running, row.waiting, everywhere_, settings_);
  if (verdict != HotRowVerdict::kGo) note(key);
  const bool acts = settings_.enabled && !settings_.dry_run;
  if (verdict == HotRowVerdict::kRowFull || verdict == HotRowVerdict::kAllFull) {
    const bool all = verdict == HotRowVerdict::kAllFull;
    (all ? counters_.all_full : counters_.row_full).with({table}).add();
    if (acts && all) {
      co_return fail(
          Code::kResourceExhausted,
          fmt::format("hot row protection: too many queued transactions ({} >= {})", everywhere_, settings_.global_max))
          .with_retry(Retry::kSameTarget);
    }
    if (acts) {
      co_return fail(Code::kResourceExhausted,
                     fmt::format("hot row protection: too many queued transactions ({} >= {}) for the same row (table "
                                 "{} and its condition)",
                                 row.running + row.waiting, settings_.queue_max, table))
          .with_retry(Retry::kSameTarget);
    }
  }
  ++everywhere_;
  if (verdict == HotRowVerdict::kWait) counters_.waits.with({table}).add();
  if (verdict == HotRowVerdict::kWait && acts) {
    ++row.waiting;
    Status turn;
    do {
      turn = co_await row.left.wait(wait);
    } while (turn.ok() && row.running >= std::max<size_t>(settings_.concurrent, 1));
    --row.waiting;
    if (!turn.ok()) {
      --everywhere_;
      if (row.running + row.waiting == 0) rows_.erase(key);
      if (turn.error().code() != Code::kDeadlineExceeded) co_return std::move(turn).error();
      co_return fail(Code::kResourceExhausted,
                     "hot row protection: the changes of the same row before this one took too long")
          .with_retry(Retry::kSameTarget);
    }
  }
  ++row.running;
  co_return Place(this, std::move(key));
}

}  // namespace vitrail::tablet

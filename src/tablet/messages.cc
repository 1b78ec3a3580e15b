#include "tablet/messages.h"

#include <fmt/core.h>

#include <charconv>

#include "base/log.h"
#include "base/text.h"
#include "movement/log_reader.h"
#include "mysql/convert.h"
#include "mysql/errors.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

constexpr auto kLogMax = 10s;         // For the log to be opened.
constexpr auto kLogPatience = 5s;     // A receiver begins without it after that.
constexpr auto kLogPause = 1s;        // Between attempts.
constexpr auto kPurgeInterval = 60s;  // Of tables without receivers.
constexpr auto kPurgeMax = 30s;
constexpr auto kBusyPause = 100ms;  // When somebody else was in the way.
constexpr uint8_t kCollation = 45;  // utf8mb4_general_ci
constexpr size_t kBatchesMax = 10;  // That are looked at, where several receivers take from the same table.
constexpr uint16_t kSyntaxError = 1064;
constexpr uint16_t kLockWaitTimeout = 1205;

int64_t now_ns() {
  const auto now = base::system_clock().wall_now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

net::Task<Result<MessageTable>> describe(net::MysqlClient& session, std::string name, net::Wait wait) {
  std::string literal;
  mysql::append_sql_string(literal, name);
  auto found = co_await session.query(
      fmt::format("select t.table_comment, c.column_name from information_schema.tables t join "
                  "information_schema.columns c on c.table_schema = t.table_schema and c.table_name = t.table_name "
                  "where t.table_schema = database() and t.table_name = {} order by c.ordinal_position",
                  literal),
      wait);
  if (!found.ok()) co_return std::move(found).error();
  if (found->rows.empty()) {
    co_return fail(Code::kNotFound, fmt::format("table {} not found", name))
        .with_mysql(mysql::errnos::kNoSuchTable, "42S02");
  }
  std::vector<std::string> columns;
  for (size_t i = 0; i < found->rows.size(); ++i) columns.emplace_back(found->text(i, 1));
  co_return MessageTable::create(std::move(name), found->text(0, 0), columns);
}

net::Task<Status> purge(net::MysqlClient& session, const MessageTable& table, net::Wait wait) {
  for (bool more = true; more;) {
    auto done = co_await session.query(table.purge(now_ns()), wait);
    if (!done.ok()) co_return std::move(done).error();
    more = done->ok.affected_rows >= MessageTable::kPurgeRows;
  }
  co_return Status{};
}

bool was_in_the_way(const Error& error) {
  return error.mysql_errno() == mysql::errnos::kDeadlock || error.mysql_errno() == kLockWaitTimeout;
}

}  // namespace

net::Task<Result<std::unique_ptr<MessageFeed>>> Messages::subscribe(shard::Target target, std::string table,
                                                                    uint8_t collation, net::Wait wait) {
  if (feeds_ >= kFeedsMax) {
    co_return fail(Code::kResourceExhausted, fmt::format("{} streams of messages are open already", feeds_));
  }
  CO_ASSIGN_OR_RETURN(net::MysqlClient session, settings_.open(std::move(target), collation));
  CO_ASSIGN_OR_RETURN(MessageTable described, co_await describe(session, std::move(table), wait));
  std::string key = base::to_lower(described.name);
  Known& known = known_[key];
  if (known.receivers >= described.receivers_max()) {
    const size_t most = described.receivers_max();
    if (known.receivers == 0) known_.erase(key);
    co_return fail(
        Code::kResourceExhausted,
        fmt::format("{} has {} receivers already, which is vt_cache_size / vt_batch_size", described.name, most));
  }
  ++known.receivers;
  ++feeds_;
  std::unique_ptr<MessageFeed> feed(new MessageFeed(*this, std::move(session), std::move(described), std::move(key)));
  auto shape = co_await feed->session_.query(feed->table_.shape(), wait);
  if (!shape.ok()) co_return std::move(shape).error();
  feed->columns_ = std::move(shape->columns);
  feed->columns_.pop_back();  // The epoch.
  if (watching_ == nullptr) {
    watching_ = std::make_unique<net::CancelSource>(scope_.token());
    scope_.spawn(watch());
  }
  // The first look comes behind the place from which the log is read: nothing is between them.
  (void)co_await reading_.wait(net::Wait::within(kLogPatience, wait.cancel));
  co_return std::move(feed);
}

void Messages::leave(const std::string& key) {
  const auto known = known_.find(key);
  if (--known->second.receivers == 0) known_.erase(known);
  if (--feeds_ > 0 || watching_ == nullptr) return;
  watching_->cancel();
  watching_.reset();
  reading_.reset();
}

void Messages::wake_all() {
  ++all_;
  changed_.notify_all();
}

net::Task<void> Messages::watch() {
  const net::CancelToken cancel = watching_->token();
  while (!cancel.cancelled()) {
    Status ended = co_await read_log(cancel);
    if (cancel.cancelled()) break;
    reading_.reset();
    static base::LogLimit limit(10s);
    if (!ended.ok() && limit.allow()) {
      log_warning("messages: the binary log is not read, new ones wait for vt_poller_interval: {} ({} similar before)",
                  ended.error().message(), limit.suppressed());
    }
    (void)co_await net::sleep_for(kLogPause, cancel);
  }
}

net::Task<Status> Messages::read_log(net::CancelToken cancel) {
  const net::Wait wait = net::Wait::within(kLogMax, cancel);
  mysql::Position from;
  {
    CO_ASSIGN_OR_RETURN(const auto session,
                        co_await movement::ServerSession::open(settings_.login, mysqld::ConnectionPurpose::kDba, wait));
    CO_ASSIGN_OR_RETURN(from, co_await movement::current_position(*session, wait));
  }
  CO_ASSIGN_OR_RETURN(const auto reader, co_await movement::LogReader::open(settings_.login, std::move(from), wait));
  if (cancel.cancelled()) co_return fail(Code::kCanceled, "there are no receivers any more");
  touched_.clear();
  reading_.set();
  wake_all();  // For what came while the log was not read.
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto items, co_await reader->next(cancel));
    if (cancel.cancelled()) co_return fail(Code::kCanceled, "there are no receivers any more");
    for (const mysql::BinlogItem& item : items) note(item);
  }
}

void Messages::note(const mysql::BinlogItem& item) {
  if (const auto* rows = item.as<mysql::BinlogRows>()) {
    if (rows->rows.kind != mysql::RowsKind::kInsert || rows->map->schema != settings_.database) return;
    if (std::string name = base::to_lower(rows->map->table); known_.contains(name)) touched_.insert(std::move(name));
  } else if (const auto* query = item.as<mysql::BinlogQuery>()) {
    // Written as a statement: whatever it did, a look costs little.
    if (query->role == mysql::QueryRole::kStatement && !item.header.artificial()) wake_all();
  } else if (item.as<mysql::BinlogCommit>() != nullptr) {
    bool told = false;
    for (const std::string& name : touched_) {
      const auto known = known_.find(name);
      if (known == known_.end()) continue;
      ++known->second.inserts;
      told = true;
    }
    touched_.clear();
    if (told) changed_.notify_all();
  }
}

net::Task<void> Messages::purge_all(std::function<std::optional<shard::Target>()> primary) {
  while ((co_await net::sleep_for(kPurgeInterval, scope_.token())).ok()) {
    auto target = primary();
    if (!target) continue;
    Status purged = co_await purge_tables(std::move(*target), net::Wait::within(kPurgeMax, scope_.token()));
    static base::LogLimit limit(60s);
    if (!purged.ok() && limit.allow()) {
      log_warning("messages: acknowledged ones are not deleted now: {} ({} similar before)", purged.error().message(),
                  limit.suppressed());
    }
  }
}

net::Task<Status> Messages::purge_tables(shard::Target target, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(net::MysqlClient session, settings_.open(std::move(target), kCollation));
  auto tables = co_await session.query(
      "select table_name from information_schema.tables where table_schema = database() and table_comment like "
      "'vitess_message,%'",
      wait);
  if (!tables.ok()) co_return std::move(tables).error();
  for (size_t i = 0; i < tables->rows.size(); ++i) {
    const auto table = co_await describe(session, std::string(tables->text(i, 0)), wait);
    if (session.broken()) co_return table.ok() ? Status{} : Status(table.error());
    if (!table.ok()) continue;  // Whoever streams it is told.
    CO_RETURN_IF_ERROR(co_await purge(session, *table, wait));
  }
  co_return Status{};
}

MessageFeed::~MessageFeed() {
  session_.close();
  all_.leave(key_);
}

uint64_t MessageFeed::changes() const { return all_.all_ + all_.known_.at(key_).inserts; }

net::Task<Result<net::QueryResult>> MessageFeed::next(net::Wait wait) {
  for (;;) {
    const uint64_t seen = changes();
    CO_ASSIGN_OR_RETURN(net::QueryResult taken, co_await take(wait));
    if (!taken.rows.empty()) co_return std::move(taken);
    base::TimePoint now = base::system_clock().now();
    base::Duration rest = kBusyPause;
    if (!std::exchange(again_, false)) {
      if (now - purged_ >= table_.poller_interval) {
        CO_RETURN_IF_ERROR(co_await purge(session_, table_, wait));
        purged_ = now;
      }
      const int64_t asked = now_ns();
      auto due = co_await session_.query(table_.next_due(asked), wait);
      if (!due.ok()) co_return std::move(due).error();
      rest = table_.rest(now_ns(), number(due->text(0, 0)));
      now = base::system_clock().now();
    }
    const net::Wait until = net::Wait::until(std::min(wait.deadline, now + rest), wait.cancel);
    while (changes() == seen) {
      Status woken = co_await all_.changed_.wait(until);
      if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, "the messages are not wanted any more");
      if (!woken.ok()) break;
    }
  }
}

net::Task<Result<net::QueryResult>> MessageFeed::take(net::Wait wait) {
  const int64_t now = now_ns();
  const size_t batches = std::min(all_.known_.at(key_).receivers, kBatchesMax);
  auto due = co_await session_.query(table_.due(now, batches), wait);
  if (!due.ok()) co_return std::move(due).error();
  if (due->rows.empty()) co_return net::QueryResult();
  std::vector<mysql::Value> ids;
  for (const auto& row : due->rows) ids.push_back(mysql::make_value(due->columns.front(), row.front()));
  auto taken = co_await take_in_transaction(std::move(ids), now, wait);
  if (taken.ok()) {
    again_ = taken->rows.empty();
    co_return std::move(taken);
  }
  if (session_.broken()) co_return std::move(taken).error();
  if (taken.error().mysql_errno() == kSyntaxError && skip_locked_) {
    skip_locked_ = false;  // An older server.
  } else if (!was_in_the_way(taken.error())) {
    co_return std::move(taken).error();
  }
  auto undone = co_await session_.query("rollback", wait);
  if (!undone.ok()) co_return std::move(undone).error();
  again_ = true;
  co_return net::QueryResult();
}

net::Task<Result<net::QueryResult>> MessageFeed::take_in_transaction(std::vector<mysql::Value> ids, int64_t now,
                                                                     net::Wait wait) {
  if (auto begun = co_await session_.query("begin", wait); !begun.ok()) co_return std::move(begun).error();
  auto found = co_await session_.query(table_.take(ids, now, skip_locked_), wait);
  if (!found.ok()) co_return std::move(found).error();
  std::map<int64_t, std::vector<mysql::Value>> by_epoch;
  for (auto& row : found->rows) {
    const int64_t epoch = number(row.back().value_or("0")).value_or(0);
    by_epoch[std::max<int64_t>(epoch, 0)].push_back(mysql::make_value(found->columns.front(), row.front()));
    row.pop_back();
  }
  found->columns.pop_back();
  for (const auto& [epoch, taken] : by_epoch) {
    auto postponed = co_await session_.query(table_.postpone(taken, epoch, table_.send_again_at(now, epoch)), wait);
    if (!postponed.ok()) co_return std::move(postponed).error();
  }
  auto committed = co_await session_.query("commit", wait);
  if (!committed.ok()) co_return std::move(committed).error();
  co_return std::move(*found);
}

}  // namespace vitrail::tablet

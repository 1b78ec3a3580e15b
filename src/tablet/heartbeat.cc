#include "tablet/heartbeat.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "net/scope.h"

namespace vitrail::tablet {
namespace {

int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(base::system_clock().wall_now().time_since_epoch())
      .count();
}

}  // namespace

Heartbeat::Heartbeat(Options options, base::Metrics& metrics)
    : options_(std::move(options)),
      writes_(metrics.counter("HeartbeatWrites", "heartbeats written by this primary")),
      reads_(metrics.counter("HeartbeatReads", "heartbeats read by this replica")),
      failures_(metrics.counter("HeartbeatErrors", "heartbeats that could not be written or read")) {}

std::optional<base::Duration> Heartbeat::lag() const {
  const int64_t ns = lag_ns_.load();
  if (ns < 0) return std::nullopt;
  return std::chrono::duration_cast<base::Duration>(std::chrono::nanoseconds(ns));
}

net::Task<Status> Heartbeat::need_connection(net::Wait wait) {
  if (client_ && !client_->broken()) co_return Status{};
  net::MysqlClientSettings settings;
  settings.address = options_.mysqld;
  settings.auth.user = options_.user;
  settings.auth.password = options_.password;
  client_.reset();
  CO_ASSIGN_OR_RETURN(auto client, co_await net::MysqlClient::connect(std::move(settings), std::move(wait)));
  client_.emplace(std::move(client));
  co_return Status{};
}

net::Task<Status> Heartbeat::write(net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await need_connection(wait));
  auto done = co_await client_->query(
      fmt::format("insert into {}.heartbeat (ts, tabletUid, keyspaceShard) values ({}, {}, {}) on duplicate key update "
                  "ts = values(ts), tabletUid = values(tabletUid)",
                  mysqld::quote_identifier(options_.sidecar), wall_ns(), options_.uid,
                  mysqld::quote_string(options_.keyspace_shard)),
      wait);
  if (!done.ok()) co_return std::move(done).error();
  writes_.add();
  co_return Status{};
}

net::Task<Status> Heartbeat::read(net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await need_connection(wait));
  CO_ASSIGN_OR_RETURN(const auto found,
                      co_await client_->query(fmt::format("select ts from {}.heartbeat where keyspaceShard = {}",
                                                          mysqld::quote_identifier(options_.sidecar),
                                                          mysqld::quote_string(options_.keyspace_shard)),
                                              wait));
  reads_.add();
  const auto written = found.rows.empty() ? std::nullopt : mysqld::to_int(found.text(0, 0));
  lag_ns_ = written ? std::max<int64_t>(wall_ns() - *written, 0) : -1;
  co_return Status{};
}

net::Task<void> Heartbeat::run(std::function<bool()> is_primary, net::CancelToken cancel) {
  while ((co_await net::sleep_for(options_.interval, cancel)).ok()) {
    // A heartbeat that is late by more than one is as good as missed.
    const net::Wait wait =
        net::Wait::within(std::max<base::Duration>(options_.interval, std::chrono::seconds(1)), cancel);
    const bool writes = is_primary();
    if (writes) lag_ns_ = -1;
    Status done = writes ? co_await write(wait) : co_await read(wait);
    if (done.ok() || cancel.cancelled()) continue;
    client_.reset();
    failures_.add();
    static base::LogLimit limit(std::chrono::seconds(10));
    if (limit.allow()) log_warning("heartbeat: {} ({} similar before)", done.error().message(), limit.suppressed());
  }
  if (client_) client_->close();
}

}  // namespace vitrail::tablet

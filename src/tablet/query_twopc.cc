// Transactions over several shards, which become permanent on all of them or on none: one tablet's part of it. The
// protocol, the records and why they suffice: docs/formats/twopc.md.
#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "base/text.h"
#include "mysql/collations.h"
#include "mysql/convert.h"
#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "mysqld/app_account.h"
#include "net/pause_point.h"
#include "tablet/query_session.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

constexpr auto kRecordMax = 10s;   // For one write of records.
constexpr auto kForceMax = 10s;    // For the end of what had to be ended by force.
constexpr auto kExactFor = 10s;    // What was seen of a table is believed for so long.
constexpr auto kFinishMax = 30s;   // For a COMMIT of what is prepared: it may wait for a replica.
constexpr int kReplayRounds = 10;  // Transactions may have to be replayed in another order than they come in.
constexpr size_t kConcludedMax = 10'000;
// Records of others come and go beside those that are looked at.
constexpr const char* kNoGaps = "set session transaction isolation level read committed";
const std::string kRepeatable = "repeatable:";  // Under these settings.
constexpr int kRedoFailed = 0;                  // As Vitess numbers it.

int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(base::system_clock().wall_now().time_since_epoch())
      .count();
}

std::string sql_text(std::string_view text) {
  std::string out;
  mysql::append_sql_string(out, text);
  return out;
}

Error not_here() {
  return fail(Code::kUnavailable, "this tablet is not the shard's primary: what is prepared is ended elsewhere")
      .with_retry(Retry::kAfterTopologyRefresh);
}

// Kind, engine, how many triggers, computed defaults and columns that the clock sets it has, and its key (ExactTable).
std::string exact_query(std::string_view table) {
  constexpr std::string_view kClock =
      "regexp '^(current_timestamp|now|localtime|localtimestamp|curdate|curtime)([(][0-9]*[)])?$'";
  return fmt::format(
      "select t.table_type, t.engine, (select count(*) from information_schema.triggers g where g.event_object_schema "
      "= database() and g.event_object_table = {0}), (select count(*) from information_schema.columns c where "
      "c.table_schema = database() and c.table_name = {0} and (c.column_default like '%(%' or c.extra like "
      "'%DEFAULT_GENERATED%') and lower(c.column_default) not {1}), (select count(*) from information_schema.columns c "
      "where c.table_schema = database() and c.table_name = {0} and (lower(c.column_default) {1} or c.extra like '%on "
      "update%')), (select if(sum(c.data_type not in ('tinyint', 'smallint', 'mediumint', 'int', 'bigint') or "
      "c.column_name like '%,%') = 0, group_concat(lower(c.column_name)), '') from information_schema.columns c where "
      "c.table_schema = database() and c.table_name = {0} and c.column_key = 'PRI') from information_schema.tables t "
      "where t.table_schema = database() and t.table_name = {0}",
      sql_text(table), kClock);
}

Error unsupported(std::string_view what) {
  return fail(
      Code::kUnimplemented,
      fmt::format("VT12001: unsupported: transaction_mode TWOPC: {} cannot be made again behind a crash", what));
}

// Of who reads records: their tables have not been made yet, so nothing can be prepared.
bool has_no_records(const Error& error) {
  return error.mysql_errno() == mysql::errnos::kNoSuchTable || error.mysql_errno() == mysql::errnos::kBadDb;
}

}  // namespace

// ---- Records

std::string QueryLoop::sidecar_table(std::string_view name) const {
  std::string out;
  mysql::append_sql_identifier(out, settings.sidecar);
  return out + "." + std::string(name);
}

std::string QueryLoop::forget_text(std::string_view dtid) const {
  // By the whole key: a range would lock the places of others' records beside it.
  return fmt::format("delete from {} where dtid = {} and id = 1", sidecar_table("redo_statement"), sql_text(dtid));
}

// Those that could not be made again are left out.
std::string QueryLoop::records_query() const {
  return fmt::format("select dtid from {} where id = 1 and dtid not in (select dtid from {} where state = {})",
                     sidecar_table("redo_statement"), sidecar_table("redo_state"), kRedoFailed);
}

Status QueryLoop::may_write_records() const {
  if (state->hands_over || state->target.tablet_type != "primary" || standstill->stood_still()) return not_here();
  return {};
}

net::Task<Status> QueryLoop::allow_records(net::PooledConnection& application, net::Wait wait) {
  if (records_allowed) co_return Status{};
  CO_ASSIGN_OR_RETURN(const auto who, co_await application.client.query("select current_user()", wait));
  CO_ASSIGN_OR_RETURN(const auto account, mysqld::parse_account(who.text(0, 0)));
  CO_ASSIGN_OR_RETURN(auto lease, co_await record_pool->acquire(kNoGaps, wait));
  std::vector<std::string> statements = {"set sql_log_bin = 0"};  // Each server is asked for itself.
  for (const char* table : {"dt_participant", "redo_statement"}) {
    statements.push_back(
        fmt::format("grant select, insert, delete on {} to {}", sidecar_table(table), account.to_string()));
  }
  auto granted = co_await lease->client.pipeline(std::move(statements), wait);
  lease.discard();
  if (!granted.ok())
    co_return std::move(granted).error().with_context("allow two-phase commit to " + account.to_string());
  records_allowed = true;
  co_return Status{};
}

net::Task<void> QueryLoop::end_surely(net::MysqlPool::Lease& lease) {
  if (!lease) co_return;
  const uint32_t connection = lease->client.server().connection_id;
  lease.discard();
  Status ended = co_await killer.end_connection(connection, net::Wait::within(kForceMax));
  const bool unsure = !ended.ok() && (ended.error().code() == Code::kDeadlineExceeded ||
                                      ended.error().code() == Code::kResourceExhausted);
  if (unsure) end_later(connection);
}

net::Task<Result<std::vector<mysql::OkPacket>>> QueryLoop::write_records(std::vector<std::string> statements,
                                                                         net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await record_pool->acquire(kNoGaps, wait));
  CO_RETURN_IF_ERROR(may_write_records());  // From here on a fence waits for it.
  const auto place = recording.insert(lease->client.server().connection_id);
  const uint64_t mark = doubt.mark();
  const bool waits = state->waits_for_acks;
  auto done = co_await lease->client.pipeline(std::move(statements), wait);
  if (!done.ok()) {
    const bool goes_on = lease->client.broken();
    if (goes_on) {
      co_await end_surely(lease);
    } else {
      lease.discard();  // In the middle of a transaction, perhaps.
    }
  } else {
    lease.release();
  }
  Status sure;
  if (done.ok() && waits && doubt.begun() != mark) sure = co_await killer.confirm_commits(wait);
  recording.erase(place);
  session_idle.notify_all();
  if (!done.ok()) co_return std::move(done).error();
  CO_RETURN_IF_ERROR(std::move(sure));
  co_return std::move(*done);
}

net::Task<Result<net::QueryResult>> QueryLoop::read_records(std::string query, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await record_pool->acquire(kNoGaps, wait));
  co_return co_await lease->client.query(std::move(query), wait);
}

// A view, a trigger, a default or an engine may make of a change what its text does not show.
net::Task<Status> QueryLoop::check_exact(std::string table, bool without_clock, net::Wait wait) {
  const base::TimePoint now = base::system_clock().now();
  auto known = exact_tables.find(table);
  if (known == exact_tables.end() || known->second.until <= now) {
    CO_ASSIGN_OR_RETURN(const auto seen, co_await read_records(exact_query(table), wait));
    if (seen.rows.empty()) co_return unsupported(fmt::format("a change of {}, which is no table here,", table));
    if (seen.text(0, 0) != "BASE TABLE" || seen.text(0, 1) != "InnoDB") {
      co_return unsupported(fmt::format("a change of {}, which is no table of InnoDB,", table));
    }
    if (seen.text(0, 2) != "0") co_return unsupported(fmt::format("a change of {}, which has triggers,", table));
    if (seen.text(0, 3) != "0") {
      co_return unsupported(fmt::format("a change of {}, which has computed defaults,", table));
    }
    if (exact_tables.size() >= kConcludedMax) exact_tables.clear();
    ExactTable found{now + kExactFor, seen.text(0, 4) != "0", {}};
    for (const auto& column : base::split(seen.text(0, 5), ',')) {
      if (!column.empty()) found.key.emplace_back(column);
    }
    known = exact_tables.insert_or_assign(table, std::move(found)).first;
  }
  if (without_clock && known->second.clock) {
    co_return fail(Code::kAborted,
                   fmt::format("the table {} has been altered: columns of it are set by the clock now", table))
        .with_reason(Reason::kTransactionLost);
  }
  co_return Status{};
}

bool QueryLoop::is_one_row(const RedoLog::OneRow& one) const {
  const auto known = exact_tables.find(one.table);
  if (known == exact_tables.end() || known->second.key.empty()) return false;
  return std::ranges::all_of(known->second.key, [&](const std::string& column) {
    return std::ranges::find(one.columns, column) != one.columns.end();
  });
}

// ---- Ending what is prepared

net::Task<std::optional<Status>> QueryLoop::finish_here(std::string dtid, bool commit, net::Wait wait) {
  const auto found = prepared.find(dtid);
  if (found == prepared.end()) co_return std::nullopt;
  const PreparedPtr transaction = found->second;
  if (transaction->busy) {
    // Somebody ends it already, or makes it.
    (void)co_await session_idle.wait(net::Wait::within(100ms, wait.cancel));
    co_return Status(fail(Code::kUnavailable, dtid + " is being ended").with_retry(Retry::kSameTarget));
  }
  transaction->busy = true;
  auto& lease = transaction->lease;
  lease->kept = false;
  std::optional<Status> outcome;
  const auto leave = [&] {
    prepared.erase(dtid);
    session_idle.notify_all();
  };
  if (!commit) {
    const bool gone = lease->client.broken() || !(co_await lease->client.query("rollback", wait)).ok();
    if (gone || transaction->replayed || transaction->dropped) {
      co_await end_surely(lease);
    } else {
      lease.release();
    }
    auto forgotten = co_await write_records({forget_text(dtid)}, net::Wait::within(kRecordMax, scope.token()));
    leave();
    outcome = forgotten.ok() ? Status() : Status(std::move(forgotten).error());
    co_return outcome;
  }
  const uint64_t mark = doubt.mark();
  const bool waits = state->waits_for_acks;
  Status committed = fail(Code::kUnavailable, "its connection is lost");
  if (!lease->client.broken()) {
    auto done = co_await lease->client.query("commit", wait);
    committed = done.ok() ? Status() : Status(std::move(done).error());
  }
  if (committed.ok() && !transaction->replayed && !transaction->dropped) {
    lease.release();
  } else {
    // Whether it is committed the record says, as soon as the connection is gone.
    co_await end_surely(lease);
  }
  const bool dropped = transaction->dropped;
  leave();
  if (!committed.ok()) {
    log_warning("{}: COMMIT failed: {}", dtid, committed.error().message());
    co_return std::nullopt;
  }
  if (waits && (dropped || doubt.begun() != mark)) {
    outcome = co_await killer.confirm_commits(net::Wait::within(kRecordMax, scope.token()));
  } else {
    outcome = Status();
  }
  co_return outcome;
}

net::Task<Status> QueryLoop::finish_prepared(std::string dtid, bool commit, net::Wait wait) {
  QueryLoop& home = *all.front();
  net::Loop& caller = loop;
  auto body = [](QueryLoop& self, QueryLoop& first, const std::string& id, bool commits,
                 net::Wait limit) -> net::Task<Status> {
    for (;;) {
      for (size_t i = 0; i <= self.all.size(); ++i) {  // Most are where the caller is.
        QueryLoop& other = i == 0 ? self : *self.all[i - 1];
        if (i > 0 && &other == &self) continue;
        co_await other.loop.enter();
        if (auto ended = co_await other.finish_here(id, commits, limit)) {
          const bool again = !ended->ok() && ended->error().retry() == Retry::kSameTarget &&
                             base::system_clock().now() < limit.deadline;
          if (!again) co_return std::move(*ended);
          --i;
          if (limit.cancel.cancelled()) co_return std::move(*ended);
        }
      }
      co_await first.loop.enter();
      CO_RETURN_IF_ERROR(first.may_write_records());
      CO_ASSIGN_OR_RETURN(auto turn, co_await first.recovering.lock(limit));
      if (first.prepared.contains(id)) continue;  // Meanwhile.
      const auto row = co_await first.read_records(fmt::format("select 1 from {} where dtid = {} and id = 1",
                                                               first.sidecar_table("redo_statement"), sql_text(id)),
                                                   limit);
      if (!row.ok()) co_return row.error();
      if (row->rows.empty()) {
        // It is over; but does a replica know?
        if (first.state->waits_for_acks) co_return co_await first.killer.confirm_commits(limit);
        co_return Status{};
      }
      if (!commits) {
        auto forgotten = co_await first.write_records({first.forget_text(id)}, limit);
        if (!forgotten.ok()) co_return std::move(forgotten).error();
        co_return Status{};
      }
      CO_RETURN_IF_ERROR(co_await first.replay(id, limit));
      turn.unlock();
    }
  };
  Status outcome = co_await body(*this, home, dtid, commit, std::move(wait));
  co_await caller.enter();
  co_return outcome;
}

// ---- Behind a crash

net::Task<Status> QueryLoop::replay(std::string dtid, net::Wait wait) {
  const auto transaction = std::make_shared<PreparedTransaction>();
  transaction->busy = transaction->replayed = transaction->touched_all = true;
  prepared[dtid] = transaction;
  Status replayed = co_await replay_on(*transaction, dtid, std::move(wait));
  if (replayed.ok() && transaction->dropped) replayed = not_here();
  if (!replayed.ok()) {
    co_await end_surely(transaction->lease);
    prepared.erase(dtid);
  }
  transaction->busy = false;
  session_idle.notify_all();
  if (!replayed.ok()) co_return std::move(replayed).error().with_context("replay of " + dtid);
  log_info("{} is prepared again", dtid);
  co_return Status{};
}

net::Task<Status> QueryLoop::replay_on(PreparedTransaction& transaction, std::string dtid, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(transaction.lease, co_await record_pool->acquire(kNoGaps, wait));
  auto& client = transaction.lease->client;
  const std::string where = " where dtid = " + sql_text(dtid) + " and id = 1";
  CO_ASSIGN_OR_RETURN(const auto rows,
                      co_await client.query("select statement from " + sidecar_table("redo_statement") + where, wait));
  // What other transactions may do meanwhile is nothing: no client is served. So the rows need no gaps around them, and
  // two transactions that were prepared side by side find room side by side.
  std::vector<std::string> statements = {"start transaction"};
  if (rows.rows.empty()) co_return fail(Code::kAborted, "its record is gone: somebody else has ended it");
  CO_ASSIGN_OR_RETURN(auto changes, unpack_statements(rows.text(0, 0)));
  for (auto& change : changes) statements.push_back(std::move(change));
  statements.push_back(forget_text(dtid));
  uint64_t last = 0;
  for (auto& statement : statements) {
    if (transaction.dropped) co_return not_here();
    auto done = co_await client.query(std::move(statement), wait);
    if (!done.ok()) co_return std::move(done).error();
    last = done->ok.affected_rows;
  }
  if (last != 1) co_return fail(Code::kAborted, "its record is gone: somebody else has ended it");
  co_return Status{};
}

net::Task<Status> QueryLoop::recover_prepared(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto turn, co_await recovering.lock(wait));
  auto rows = co_await read_records(records_query(), wait);
  if (!rows.ok() && has_no_records(rows.error())) co_return Status{};
  if (!rows.ok()) co_return std::move(rows).error().with_context("read the records of prepared transactions");
  std::vector<std::string> left;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const std::string dtid(rows->text(i, 0));
    bool lives = false;
    for (QueryLoop* other : all) {
      co_await other->loop.enter();
      for (;;) {
        const auto found = other->prepared.find(dtid);
        if (found == other->prepared.end()) break;
        const PreparedPtr transaction = found->second;
        if (transaction->busy) {
          if (!(co_await other->session_idle.wait(wait)).ok()) break;
          continue;
        }
        lives = transaction->lease->client.idle_ok();
        if (!lives) {
          transaction->lease.discard();
          other->prepared.erase(dtid);
        }
        break;
      }
    }
    co_await loop.enter();
    if (!lives) left.push_back(dtid);
  }
  Status last;
  for (int round = 0; round < kReplayRounds && !left.empty(); ++round) {
    std::vector<std::string> again;
    for (auto& dtid : left) {
      last = co_await replay(dtid, wait);
      const bool over = last.ok() || last.error().code() == Code::kAborted;
      if (!over) again.push_back(dtid);
      if (!over && last.error().mysql_errno() == 0) co_return last;  // The server has gone again.
    }
    left = std::move(again);
  }
  for (const auto& dtid : left) {
    log_error("{} cannot be prepared again, and its record stays for an operator: {}", dtid, last.error().message());
    auto noted = co_await read_records(
        fmt::format("replace into {} (dtid, state, time_created, message) values ({}, {}, {}, {})",
                    sidecar_table("redo_state"), sql_text(dtid), kRedoFailed, wall_ns(),
                    sql_text(last.error().message())),
        wait);
    if (!noted.ok()) co_return std::move(noted).error();
  }
  co_return Status{};
}

// ---- The shard that decides

net::Task<Result<bool>> QueryLoop::decide(std::string dtid, net::Wait wait) {
  const std::string table = sidecar_table("dt_participant");
  auto written = co_await write_records(
      {fmt::format("insert into {} (dtid, id, keyspace, shard) values ({}, 1, '', '')", table, sql_text(dtid))}, wait);
  if (written.ok()) co_return false;
  if (written.error().mysql_errno() != mysql::errnos::kDupEntry) co_return std::move(written).error();
  CO_ASSIGN_OR_RETURN(
      const auto row,
      co_await read_records(fmt::format("select keyspace from {} where dtid = {} and id = 1", table, sql_text(dtid)),
                            wait));
  CO_RETURN_IF_ERROR(may_write_records());
  if (row.rows.empty()) co_return fail(Code::kUnavailable, dtid + " is being decided right now");
  // A row that is seen may be one that no replica has yet.
  if (state->waits_for_acks) CO_RETURN_IF_ERROR(co_await killer.confirm_commits(wait));
  co_return !row.text(0, 0).empty();
}

// ---- Fences

bool QueryLoop::prepared_in_the_way(const ServingState& next) const {
  return std::ranges::any_of(prepared, [&](const auto& entry) {
    const PreparedTransaction& transaction = *entry.second;
    if (!next.serving || !next.no_writes.empty() || next.target.tablet_type != "primary") return true;
    if (next.denied_tables.empty()) return false;
    return transaction.touched_all || std::ranges::any_of(transaction.touched, [&](const std::string& table) {
             return next.reaches(table, true);
           });
  });
}

// Records of this shard without their transaction: its connection was ended by somebody else, and the resolver has not
// come to it yet. To a switch of the traffic they would be lost.
net::Task<Status> QueryLoop::await_records(net::Wait wait) {
  for (;;) {
    const auto rows = co_await read_records(records_query(), net::Wait::within(kForceMax));
    if (!rows.ok() && has_no_records(rows.error())) co_return Status{};
    if (!rows.ok()) co_return rows.error();
    std::string alone;
    for (size_t i = 0; i < rows->rows.size() && alone.empty(); ++i) {
      const std::string dtid(rows->text(i, 0));
      bool lives = false;
      for (QueryLoop* other : all) {
        co_await other->loop.enter();
        lives = lives || other->prepared.contains(dtid);
      }
      co_await loop.enter();
      if (!lives) alone = dtid;
    }
    if (alone.empty()) co_return Status{};
    if (base::system_clock().now() >= wait.deadline) {
      co_return fail(Code::kDeadlineExceeded, fmt::format("the record of the prepared transaction {} is in the way: it "
                                                          "has not been resolved yet",
                                                          alone));
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(50ms, wait.cancel));
  }
}

net::Task<Status> QueryLoop::settle_prepared(std::shared_ptr<const ServingState> next, bool forbids,
                                             base::Duration grace) {
  const net::Wait soft = net::Wait::within(grace);
  const net::Wait hard = net::Wait::within(kForceMax);
  records_allowed = false;  // The server may be another one soon.
  if (next->hands_over) {
    // Their records stay, and the next primary makes them again before it serves.
    std::vector<std::pair<std::string, PreparedPtr>> all_of_them(prepared.begin(), prepared.end());
    for (auto& [dtid, transaction] : all_of_them) {
      transaction->dropped = true;
      if (transaction->busy) {
        if (transaction->lease) {
          (void)co_await killer.end_connection(transaction->lease->client.server().connection_id, hard);
        }
        continue;
      }
      transaction->busy = true;
      co_await end_surely(transaction->lease);
      prepared.erase(dtid);
    }
    while (!prepared.empty() && (co_await session_idle.wait(hard)).ok()) {
    }
  } else {
    while (prepared_in_the_way(*next) && (co_await session_idle.wait(soft)).ok()) {
    }
  }
  if (forbids && !recording.empty()) {
    while (!recording.empty() && (co_await session_idle.wait(soft)).ok()) {
    }
    for (const uint32_t connection : std::multiset<uint32_t>(recording)) {
      CO_RETURN_IF_ERROR(co_await killer.end_connection(connection, hard));
    }
    while (!recording.empty() && (co_await session_idle.wait(hard)).ok()) {
    }
    if (!recording.empty()) {
      co_return fail(Code::kDeadlineExceeded, "records of transactions are being written and do not end");
    }
  }
  if (next->hands_over ? !prepared.empty() : prepared_in_the_way(*next)) {
    co_return fail(Code::kDeadlineExceeded,
                   fmt::format("the prepared transaction {} (of {}) is in the way: the shard that decides it has not "
                               "been heard yet",
                               prepared.begin()->first, prepared.size()));
  }
  const bool first = !all.empty() && all.front() == this;
  if (settings.twopc && forbids && !next->hands_over && first) co_return co_await await_records(soft);
  co_return Status{};
}

// ---- The session: what vtgate asks for

void QuerySession::pin_time(Request& request) {
  const bool changes = QueryGuard::changes_rows(*request.info);
  if (!changes && pinned_.empty()) return;
  if (!changes) {
    request.prelude.emplace_back("set timestamp = default");
    pinned_.clear();
    return;
  }
  if (!request.info->uses_clock) {
    const auto known = shared_.exact_tables.find(request.info->changed);
    if (known != shared_.exact_tables.end() && !known->second.clock) {
      redo_.without_clock(request.info->changed);
      return;
    }
  }
  const auto now =
      std::chrono::duration_cast<std::chrono::microseconds>(base::system_clock().wall_now().time_since_epoch()).count();
  pinned_ = fmt::format("{}.{:06}", now / 1'000'000, now % 1'000'000);
  // The last of them, since what the others do has nothing to do with the clock.
  request.prelude.push_back("set timestamp = " + pinned_);
}

void QuerySession::log_change(const Request& request, uint64_t insert_id) {
  const StatementInfo& info = *request.info;
  using enum sql::StatementKind;
  if (info.kind == kSavepoint || info.kind == kRollbackTo || info.kind == kRelease) {
    redo_.mark(request.text);
    return;
  }
  if (info.kind == kDdl) return redo_.cannot("DDL");
  if (!QueryGuard::changes_rows(info)) return;
  if (!info.inexact.empty()) return redo_.cannot(info.inexact);
  if (info.effects.runs_unseen_code) return redo_.cannot("code that is not seen");
  if (!info.fixed_columns.empty()) redo_.one_row(info.changed, info.fixed_columns);
  if (info.skips_ids && insert_id != 0) return redo_.cannot("generated ids beside rows that are not new");
  std::string text(request.text);
  if (request.execute != nullptr) {
    auto spelt = spelt_out(request.text, settings_, request.execute->parameters);
    if (!spelt) return redo_.cannot("a parameter that has no literal");
    text = std::move(*spelt);
  }
  if (redo_.empty()) {
    const auto* collation = mysql::find_collation(static_cast<uint16_t>(client_.collation));
    if (collation == nullptr) return redo_.cannot("a session in an unknown collation");
    redo_.mark(fmt::format("set names {} collate {}", collation->charset, collation->name));
  }
  redo_.change(settings_, pinned_, insert_id, text, info.changed);
}

net::Task<Status> QuerySession::on_twopc(std::string text) {
  std::vector<std::string> words;
  for (const auto& word : base::split(std::string_view(text).substr(mysql::kTwoPcText.size()), ' ')) {
    if (!word.empty()) words.emplace_back(word);
  }
  const auto wrong = [&] { return fail(Code::kInvalidArgument, "not understood: " + text); };
  if (words.size() < 2) co_return co_await send_error(wrong());
  if (auto dtid = Dtid::parse(words[1]); !dtid.ok()) co_return co_await send_error(std::move(dtid).error());
  if (!shared_.settings.twopc) {
    co_return co_await send_error(fail(
        Code::kFailedPrecondition, "transaction_mode TWOPC is switched off by --twopc-enable=false of the tablets"));
  }
  if (target_.tablet_type != "primary") co_return co_await send_error(wrong());
  const net::Wait wait = net::Wait::within(kFinishMax, shared_.scope.token());
  Status done;
  if (words[0] == "prepare" && words.size() == 2) {
    done = co_await prepare(words[1], wait);
  } else if (words[0] == "start" && words.size() >= 3) {
    for (size_t i = 3; i < words.size() && shared_.concluded.size() < kConcludedMax; ++i) {
      if (Dtid::parse(words[i]).ok()) shared_.concluded.push_back(words[i]);
    }
    std::vector<std::string> participants;
    for (const auto& one : base::split(words[2], ',')) participants.emplace_back(one);
    done = co_await start_commit(words[1], std::move(participants), wait);
  } else if ((words[0] == "commit" || words[0] == "rollback") && words.size() == 2) {
    done = co_await shared_.finish_prepared(words[1], words[0] == "commit", wait);
  } else {
    done = wrong();
  }
  if (!done.ok()) co_return co_await send_error(std::move(done).error());
  co_return co_await send_ok();
}

// A level below would let rows come to what a change has looked at, and its second run would change these too.
net::Task<Status> QuerySession::check_isolation(net::Wait wait) {
  if (lease_->noted == kRepeatable + lease_->settings) co_return Status{};
  const bool mariadb = lease_->client.server().server_version.find("MariaDB") != std::string::npos;
  auto level =
      co_await lease_->client.query(mariadb ? "select @@tx_isolation" : "select @@transaction_isolation", wait);
  if (!level.ok()) co_return std::move(level).error();
  if (level->text(0, 0) != "REPEATABLE-READ" && level->text(0, 0) != "SERIALIZABLE") {
    co_return fail(Code::kUnimplemented,
                   "VT12001: unsupported: transaction_mode TWOPC below the isolation level REPEATABLE READ");
  }
  lease_->noted = kRepeatable + lease_->settings;
  co_return Status{};
}

net::Task<Status> QuerySession::record_changes(const std::string& dtid, net::Wait wait) {
  std::string text;
  mysql::append_sql_literal(text, mysql::Value::of_binary(pack_statements(redo_.statements())));
  auto written =
      co_await shared_.write_records({fmt::format("insert into {} (dtid, id, statement) values ({}, 1, {})",
                                                  shared_.sidecar_table("redo_statement"), sql_text(dtid), text)},
                                     wait);
  if (!written.ok()) co_return std::move(written).error();
  co_return Status{};
}

net::Task<Status> QuerySession::prepare(std::string dtid, net::Wait wait) {
  if (!in_transaction_ || !lease_ || lost_ != Lost::kNothing) {
    co_return fail(Code::kAborted, "there is no transaction that could be prepared")
        .with_reason(Reason::kTransactionLost);
  }
  if (!atomic_) co_return fail(Code::kFailedPrecondition, "the transaction was not begun to be prepared");
  if (grandfathered_) {
    co_return fail(Code::kAborted, "the serving state is being changed").with_reason(Reason::kTransactionLost);
  }
  if (!redo_.why_not().empty()) co_return unsupported(redo_.why_not());
  if (left_ != sql::Left::kNothing) {
    co_return unsupported("what the session has left in its connection (locks, temporary tables, variables)");
  }
  CO_RETURN_IF_ERROR(shared_.may_write_records());
  // A fence waits for it from here on; one that loses its patience ends the connection.
  active_ = sent_ = true;
  left_before_ = left_;
  auto body = [](QuerySession& self, const std::string& id, net::Wait limit) -> net::Task<Status> {
    CO_RETURN_IF_ERROR(co_await self.shared_.allow_records(*self.lease_, limit));
    for (const auto& table : self.redo_.tables()) {
      CO_RETURN_IF_ERROR(co_await self.shared_.check_exact(table, self.redo_.was_without_clock(table), limit));
    }
    for (const auto& one : self.redo_.one_rows()) {
      if (!self.shared_.is_one_row(one)) {
        co_return unsupported("a change with LIMIT that does not name a row by its key of numbers");
      }
    }
    co_await net::pause_point("tablet-prepare-before");
    Status recorded, isolated;
    auto record = [](QuerySession& session, const std::string& of, net::Wait until, Status& out) -> net::Task<void> {
      out = co_await session.record_changes(of, std::move(until));
    };
    auto isolation = [](QuerySession& session, net::Wait until, Status& out) -> net::Task<void> {
      out = co_await session.check_isolation(std::move(until));
    };
    std::vector<net::Task<void>> both;
    both.push_back(record(self, id, limit, recorded));
    both.push_back(isolation(self, limit, isolated));
    co_await net::when_all(std::move(both));
    CO_RETURN_IF_ERROR(std::move(isolated));
    CO_RETURN_IF_ERROR(std::move(recorded));
    co_await net::pause_point("tablet-prepare-recorded");
    // The transaction takes its own record away: it is there exactly as long as the transaction is not committed.
    std::vector<std::string> last;
    if (!self.pinned_.empty()) last.emplace_back("set timestamp = default");
    last.push_back(self.shared_.forget_text(id));
    auto own = co_await self.lease_->client.pipeline(std::move(last), limit);
    if (!own.ok()) co_return std::move(own).error();
    if (own->back().affected_rows != 1) co_return fail(Code::kAborted, "its record is gone");
    co_return Status{};
  };
  Status ready = co_await body(*this, dtid, wait);
  if (ready.ok() && (doomed_ || forced_ || grandfathered_ || lost_ != Lost::kNothing)) {
    ready = fail(Code::kAborted, "the serving state is being changed").with_reason(Reason::kTransactionLost);
  }
  if (ready.ok()) ready = shared_.may_write_records();
  if (!ready.ok()) {
    const bool told = doomed_;
    if (lease_ && !told) co_await shared_.end_surely(lease_);
    lose_connection(true);
    lost_ = Lost::kNothing;  // It is told here.
    in_transaction_ = false;
    auto forgotten = co_await shared_.write_records({shared_.forget_text(dtid)},
                                                    net::Wait::within(kRecordMax, shared_.scope.token()));
    if (!forgotten.ok()) log_warning("{}: its record stays for now: {}", dtid, forgotten.error().message());
    failed_ = true;
  } else {
    const auto transaction = std::make_shared<QueryLoop::PreparedTransaction>();
    transaction->lease = std::move(lease_);
    transaction->lease->kept = true;  // It waits for nothing, and its locks must not go while the server lives.
    transaction->touched = touched_;
    transaction->touched_all = touched_all_;
    shared_.prepared[dtid] = transaction;
    in_transaction_ = false;
    failed_ = false;
  }
  atomic_ = false;
  redo_.clear();
  pinned_.clear();
  slot_ = {};
  statement_done();
  if (ready.ok()) co_await net::pause_point("tablet-prepared");
  co_return ready;
}

net::Task<Status> QuerySession::start_commit(std::string dtid, std::vector<std::string> participants, net::Wait wait) {
  if (!in_transaction_ || !lease_ || lost_ != Lost::kNothing || grandfathered_) {
    co_return fail(Code::kAborted, "there is no transaction that could be decided")
        .with_reason(Reason::kTransactionLost);
  }
  const std::string id = sql_text(dtid);
  std::string rows;
  for (size_t i = 0; i < participants.size(); ++i) {
    const size_t slash = participants[i].find('/');
    if (slash == std::string::npos) co_return fail(Code::kInvalidArgument, "not keyspace/shard: " + participants[i]);
    rows += fmt::format("{}({}, {}, {}, {})", i == 0 ? "" : ", ", id, i + 1, sql_text(participants[i].substr(0, slash)),
                        sql_text(participants[i].substr(slash + 1)));
  }
  active_ = sent_ = true;
  left_before_ = left_;
  // Part of the transaction: the decision is there when it is committed, and not before.
  std::vector<std::string> statements;
  if (!pinned_.empty()) statements.emplace_back("set timestamp = default");
  statements.push_back(fmt::format("insert into {} (dtid, id, keyspace, shard) values {}",
                                   shared_.sidecar_table("dt_participant"), rows));
  Status done = co_await shared_.allow_records(*lease_, wait);
  if (done.ok()) {
    auto written = co_await lease_->client.pipeline(std::move(statements), wait);
    if (!written.ok()) done = std::move(written).error();
  }
  pinned_.clear();
  if (!done.ok()) {
    if (!doomed_) co_await shared_.end_surely(lease_);
    lose_connection(true);
    lost_ = Lost::kNothing;
    in_transaction_ = false;
    failed_ = true;
  } else if (doomed_ || lost_ != Lost::kNothing) {
    done = fail(Code::kAborted, "the serving state is being changed").with_reason(Reason::kTransactionLost);
  }
  statement_done();
  if (done.ok()) co_await net::pause_point("tablet-decision-before");
  co_return done;
}

}  // namespace vitrail::tablet

#include "tablet/twopc_resolver.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "net/scope.h"
#include "query.pb.h"
#include "rpc/typed.h"
#include "tablet/redo_log.h"
#include "tablet/unlogged.h"
#include "topo/paths.h"
#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::tablet {
namespace {

namespace q = ::query;
using namespace std::chrono_literals;

constexpr auto kStepMax = 10s;  // For one transaction.
constexpr size_t kAtOnce = 16;
constexpr size_t kLookMax = 1000;    // Rows of one look; the others' turn comes.
constexpr auto kRollbackKept = 24h;  // A transaction that was to be refused by such a row is gone long before.

q::Target target_of(const std::string& keyspace, const std::string& shard) {
  q::Target target;
  target.set_keyspace(keyspace);
  target.set_shard(shard);
  target.set_tablet_type(::topodata::PRIMARY);
  return target;
}

}  // namespace

DecisionSeen decision_seen(const Status& answer) {
  if (answer.ok()) return DecisionSeen::kRollback;
  return answer.error().code() == Code::kAlreadyExists ? DecisionSeen::kCommit : DecisionSeen::kUnknown;
}

Resolution resolution_of(DecisionSeen seen) {
  switch (seen) {
    case DecisionSeen::kCommit: return Resolution::kCommit;
    case DecisionSeen::kRollback: return Resolution::kRollback;
    case DecisionSeen::kUnknown: break;
  }
  return Resolution::kWait;
}

TwoPcResolver::TwoPcResolver(Options options, TabletManager& manager, QueryService& queries, base::Metrics& metrics)
    : options_(std::move(options)),
      manager_(manager),
      queries_(queries),
      channels_(options_.channel),
      committed_(metrics.counter("TwoPcResolvedCommits", "prepared transactions that the resolver has committed")),
      rolled_back_(
          metrics.counter("TwoPcResolvedRollbacks", "prepared transactions that the resolver has rolled back")),
      waiting_(metrics.gauge("Unresolved", "transactions that are prepared for longer than --twopc-abandon-age")) {}

std::vector<TwoPcResolver::Unresolved> TwoPcResolver::unresolved() const {
  const std::lock_guard lock(mutex_);
  return unresolved_;
}

void TwoPcResolver::keep_only(Seen& seen, const std::vector<std::string>& present, base::TimePoint now) {
  Seen kept;
  for (const auto& dtid : present) {
    const auto known = seen.find(dtid);
    kept.emplace(dtid, known == seen.end() ? now : known->second);
  }
  seen = std::move(kept);
}

net::Task<Status> TwoPcResolver::tell_primary(std::string keyspace, std::string shard, std::string dtid, bool decide,
                                              net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto record, co_await topo::get_shard(manager_.topology(), keyspace, shard));
  if (!record.record.has_primary_alias()) co_return fail(Code::kUnavailable, shard + " has no primary");
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(manager_.topology(), record.record.primary_alias()));
  CO_ASSIGN_OR_RETURN(const auto channel, channels_.get(topo::tablet_address(tablet.record, topo::kPortGrpc)));
  if (decide) {
    q::SetRollbackRequest request;
    *request.mutable_target() = target_of(keyspace, shard);
    request.set_dtid(dtid);
    auto done = co_await rpc::call<q::SetRollbackResponse>(*channel, "/queryservice.Query/SetRollback", request, wait);
    co_return done.ok() ? Status() : Status(std::move(done).error());
  }
  q::CommitPreparedRequest request;
  *request.mutable_target() = target_of(keyspace, shard);
  request.set_dtid(dtid);
  auto done =
      co_await rpc::call<q::CommitPreparedResponse>(*channel, "/queryservice.Query/CommitPrepared", request, wait);
  co_return done.ok() ? Status() : Status(std::move(done).error());
}

net::Task<void> TwoPcResolver::resolve(std::string dtid, net::CancelToken cancel) {
  const auto id = Dtid::parse(dtid);
  if (!id.ok()) co_return;
  const net::Wait wait = net::Wait::within(kStepMax, cancel);
  const Status answer = co_await tell_primary(id->keyspace, id->shard, dtid, true, wait);
  const Resolution resolution = resolution_of(decision_seen(answer));
  if (resolution == Resolution::kWait) {
    static base::LogLimit limit(5s);
    if (limit.allow())
      log_warning("{} stays prepared: {}/{} does not decide it: {}", dtid, id->keyspace, id->shard,
                  answer.error().message());
    co_return;
  }
  const bool commit = resolution == Resolution::kCommit;
  const Status ended = co_await queries_.finish_prepared(dtid, commit, wait);
  if (ended.ok()) {
    (commit ? committed_ : rolled_back_).add();
    log_info("{} was left prepared: {}", dtid, commit ? "committed" : "rolled back");
  } else {
    log_warning("{} stays prepared: {}", dtid, ended.error().message());
  }
}

net::Task<bool> TwoPcResolver::ended_everywhere(std::string dtid, net::Wait wait) {
  auto rows = co_await manager_.server().query(
      "select keyspace, shard from _vt.dt_participant where dtid = " + mysqld::quote_string(dtid), wait);
  if (!rows.ok()) co_return false;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const std::string keyspace(rows->text(i, 0)), shard(rows->text(i, 1));
    const Status told = co_await tell_primary(keyspace, shard, dtid, false, wait);
    if (!told.ok()) {
      static base::LogLimit limit(5s);
      if (limit.allow())
        log_warning("{} is committed, and {}/{} has not said so yet: {}", dtid, keyspace, shard,
                    told.error().message());
      co_return false;
    }
  }
  co_return true;
}

net::Task<Status> TwoPcResolver::conclude(std::vector<std::string> dtids, net::Wait wait) {
  for (size_t begin = 0; begin < dtids.size(); begin += 100) {
    std::string list;
    for (size_t i = begin; i < std::min(begin + 100, dtids.size()); ++i) {
      list += (list.empty() ? "" : ", ") + mysqld::quote_string(dtids[i]);
    }
    CO_RETURN_IF_ERROR(co_await queries_.write_records(
        {manager_.server().translated(fmt::format("delete from _vt.dt_participant where dtid in ({})", list))}, wait));
  }
  co_return Status{};
}

net::Task<Status> TwoPcResolver::look(net::CancelToken cancel) {
  const net::Wait wait = net::Wait::within(kStepMax, cancel);
  CO_RETURN_IF_ERROR(co_await conclude(co_await queries_.take_concluded(), wait));
  auto& server = manager_.server();
  auto records = co_await server.query(
      fmt::format("select s.dtid, ifnull(r.state, 1), ifnull(r.message, '') from _vt.redo_statement s left join "
                  "_vt.redo_state r on r.dtid = s.dtid where s.id = 1 limit {}",
                  kLookMax),
      wait);
  if (!records.ok()) {
    if (is_missing_table(records.error())) co_return Status{};
    co_return std::move(records).error();
  }
  CO_ASSIGN_OR_RETURN(
      const auto decided,
      co_await server.query(
          fmt::format("select dtid, keyspace from _vt.dt_participant where id = 1 limit {}", kLookMax), wait));
  const base::TimePoint now = base::system_clock().now();
  const auto column = [](const net::QueryResult& rows) {
    std::vector<std::string> out;
    for (size_t i = 0; i < rows.rows.size(); ++i) out.emplace_back(rows.text(i, 0));
    return out;
  };
  keep_only(prepared_since_, column(*records), now);
  keep_only(decided_since_, column(decided), now);
  std::vector<Unresolved> seen;
  std::vector<std::string> to_resolve, to_end, over;
  for (size_t i = 0; i < records->rows.size(); ++i) {
    const std::string dtid(records->text(i, 0));
    const bool failed = records->text(i, 1) == "0";
    if (!failed && now - prepared_since_[dtid] < options_.abandon_age) continue;
    seen.push_back({dtid, failed ? "FAILED" : "PREPARED", std::string(records->text(i, 2))});
    if (!failed) to_resolve.push_back(dtid);
  }
  const int64_t waiting = static_cast<int64_t>(seen.size());
  for (size_t i = 0; i < decided.rows.size(); ++i) {
    const std::string dtid(decided.text(i, 0));
    const bool commit = !decided.text(i, 1).empty();
    const base::Duration known = now - decided_since_[dtid];
    if (commit && known >= options_.abandon_age) seen.push_back({dtid, "COMMIT", ""});
    if (commit && known >= options_.abandon_age) to_end.push_back(dtid);
    if (!commit && known >= kRollbackKept) over.push_back(dtid);
  }
  {
    const std::lock_guard lock(mutex_);
    waiting_.set(waiting);
    unresolved_ = std::move(seen);
  }
  for (size_t begin = 0; begin < to_resolve.size(); begin += kAtOnce) {
    std::vector<net::Task<void>> tasks;
    for (size_t i = begin; i < std::min(begin + kAtOnce, to_resolve.size()); ++i) {
      tasks.push_back(resolve(to_resolve[i], cancel));
    }
    co_await net::when_all(std::move(tasks));
  }
  for (auto& dtid : to_end) {
    if (cancel.cancelled()) co_return Status{};
    if (co_await ended_everywhere(dtid, net::Wait::within(kStepMax, cancel))) over.push_back(dtid);
  }
  co_return co_await conclude(std::move(over), net::Wait::within(kStepMax, cancel));
}

net::Task<void> TwoPcResolver::run(net::CancelToken cancel) {
  const base::Duration pause = std::clamp<base::Duration>(options_.abandon_age / 4, 100ms, 1s);
  static base::LogLimit limit(10s);
  while ((co_await net::sleep_for(pause, cancel)).ok()) {
    if (manager_.shown_type() != ::topodata::PRIMARY) {
      const std::lock_guard lock(mutex_);
      unresolved_.clear();
      prepared_since_.clear();
      decided_since_.clear();
      waiting_.set(0);
      continue;
    }
    const Status looked = co_await look(cancel);
    if (!looked.ok() && !cancel.cancelled() && limit.allow()) {
      log_warning("looking for transactions that were left prepared: {}", looked.error().message());
    }
  }
}

void TwoPcResolver::register_handlers(rpc::Server& server, net::Loop& loop) {
  // Whoever reaches another tablet by an address of before must not take its word for this shard's.
  auto check = [](const TabletManager& manager, const q::Target& target) -> Status {
    if (target.keyspace() == manager.settings().keyspace && target.shard() == manager.settings().shard &&
        manager.shown_type() == ::topodata::PRIMARY) {
      return {};
    }
    return fail(Code::kUnavailable, fmt::format("{} is not the primary of {}/{}", manager.settings().tablet_path,
                                                target.keyspace(), target.shard()));
  };
  rpc::handle_unary<q::SetRollbackRequest, q::SetRollbackResponse>(
      server, "/queryservice.Query/SetRollback", loop,
      [this, check](rpc::CallContext context, q::SetRollbackRequest r) {
        return [](TwoPcResolver& self, Status allowed, std::string dtid,
                  net::Wait wait) -> net::Task<Result<q::SetRollbackResponse>> {
          CO_RETURN_IF_ERROR(std::move(allowed));
          CO_ASSIGN_OR_RETURN(const auto id, Dtid::parse(dtid));
          if (id.keyspace != self.manager_.settings().keyspace || id.shard != self.manager_.settings().shard) {
            co_return fail(Code::kInvalidArgument, "another shard decides " + dtid);
          }
          CO_ASSIGN_OR_RETURN(const bool committed, co_await self.queries_.decide(dtid, wait));
          if (committed) co_return fail(Code::kAlreadyExists, dtid + " is committed");
          co_return q::SetRollbackResponse();
        }(*this, check(manager_, r.target()), r.dtid(), context.wait());
      });
  rpc::handle_unary<q::CommitPreparedRequest, q::CommitPreparedResponse>(
      server, "/queryservice.Query/CommitPrepared", loop,
      [this, check](rpc::CallContext context, q::CommitPreparedRequest r) {
        return [](TwoPcResolver& self, Status allowed, std::string dtid,
                  net::Wait wait) -> net::Task<Result<q::CommitPreparedResponse>> {
          CO_RETURN_IF_ERROR(std::move(allowed));
          CO_RETURN_IF_ERROR(co_await self.queries_.finish_prepared(dtid, true, wait));
          co_return q::CommitPreparedResponse();
        }(*this, check(manager_, r.target()), r.dtid(), context.wait());
      });
}

}  // namespace vitrail::tablet

#include "control/worker_claim.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/random.h"
#include "control/tablet_states.h"
#include "tabletmanagerdata.pb.h"
#include "topo/locks.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::string_view kDir = "workers";
constexpr std::string_view kFile = "Claim";
// How long a claim outlives a worker that was killed or hangs. A session's end that the store notices ends it at once.
constexpr auto kLease = 10s;
constexpr auto kCallTime = 30s;

std::string claim_dir(std::string_view id) { return fmt::format("{}/{}", kDir, id); }

net::Task<Status> start_replication(TabletClient& client, ::topodata::Tablet tablet) {
  CO_ASSIGN_OR_RETURN(const auto status,
                      co_await client.call<tmd::ReplicationStatusResponse>(
                          tablet, "ReplicationStatus", tmd::ReplicationStatusRequest(), net::Wait::within(kCallTime)));
  (void)status;
  tmd::StartReplicationRequest start;
  CO_ASSIGN_OR_RETURN(const bool acknowledges, co_await acknowledges_primary(client, tablet));
  start.set_semisync(acknowledges);
  auto done = co_await client.call<tmd::StartReplicationResponse>(std::move(tablet), "StartReplication",
                                                                  std::move(start), net::Wait::within(kCallTime));
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

net::Task<Status> set_tags(TabletClient& client, ::topodata::Tablet tablet, std::string url, std::string reason) {
  tmd::ChangeTagsRequest request;
  (*request.mutable_tags())[std::string(kWorkerTag)] = std::move(url);
  (*request.mutable_tags())[std::string(kDrainReasonTag)] = std::move(reason);
  auto done = co_await client.call<tmd::ChangeTagsResponse>(std::move(tablet), "ChangeTags", std::move(request),
                                                            net::Wait::within(kCallTime));
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

net::Task<Status> set_type(TabletClient& client, ::topodata::Tablet tablet, ::topodata::TabletType type) {
  tmd::ChangeTypeRequest request;
  request.set_tablet_type(type);
  ::topodata::Tablet then = tablet;
  then.set_type(type);
  CO_ASSIGN_OR_RETURN(const bool acknowledges, co_await acknowledges_primary(client, then));
  request.set_semisync(acknowledges);
  auto done = co_await client.call<tmd::ChangeTypeResponse>(std::move(tablet), "ChangeType", std::move(request),
                                                            net::Wait::within(kCallTime));
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

// Replication first: a tablet that serves again must not be far behind for longer than it has to.
net::Task<Status> give_tablet_back(TabletClient& client, WorkerClaimRecord::TakenTablet taken) {
  auto stored = co_await topo::get_tablet(client.topology(), taken.alias);
  if (!stored.ok() && stored.error().code() == Code::kNotFound) co_return Status{};  // Deleted meanwhile.
  if (!stored.ok()) co_return std::move(stored).error();
  const ::topodata::Tablet& tablet = stored->record;
  if (tablet.type() != ::topodata::PRIMARY) CO_RETURN_IF_ERROR(co_await start_replication(client, tablet));
  // An operator, or its own restart, may have given it another type.
  if (tablet.type() == ::topodata::DRAINED) CO_RETURN_IF_ERROR(co_await set_type(client, tablet, taken.type));
  if (!tablet.tags().contains(std::string(kWorkerTag))) co_return Status{};
  co_return co_await set_tags(client, tablet, "", "");
}

net::Task<Status> let_streams_run(TabletClient& client, WorkerClaimRecord::HeldStreams held) {
  auto primary = co_await client.primary_of(held.keyspace, held.shard);
  if (!primary.ok() && primary.error().code() == Code::kNotFound) co_return Status{};
  if (!primary.ok()) co_return std::move(primary).error();
  std::string ids;
  for (const int32_t id : held.ids) ids += fmt::format("{}{}", ids.empty() ? "" : ",", id);
  if (ids.empty()) co_return Status{};
  tmd::VReplicationExecRequest request;
  // Streams that a switch of traffic has stopped since are none of ours.
  request.set_query(
      fmt::format("update _vt.vreplication set state = 'Running', stop_pos = null, message = '' where id in ({}) and "
                  "message not in ('FROZEN', 'stopped for cutover')",
                  ids));
  auto done = co_await client.call<tmd::VReplicationExecResponse>(std::move(*primary), "VReplicationExec",
                                                                  std::move(request), net::Wait::within(kCallTime));
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

// What is given back leaves the record. The first error is returned at the end.
net::Task<Status> give_all_back(TabletClient& client, WorkerClaimRecord& record) {
  Status first;
  std::vector<WorkerClaimRecord::HeldStreams> streams;
  for (auto& held : record.streams) {
    Status done = co_await let_streams_run(client, held);
    if (done.ok()) continue;
    streams.push_back(std::move(held));
    if (first.ok()) first = std::move(done);
  }
  record.streams = std::move(streams);
  std::vector<WorkerClaimRecord::TakenTablet> tablets;
  for (auto& taken : record.tablets) {
    Status done = co_await give_tablet_back(client, taken);
    if (done.ok()) continue;
    tablets.push_back(std::move(taken));
    if (first.ok()) first = std::move(done);
  }
  record.tablets = std::move(tablets);
  co_return first;
}

net::Task<Status> remove_claim(topo::Store& store, std::string path) {
  Status removed = co_await store.remove(path, std::nullopt);
  if (!removed.ok() && removed.error().code() == Code::kNotFound) co_return Status{};
  co_return removed;
}

}  // namespace

std::string WorkerClaimRecord::to_json() const {
  json document = {{"url", url}, {"job", job}, {"tablets", json::array()}, {"streams", json::array()}};
  for (const auto& taken : tablets) {
    document["tablets"].push_back(
        {{"alias", topo::alias_to_string(taken.alias)}, {"type", topo::tablet_type_to_string(taken.type)}});
  }
  for (const auto& held : streams) {
    document["streams"].push_back({{"keyspace", held.keyspace}, {"shard", held.shard}, {"ids", held.ids}});
  }
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<WorkerClaimRecord> WorkerClaimRecord::from_json(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  const auto bad = [] { return fail(Code::kDataLoss, "the claim of a worker cannot be read"); };
  if (!document.is_object()) return bad();
  const auto text_of = [](const json& from, const char* name) {
    const auto found = from.find(name);
    return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto list_of = [](const json& from, const char* name) {
    const auto found = from.find(name);
    return found != from.end() && found->is_array() ? *found : json::array();
  };
  WorkerClaimRecord record;
  record.url = text_of(document, "url");
  record.job = text_of(document, "job");
  for (const auto& one : list_of(document, "tablets")) {
    if (!one.is_object()) return bad();
    TakenTablet taken;
    ASSIGN_OR_RETURN(taken.alias, topo::parse_alias(text_of(one, "alias")));
    ASSIGN_OR_RETURN(taken.type, topo::parse_tablet_type(text_of(one, "type")));
    record.tablets.push_back(std::move(taken));
  }
  for (const auto& one : list_of(document, "streams")) {
    if (!one.is_object()) return bad();
    HeldStreams held{.keyspace = text_of(one, "keyspace"), .shard = text_of(one, "shard"), .ids = {}};
    for (const auto& id : list_of(one, "ids")) {
      if (!id.is_number_integer()) return bad();
      held.ids.push_back(id.get<int32_t>());
    }
    record.streams.push_back(std::move(held));
  }
  return record;
}

net::Task<Result<std::unique_ptr<WorkerClaim>>> WorkerClaim::open(TabletClient& client, std::string url,
                                                                  std::string job) {
  const std::string id = base::system_random().uuid();
  topo::Store& store = client.topology().global();
  CO_ASSIGN_OR_RETURN(
      auto lock, co_await store.lock(claim_dir(id), topo::LockContents{.action = job, .status = "Running"}.to_json(),
                                     {.ttl = kLease, .require_dir = false}));
  std::unique_ptr<WorkerClaim> claim(
      new WorkerClaim(client, fmt::format("{}/{}", claim_dir(id), kFile), std::move(lock)));
  claim->record_.url = std::move(url);
  claim->record_.job = std::move(job);
  co_return claim;
}

net::Task<Status> WorkerClaim::write() {
  topo::WriteOptions options;
  options.fence = lock_->fence();
  auto written = co_await client_.topology().global().update(path_, record_.to_json(), std::nullopt, options);
  co_return written.ok() ? Status{} : Status(std::move(written).error().with_context("the worker's claim"));
}

net::Task<Status> WorkerClaim::take(::topodata::Tablet tablet, net::Wait wait) {
  record_.tablets.push_back({tablet.alias(), tablet.type()});
  CO_RETURN_IF_ERROR(co_await write());
  // Read anew: two workers may want the same one, and the other has it drained by now.
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(client_.topology(), tablet.alias()));
  if (stored.record.type() != tablet.type() || stored.record.tags().contains(std::string(kWorkerTag))) {
    record_.tablets.pop_back();
    CO_RETURN_IF_ERROR(co_await write());
    co_return fail(Code::kFailedPrecondition, fmt::format("tablet {} is {} by now: somebody else has taken it",
                                                          topo::alias_to_string(tablet.alias()),
                                                          topo::tablet_type_to_string(stored.record.type())));
  }
  if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, "the job was cancelled");
  CO_RETURN_IF_ERROR(co_await set_tags(client_, stored.record, record_.url, "Used by vtworker"));
  co_return co_await set_type(client_, stored.record, ::topodata::DRAINED);
}

net::Task<Status> WorkerClaim::hold_streams(std::string keyspace, std::string shard, std::vector<int32_t> ids) {
  record_.streams.push_back({std::move(keyspace), std::move(shard), std::move(ids)});
  co_return co_await write();
}

net::Task<Status> WorkerClaim::release_streams() {
  for (const auto& held : record_.streams) CO_RETURN_IF_ERROR(co_await let_streams_run(client_, held));
  record_.streams.clear();
  co_return co_await write();
}

net::Task<Status> WorkerClaim::own_keyspace(std::string keyspace, net::CancelToken cancel) {
  topo::LockOptions options{
      .wait = net::Wait::within(2 * kLease, std::move(cancel)), .ttl = kLease, .require_dir = false};
  const std::string contents = topo::LockContents{.action = record_.job, .status = "Running"}.to_json();
  auto lock =
      co_await client_.topology().global().lock(claim_dir("keyspace-" + keyspace), contents, std::move(options));
  if (!lock.ok()) {
    co_return std::move(lock).error().with_context(
        fmt::format("another vtworker copies to keyspace {}, wait for its end or cancel it", keyspace));
  }
  keyspace_lock_ = std::move(*lock);
  co_return Status{};
}

net::Task<Status> WorkerClaim::check() {
  for (topo::Lock* lock : {lock_.get(), keyspace_lock_.get()}) {
    if (lock == nullptr) continue;
    Status held = co_await lock->check_held();
    if (held.ok()) continue;
    if (held.error().code() != Code::kFailedPrecondition) co_return held;
    co_return fail(Code::kOutOfRange,
                   "this worker was taken for dead, what it had taken was given back: run the job again");
  }
  co_return Status{};
}

net::Task<Status> WorkerClaim::give_back() {
  Status done;
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (attempt > 0) (void)co_await net::sleep_for(1s);
    done = co_await give_all_back(client_, record_);
    if (done.ok()) break;
  }
  Status noted = record_.empty() ? co_await remove_claim(client_.topology().global(), path_) : co_await write();
  if (keyspace_lock_ != nullptr) (void)co_await keyspace_lock_->unlock();
  (void)co_await lock_->unlock();
  if (!done.ok()) co_return std::move(done).error().with_context("not given back yet, vtctld will go on trying");
  co_return noted;
}

namespace {

// One claim whose worker is gone.
net::Task<Status> sweep_one(TabletClient& client, topo::PathRecord stored, std::vector<std::string>& done) {
  topo::Store& store = client.topology().global();
  const std::string dir = stored.path.substr(0, stored.path.rfind('/'));
  const std::string contents = topo::LockContents{.action = "give back", .status = "Running"}.to_json();
  auto lock = co_await store.try_lock(dir, contents, {.ttl = kLease, .require_dir = false});
  if (!lock.ok() && lock.error().code() == Code::kAlreadyExists) co_return Status{};  // It lives.
  if (!lock.ok()) co_return std::move(lock).error();
  auto body = [](TabletClient& from, topo::Store& at, std::string path,
                 std::vector<std::string>& out) -> net::Task<Status> {
    // It may have been given back, or have changed, since it was listed.
    auto now = co_await at.get(path);
    if (!now.ok() && now.error().code() == Code::kNotFound) co_return Status{};
    if (!now.ok()) co_return std::move(now).error();
    CO_ASSIGN_OR_RETURN(auto record, WorkerClaimRecord::from_json(now->data));
    const std::string what = fmt::format("{} tablet(s), {} shard(s) with streams of the job \"{}\"",
                                         record.tablets.size(), record.streams.size(), record.job);
    CO_RETURN_IF_ERROR(co_await give_all_back(from, record));
    CO_RETURN_IF_ERROR(co_await remove_claim(at, path));
    out.push_back(what);
    co_return Status{};
  };
  Status swept = co_await body(client, store, stored.path, done);
  (void)co_await (*lock)->unlock();
  co_return swept;
}

}  // namespace

net::Task<Result<std::vector<std::string>>> sweep_worker_claims(TabletClient& client) {
  CO_ASSIGN_OR_RETURN(auto claims, co_await client.topology().global().list(std::string(kDir)));
  std::vector<std::string> done;
  for (auto& claim : claims) {
    if (!claim.path.ends_with(fmt::format("/{}", kFile))) continue;
    Status swept = co_await sweep_one(client, std::move(claim), done);
    if (!swept.ok()) log_warning("giving back what a vtworker left: {}", swept.error().message());
  }
  co_return done;
}

net::Task<void> keep_sweeping(TabletClient& client, net::CancelToken cancel) {
  while (!cancel.cancelled()) {
    auto swept = co_await sweep_worker_claims(client);
    if (swept.ok()) {
      for (const auto& what : *swept) log_info("given back, its vtworker is gone: {}", what);
    }
    (void)co_await net::sleep_for(kWorkerSweepInterval, cancel);
  }
}

}  // namespace vitrail::control

#include "worker/clone.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "control/worker_claim.h"
#include "control/workflow/cancel.h"
#include "control/workflow/create.h"
#include "control/workflow/records.h"
#include "topo/keyspace.h"
#include "topo/tablet.h"
#include "topo/vschema.h"
#include "worker/copy.h"
#include "worker/shards.h"

namespace vitrail::worker {
namespace {

using control::WorkerClaim;

// What the two commands have in common. One run.
class Clone : public Job {
 public:
  Clone(std::string name, JobSettings settings, std::string argument)
      : name_(std::move(name)), settings_(std::move(settings)), argument_(std::move(argument)) {}

  net::Task<Status> run(JobContext& context) override {
    context_ = &context;
    CO_ASSIGN_OR_RETURN(const auto swept, co_await control::sweep_worker_claims(context.tablets));
    for (const auto& what : swept) context.progress.info("given back, its vtworker is gone: " + what);
    CO_ASSIGN_OR_RETURN(type_, topo::parse_tablet_type(settings_.tablet_type));
    if (type_ != ::topodata::RDONLY && type_ != ::topodata::REPLICA) {
      co_return fail(Code::kInvalidArgument, "tablet_type must be RDONLY or REPLICA");
    }
    if (!settings_.online && !settings_.offline) {
      co_return fail(Code::kInvalidArgument, "nothing is left to do: online and offline are both false");
    }
    if (settings_.use_consistent_snapshot && !settings_.offline) {
      co_return fail(Code::kInvalidArgument,
                     "use_consistent_snapshot is about the offline pass, which offline=false leaves out");
    }
    CO_RETURN_IF_ERROR(co_await find_shards());
    CO_ASSIGN_OR_RETURN(claim_, co_await WorkerClaim::open(context.tablets, context.options.url,
                                                           fmt::format("{} {}", name_, argument_)));
    Status done = co_await copy();
    const State reached = context.progress.state();
    context.progress.set_state(State::kCleaningUp);
    for (const auto& snapshot : snapshots_) co_await snapshot->close();
    Status given_back = co_await claim_->give_back();
    if (!given_back.ok()) context.progress.error(given_back.error().message());
    if (!done.ok()) {
      co_return std::move(done).error().with_context(std::string(state_text(reached)));
    }
    co_return given_back;
  }

 protected:
  struct Source {
    std::string keyspace;
    std::string shard;
  };
  // Fills in what is below; refuses what cannot be.
  virtual net::Task<Status> find_shards() = 0;
  virtual control::CopiedWorkflow workflow() const = 0;

  JobContext& context() { return *context_; }
  const JobSettings& settings() const { return settings_; }
  const std::string& argument() const { return argument_; }

  std::vector<Source> sources_;
  std::string keyspace_;                   // Of the destinations.
  std::vector<std::string> destinations_;  // Shards.
  bool by_range_ = false;                  // A destination gets the rows of its range; else all.
  std::vector<std::string> tables_;        // Found by copy(), for a split of shards.
  std::vector<std::string> excluded_;

 private:
  // The last one's workflow, when its source shards were taken away by hand: nothing of it is left but what its copy
  // has brought.
  net::Task<Status> forget_workflow() {
    const auto wanted = workflow();
    auto found = co_await control::find_workflow(context_->tablets, wanted.target_keyspace, wanted.workflow);
    if (!found.ok() && found.error().code() == Code::kNotFound) co_return Status{};
    if (!found.ok()) co_return std::move(found).error();
    context_->progress.info(
        fmt::format("Taking away what is left of workflow {}.{}.", wanted.target_keyspace, wanted.workflow));
    ::vtctldata::WorkflowDeleteRequest request;
    request.set_keyspace(wanted.target_keyspace);
    request.set_workflow(wanted.workflow);
    request.set_keep_data(true);
    request.set_keep_routing_rules(true);
    auto cancelled = co_await control::cancel_workflow(context_->tablets, std::move(request));
    co_return cancelled.ok() ? Status{} : Status(std::move(cancelled).error());
  }

  net::Task<Status> choose_tables() {
    CO_ASSIGN_OR_RETURN(const auto healthy,
                        co_await wait_for_healthy(*context_, sources_[0].keyspace, sources_[0].shard, type_, 1));
    CO_ASSIGN_OR_RETURN(const auto schema,
                        co_await read_schema(*context_, healthy[0], settings_.tables, settings_.exclude_tables));
    for (const auto& table : schema.table_definitions()) {
      if (table.type() != "VIEW") tables_.push_back(table.name());
    }
    for (const auto& wanted : settings_.tables) {
      if (wanted.starts_with('/') || std::ranges::find(tables_, wanted) != tables_.end()) continue;
      co_return fail(Code::kNotFound,
                     fmt::format("shard {}/{} has no table {}", sources_[0].keyspace, sources_[0].shard, wanted));
    }
    if (tables_.empty()) {
      co_return fail(Code::kFailedPrecondition, "no tables matching the table filter: nothing is to be copied");
    }
    if (settings_.exclude_tables.empty()) co_return Status{};
    CO_ASSIGN_OR_RETURN(const auto all, co_await read_schema(*context_, healthy[0], settings_.tables, {}));
    for (const auto& table : all.table_definitions()) {
      if (std::ranges::find(tables_, table.name()) == tables_.end()) excluded_.push_back(table.name());
    }
    co_return Status{};
  }

  net::Task<Status> copy() {
    CO_RETURN_IF_ERROR(co_await claim_->own_keyspace(keyspace_, context_->cancel));
    CO_RETURN_IF_ERROR(co_await forget_workflow());
    context_->progress.set_state(State::kFindingTargets);
    CO_RETURN_IF_ERROR(co_await choose_tables());
    ::vschema::SrvVSchema vschema;
    if (by_range_) {
      CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_vschema(context_->topology(), keyspace_));
      if (!stored.record.sharded()) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("keyspace {} is not sharded: apply a sharded vschema first", keyspace_));
      }
      (*vschema.mutable_keyspaces())[keyspace_] = stored.record;
    }
    Copier copier(*context_, settings_, [this] { return claim_->check(); }, tables_, type_, std::move(vschema));
    for (const auto& source : sources_) {
      copier.sources().push_back({.keyspace = source.keyspace, .shard = source.shard, .tablet = {}, .position = {}});
    }
    for (const auto& shard : destinations_) {
      // "0" covers everything.
      const std::string range = !by_range_ ? "" : shard.find('-') == std::string::npos ? "-" : shard;
      CO_RETURN_IF_ERROR(co_await copier.add_destination(keyspace_, shard, range, workflow().workflow));
    }
    if (settings_.online) {
      context_->progress.set_state(State::kCloningOnline);
      CO_RETURN_IF_ERROR(co_await copier.run(false));
    }
    if (!settings_.offline) co_return Status{};
    context_->progress.set_state(State::kCloningOffline);
    CO_RETURN_IF_ERROR(co_await take_tablets(copier));
    CO_RETURN_IF_ERROR(co_await copier.run(true));
    // What was stopped has been stopped all the time, and by us.
    CO_RETURN_IF_ERROR(co_await claim_->check());
    CO_RETURN_IF_ERROR(context_->check_cancelled());
    context_->progress.set_state(State::kSynchronizing);
    auto wanted = workflow();
    for (const auto& source : copier.sources()) wanted.positions[source.shard] = source.position.prefixed_string();
    const std::string name = fmt::format("{}.{}", wanted.target_keyspace, wanted.workflow);
    CO_RETURN_IF_ERROR(co_await control::create_copied(context_->tablets, std::move(wanted)));
    context_->progress.info("Filtered replication was started: workflow " + name);
    co_return Status{};
  }

  net::Task<Status> take_tablets(Copier& copier) {
    for (auto& source : copier.sources()) {
      CO_ASSIGN_OR_RETURN(const auto healthy,
                          co_await wait_for_healthy(*context_, source.keyspace, source.shard, type_,
                                                    static_cast<size_t>(settings_.min_healthy_tablets)));
      source.tablet = healthy.back();
      if (settings_.use_consistent_snapshot) {
        CO_RETURN_IF_ERROR(co_await hold(source));
        continue;
      }
      CO_RETURN_IF_ERROR(co_await claim_->take(healthy.back(), context_->action_wait()));
      context_->progress.info(fmt::format("Using tablet {} as source for {}/{}; its replication is stopped.",
                                          alias_of(*source.tablet), source.keyspace, source.shard));
      CO_RETURN_IF_ERROR(co_await stop_replication(*context_, *source.tablet));
      source.tablet->set_type(::topodata::DRAINED);
      CO_ASSIGN_OR_RETURN(source.position, co_await standing_position(*context_, *source.tablet, tables_[0]));
    }
    co_return Status{};
  }

  // The tablet stays what it is: it serves and replicates.
  net::Task<Status> hold(CopySource& source) {
    const size_t readers = std::min<size_t>(static_cast<size_t>(settings_.source_reader_count), tables_.size());
    CO_ASSIGN_OR_RETURN(auto snapshot, co_await HeldSnapshot::open(*context_, *source.tablet, readers));
    source.snapshot = snapshot->name();
    source.position = snapshot->position();
    snapshots_.push_back(std::move(snapshot));
    context_->progress.info(
        fmt::format("Using tablet {} as source for {}/{}: a consistent snapshot at {}. It goes on to "
                    "serve and to replicate.",
                    alias_of(*source.tablet), source.keyspace, source.shard, source.position.to_string()));
    co_return Status{};
  }

  const std::string name_;
  const JobSettings settings_;
  const std::string argument_;
  JobContext* context_ = nullptr;
  std::vector<std::unique_ptr<HeldSnapshot>> snapshots_;
  ::topodata::TabletType type_ = ::topodata::RDONLY;
  std::unique_ptr<WorkerClaim> claim_;
};

class SplitClone final : public Clone {
 public:
  SplitClone(JobSettings settings, std::string argument)
      : Clone("SplitClone", std::move(settings), std::move(argument)) {}

 private:
  net::Task<Status> find_shards() override {
    CO_ASSIGN_OR_RETURN(const auto name, parse_shard_path(argument()));
    keyspace_ = name.first;
    by_range_ = true;
    CO_ASSIGN_OR_RETURN(const auto all, co_await topo::find_all_shards(context().topology(), keyspace_));
    CO_ASSIGN_OR_RETURN(const auto shards, find_split(all, keyspace_, name.second));
    CO_RETURN_IF_ERROR(co_await check_split(context(), shards));
    for (const auto& from : shards.sources) sources_.push_back({keyspace_, from.name});
    for (const auto& to : shards.destinations) destinations_.push_back(to.name);
    co_return Status{};
  }
  control::CopiedWorkflow workflow() const override {
    control::CopiedWorkflow out;
    out.kind = "Reshard";
    out.source_keyspace = out.target_keyspace = keyspace_;
    for (const auto& source : sources_) out.source_shards.push_back(source.shard);
    out.target_shards = destinations_;
    out.exclude_tables = excluded_;
    out.workflow = split_workflow(out.source_shards, out.target_shards);
    return out;
  }
};

class VerticalSplitClone final : public Clone {
 public:
  VerticalSplitClone(JobSettings settings, std::string argument)
      : Clone("VerticalSplitClone", std::move(settings), std::move(argument)) {}

 private:
  net::Task<Status> find_shards() override {
    CO_ASSIGN_OR_RETURN(const auto name, parse_shard_path(argument()));
    keyspace_ = name.first;
    destinations_ = {name.second};
    CO_ASSIGN_OR_RETURN(const auto keyspace, co_await topo::get_keyspace(context().topology(), keyspace_));
    if (keyspace.record.served_froms().empty()) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("destination keyspace {} has no KeyspaceServedFrom", keyspace_));
    }
    CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(context().topology(), keyspace_, name.second));
    CO_RETURN_IF_ERROR(check_no_source_shards(shard));
    for (const auto type : {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY}) {
      const auto* from = topo::find_served_from(keyspace.record, type);
      if (from == nullptr) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("destination keyspace {} is serving type {}", keyspace_, type_name(type)));
      }
      if (source_keyspace_.empty()) source_keyspace_ = from->keyspace();
      if (from->keyspace() != source_keyspace_) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("destination keyspace {} is served from {} and from {}: it must be one", keyspace_,
                                   source_keyspace_, from->keyspace()));
      }
    }
    CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::get_shard_names(context().topology(), source_keyspace_));
    if (shards.size() != 1) {
      co_return fail(Code::kFailedPrecondition, fmt::format("source keyspace {} must have exactly one shard, it has {}",
                                                            source_keyspace_, shards.size()));
    }
    sources_ = {{source_keyspace_, shards[0]}};
    co_return Status{};
  }
  control::CopiedWorkflow workflow() const override {
    control::CopiedWorkflow out;
    out.kind = "MoveTables";
    out.source_keyspace = source_keyspace_;
    out.target_keyspace = keyspace_;
    out.source_shards = {sources_[0].shard};
    out.target_shards = destinations_;
    out.tables = tables_;
    std::ranges::sort(out.tables);
    out.workflow = vertical_workflow(source_keyspace_);
    return out;
  }

  std::string source_keyspace_;
};

}  // namespace

std::string split_workflow(const std::vector<std::string>& sources, const std::vector<std::string>& destinations) {
  constexpr size_t kLongest = 55;  // A workflow's name is limited, and its reverse workflow's is longer.
  std::string name = fmt::format("splitclone_{}_to_{}", base::join(sources, "_"), base::join(destinations, "_"));
  if (name.size() <= kLongest) return name;
  uint64_t hash = 14695981039346656037ull;  // FNV-1a.
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211ull;
  return fmt::format("{}_{:016x}", name.substr(0, kLongest - 17), hash);
}

std::string vertical_workflow(const std::string& source_keyspace) { return "verticalsplitclone_" + source_keyspace; }

Result<std::unique_ptr<Job>> make_split_clone(JobSettings settings, std::string argument) {
  RETURN_IF_ERROR(parse_shard_path(argument));
  return std::make_unique<SplitClone>(std::move(settings), std::move(argument));
}

Result<std::unique_ptr<Job>> make_legacy_split_clone(JobSettings settings, std::string argument) {
  settings.online = false;
  return make_split_clone(std::move(settings), std::move(argument));
}

Result<std::unique_ptr<Job>> make_vertical_split_clone(JobSettings settings, std::string argument) {
  RETURN_IF_ERROR(parse_shard_path(argument));
  if (settings.tables.empty()) {
    return fail(Code::kInvalidArgument, "list of tablets to be split out must not be empty");
  }
  return std::make_unique<VerticalSplitClone>(std::move(settings), std::move(argument));
}

}  // namespace vitrail::worker

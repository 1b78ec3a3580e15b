#include "worker/diff.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "control/schema.h"
#include "control/worker_claim.h"
#include "net/scope.h"
#include "topo/keyspace.h"
#include "topo/tablet.h"
#include "topo/vschema.h"
#include "worker/copy.h"
#include "worker/shards.h"

namespace vitrail::worker {
namespace {

namespace tmd = ::tabletmanagerdata;
using control::WorkerClaim;
using SourceShard = ::topodata::Shard::SourceShard;

constexpr int kAlignments = 20;  // Attempts to stop two things that move at one position.

class Diff final : public Job {
 public:
  Diff(bool vertical, JobSettings settings, std::string argument)
      : vertical_(vertical), settings_(std::move(settings)), argument_(std::move(argument)) {}

  net::Task<Status> run(JobContext& context) override {
    context_ = &context;
    CO_ASSIGN_OR_RETURN(const auto swept, co_await control::sweep_worker_claims(context.tablets));
    for (const auto& what : swept) context.progress.info("given back, its vtworker is gone: " + what);
    CO_ASSIGN_OR_RETURN(destination_type_, topo::parse_tablet_type(settings_.dest_tablet_type));
    if (destination_type_ != ::topodata::RDONLY && destination_type_ != ::topodata::REPLICA) {
      co_return fail(Code::kInvalidArgument, "dest_tablet_type must be RDONLY or REPLICA");
    }
    CO_RETURN_IF_ERROR(co_await find_source());
    CO_ASSIGN_OR_RETURN(claim_, co_await WorkerClaim::open(
                                    context.tablets, context.options.url,
                                    fmt::format("{} {}", vertical_ ? "VerticalSplitDiff" : "SplitDiff", argument_)));
    Status done = co_await work();
    const State reached = context.progress.state();
    context.progress.set_state(State::kCleaningUp);
    Status given_back = co_await claim_->give_back();
    if (!given_back.ok()) context.progress.error(given_back.error().message());
    if (!done.ok() && reached != State::kDiffingWillFail) {
      co_return std::move(done).error().with_context(std::string(state_text(reached)));
    }
    co_return done.ok() ? std::move(given_back) : std::move(done);
  }

 private:
  std::string path() const { return keyspace_ + "/" + shard_; }

  net::Task<Status> find_source() {
    CO_ASSIGN_OR_RETURN(std::tie(keyspace_, shard_), parse_shard_path(argument_));
    CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(context_->topology(), keyspace_, shard_));
    const auto& sources = info.record.source_shards();
    if (sources.empty()) {
      co_return fail(Code::kFailedPrecondition, fmt::format("shard {} has no source shard", path()));
    }
    if (vertical_) {
      if (sources.size() != 1) {
        co_return fail(
            Code::kFailedPrecondition,
            fmt::format("shard {} has {} source shards, can't use VerticalSplitDiff", path(), sources.size()));
      }
      if (sources[0].tables().empty()) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("shard {} has no tables in source shard[0]: use SplitDiff", path()));
      }
      source_ = sources[0];
      co_return Status{};
    }
    std::vector<std::string> uids;
    for (const auto& source : sources) {
      if (!source.tables().empty()) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("shard {} has tables in its source shard: use VerticalSplitDiff", path()));
      }
      uids.push_back(std::to_string(source.uid()));
      if (uids.back() == settings_.source_uid || (settings_.source_uid.empty() && sources.size() == 1)) {
        source_ = source;
      }
    }
    if (source_.uid() != 0) co_return Status{};
    co_return fail(Code::kInvalidArgument,
                   settings_.source_uid.empty()
                       ? fmt::format("shard {} has {} source shards: say which one with -source_uid ({})", path(),
                                     sources.size(), base::join(uids, ", "))
                       : fmt::format("shard {} has no source shard with uid {}; it has {}", path(),
                                     settings_.source_uid, base::join(uids, ", ")));
  }

  // Both sides first: one that was taken would be out of service while the other is waited for.
  net::Task<Status> take_tablets() {
    const auto needed = static_cast<size_t>(settings_.min_healthy_tablets);
    CO_ASSIGN_OR_RETURN(const auto there,
                        co_await wait_for_healthy(*context_, keyspace_, shard_, destination_type_, needed));
    CO_ASSIGN_OR_RETURN(const auto here, co_await wait_for_healthy(*context_, source_.keyspace(), source_.shard(),
                                                                   ::topodata::RDONLY, needed));
    right_ = there.back();
    left_ = here.back();
    CO_RETURN_IF_ERROR(co_await claim_->take(left_, context_->action_wait()));
    CO_RETURN_IF_ERROR(co_await claim_->take(right_, context_->action_wait()));
    left_.set_type(::topodata::DRAINED);
    right_.set_type(::topodata::DRAINED);
    context_->progress.info(fmt::format("Comparing tablet {} of {}/{} with tablet {} of {}.", alias_of(left_),
                                        source_.keyspace(), source_.shard(), alias_of(right_), path()));
    co_return Status{};
  }

  net::Task<Result<::query::QueryResult>> on_streams(::topodata::Tablet primary, std::string query) {
    tmd::VReplicationExecRequest request;
    request.set_query(std::move(query));
    CO_ASSIGN_OR_RETURN(auto done,
                        co_await context_->tablets.call<tmd::VReplicationExecResponse>(
                            std::move(primary), "VReplicationExec", std::move(request), context_->action_wait()));
    co_return std::move(*done.mutable_result());
  }

  // Where the stream, which is stopped, has come to.
  net::Task<Result<mysql::Position>> stream_position(::topodata::Tablet primary) {
    const std::string name = alias_of(primary);
    CO_ASSIGN_OR_RETURN(
        const auto row,
        co_await on_streams(std::move(primary),
                            fmt::format("select pos from _vt.vreplication where id = {}", source_.uid())));
    if (row.rows_size() != 1) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("no filtered replication with id {} on tablet {}", source_.uid(), name));
    }
    std::vector<mysql::Cell> cells;
    CO_RETURN_IF_ERROR(movement::read_row(row.rows(0), 1, cells));
    co_return mysql::Position::parse(std::string(cells[0].value_or("")));
  }

  // The stream runs until it has all up to `position`. It may stop behind it: of transactions that have nothing for
  // this shard it hears only with the next one that has.
  net::Task<Status> run_stream_to(::topodata::Tablet primary, const mysql::Position& position) {
    const std::string text = position.prefixed_string();
    auto started = co_await on_streams(
        primary,
        fmt::format("update _vt.vreplication set state = 'Running', message = '', stop_pos = '{}' where id = {}", text,
                    source_.uid()));
    if (!started.ok()) co_return std::move(started).error();
    tmd::VReplicationWaitForPosRequest wait;
    wait.set_id(source_.uid());
    wait.set_position(text);
    auto reached = co_await context_->tablets.call<tmd::VReplicationWaitForPosResponse>(
        primary, "VReplicationWaitForPos", std::move(wait), context_->action_wait());
    if (!reached.ok()) co_return std::move(reached).error();
    // It stops by itself; this waits for the end of that.
    auto stopped = co_await on_streams(
        std::move(primary),
        fmt::format("update _vt.vreplication set state = 'Stopped', message = 'for SplitDiff' where id = {}",
                    source_.uid()));
    co_return stopped.ok() ? Status{} : Status(std::move(stopped).error());
  }

  // Both tablets stand at the same moment of the source when this returns, and the streams run again.
  net::Task<Status> synchronize() {
    context_->progress.set_state(State::kSynchronizing);
    CO_ASSIGN_OR_RETURN(const auto primary, co_await context_->tablets.primary_of(keyspace_, shard_));
    // All streams of the shard: the tablet that is stopped below must not get other sources' rows on the way either.
    CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(context_->topology(), keyspace_, shard_));
    std::vector<int32_t> ids;
    std::string list;
    for (const auto& source : info.record.source_shards()) {
      ids.push_back(source.uid());
      list += fmt::format("{}{}", list.empty() ? "" : ",", source.uid());
    }
    CO_RETURN_IF_ERROR(co_await claim_->hold_streams(keyspace_, shard_, ids));
    auto stopped = co_await on_streams(
        primary,
        fmt::format("update _vt.vreplication set state = 'Stopped', message = 'for SplitDiff' where id in ({})", list));
    if (!stopped.ok()) co_return std::move(stopped).error();
    CO_ASSIGN_OR_RETURN(auto stream_at, co_await stream_position(primary));
    for (int attempt = 0;; ++attempt) {
      if (attempt == kAlignments) {
        co_return fail(Code::kUnavailable,
                       fmt::format("tablet {} and the filtered replication of {} do not stop at one position",
                                   alias_of(left_), path()));
      }
      if (attempt != 0) CO_RETURN_IF_ERROR(co_await start_replication(*context_, left_));
      CO_RETURN_IF_ERROR(co_await stop_replication_at(*context_, left_, stream_at.prefixed_string()));
      CO_ASSIGN_OR_RETURN(left_position_, co_await standing_position(*context_, left_, tables_[0]));
      if (left_position_ == stream_at) break;
      CO_RETURN_IF_ERROR(co_await run_stream_to(primary, left_position_));
      CO_ASSIGN_OR_RETURN(stream_at, co_await stream_position(primary));
      if (left_position_ == stream_at) break;
    }
    CO_ASSIGN_OR_RETURN(const auto at,
                        co_await context_->tablets.call<tmd::PrimaryPositionResponse>(
                            primary, "PrimaryPosition", tmd::PrimaryPositionRequest(), context_->action_wait()));
    CO_RETURN_IF_ERROR(co_await stop_replication_at(*context_, right_, at.position()));
    CO_ASSIGN_OR_RETURN(right_position_, co_await standing_position(*context_, right_, tables_[0]));
    co_return co_await claim_->release_streams();
  }

  net::Task<Status> choose_tables() {
    std::vector<std::string> wanted(source_.tables().begin(), source_.tables().end());
    CO_ASSIGN_OR_RETURN(const auto left, co_await read_schema(*context_, left_, wanted, settings_.exclude_tables));
    for (const auto& table : left.table_definitions()) {
      if (table.type() != "VIEW") tables_.push_back(table.name());
    }
    if (tables_.empty()) co_return fail(Code::kFailedPrecondition, "no table is to be compared");
    if (settings_.skip_verify) co_return Status{};
    CO_ASSIGN_OR_RETURN(const auto right, co_await read_schema(*context_, right_, wanted, settings_.exclude_tables));
    const auto differences = control::diff_schemas("left", left, "right", right);
    if (differences.empty()) {
      context_->progress.info("Schema match, good.");
    } else {
      context_->progress.warning("Different schemas: " + base::join(differences, "\n"));
    }
    co_return Status{};
  }

  net::Task<Status> work() {
    context_->progress.set_state(State::kFindingTargets);
    CO_RETURN_IF_ERROR(co_await take_tablets());
    CO_RETURN_IF_ERROR(co_await choose_tables());
    CO_RETURN_IF_ERROR(co_await synchronize());
    context_->progress.set_state(State::kDiffing);
    if (!vertical_) {
      CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_vschema(context_->topology(), keyspace_));
      (*vschema_.mutable_keyspaces())[keyspace_] = stored.record;
    }
    CO_ASSIGN_OR_RETURN(schemas_, co_await load_tables(*context_, right_));
    size_t next = 0;
    std::string different;
    Status outcome;
    std::vector<net::Task<void>> workers;
    auto one = [](Diff& self, size_t& at, std::string& found, Status& failed) -> net::Task<void> {
      while (at < self.tables_.size() && failed.ok()) {
        const std::string table = self.tables_[at++];
        Status done = co_await self.diff_table(table, found);
        if (!done.ok() && failed.ok()) failed = Status(std::move(done).error().with_context("table " + table));
      }
    };
    const size_t width = std::min<size_t>(static_cast<size_t>(settings_.parallel_diffs_count), tables_.size());
    for (size_t i = 0; i < width; ++i) workers.push_back(one(*this, next, different, outcome));
    co_await net::when_all(std::move(workers));
    CO_RETURN_IF_ERROR(std::move(outcome));
    if (!different.empty()) co_return fail(Code::kFailedPrecondition, different);
    co_return Status{};
  }

  // Rows of either side that both shards have: of a merge, the destination has the other sources' rows too.
  Result<RowChooser> chooser(const std::string& table, const RowsRead& rows, const std::string& shard) const {
    if (vertical_ || shard.find('-') == std::string::npos) return RowChooser();
    return RowChooser::make(table, rows.fields, keyspace_, vschema_, shard);
  }

  static net::Task<Status> check_standing(const RowsRead& rows, const mysql::Position& position,
                                          const ::topodata::Tablet& tablet) {
    for (const auto& at : rows.positions) {
      if (at == position) continue;
      co_return fail(Code::kOutOfRange,
                     fmt::format("tablet {} has moved on from {} to {} although its replication was stopped: somebody "
                                 "has started it",
                                 alias_of(tablet), position.to_string(), at.to_string()));
    }
    co_return Status{};
  }

  net::Task<Status> diff_table(std::string table, std::string& different) {
    const base::TimePoint began = base::system_clock().now();
    const auto schema = schemas_.find(table);
    if (schema == schemas_.end()) {
      co_return fail(Code::kNotFound, fmt::format("shard {} has no table {}", path(), table));
    }
    DiffReport report;
    ::query::QueryResult last;
    for (bool done = false; !done;) {
      CO_RETURN_IF_ERROR(context_->check_cancelled());
      CO_ASSIGN_OR_RETURN(const Interval interval, co_await read_interval(*context_, {{left_}}, table, last, 2u << 20));
      const RowsRead& here = interval.parts[0];
      CO_RETURN_IF_ERROR(co_await check_standing(here, left_position_, left_));
      CO_ASSIGN_OR_RETURN(const auto there, co_await read_rows(*context_, {.tablet = right_,
                                                                           .query = query_for(table, here.fields),
                                                                           .from = last,
                                                                           .until = interval.high}));
      CO_RETURN_IF_ERROR(co_await check_standing(there, right_position_, right_));
      CO_ASSIGN_OR_RETURN(const auto bound,
                          movement::TargetTable::bind(schema->second, topo::tablet_db_name(right_), here.fields));
      CO_ASSIGN_OR_RETURN(const RowChooser of_destination, chooser(table, here, shard_));
      CO_ASSIGN_OR_RETURN(const RowChooser of_source, chooser(table, there, source_.shard()));
      CO_ASSIGN_OR_RETURN(const auto left, chosen(here, of_destination, bound.field_count()));
      CO_ASSIGN_OR_RETURN(const auto right, chosen(there, of_source, bound.field_count()));
      CO_ASSIGN_OR_RETURN(const Differences found, compare(bound, left, right));
      report.add(found.report);
      if (found.report.differs()) context_->progress.set_state(State::kDiffingWillFail);
      done = interval.last();
      last = interval.high;
      context_->progress.set_details(fmt::format("{}: {} rows compared", table, report.processed));
    }
    const base::Duration took = base::system_clock().now() - began;
    if (!report.differs()) {
      context_->progress.info(fmt::format("Table {} checks out ({})", table, report.rate_text(took)));
      co_return Status{};
    }
    const std::string text = fmt::format("table {} has differences: {}", table, report.to_string(took));
    context_->progress.error(text);
    different += (different.empty() ? "" : "; ") + text;
    co_return Status{};
  }

  static Result<std::vector<const ::query::Row*>> chosen(const RowsRead& read, const RowChooser& chooser,
                                                         size_t columns) {
    std::vector<const ::query::Row*> out;
    std::vector<mysql::Cell> cells;
    for (const auto& row : read.rows) {
      RETURN_IF_ERROR(movement::read_row(row, columns, cells));
      ASSIGN_OR_RETURN(const bool wanted, chooser.wants(cells));
      if (wanted) out.push_back(&row);
    }
    return out;
  }

  const bool vertical_;
  const JobSettings settings_;
  const std::string argument_;
  JobContext* context_ = nullptr;
  ::topodata::TabletType destination_type_ = ::topodata::RDONLY;
  std::string keyspace_, shard_;  // Of the destination.
  SourceShard source_;
  std::unique_ptr<WorkerClaim> claim_;
  ::topodata::Tablet left_, right_;  // That are compared.
  mysql::Position left_position_, right_position_;
  std::vector<std::string> tables_;
  movement::TableMap schemas_;
  ::vschema::SrvVSchema vschema_;
};

// One destination after the other: each takes a tablet of the source.
class MultiDiff final : public Job {
 public:
  MultiDiff(JobSettings settings, std::string argument)
      : settings_(std::move(settings)), argument_(std::move(argument)) {}

  net::Task<Status> run(JobContext& context) override {
    CO_ASSIGN_OR_RETURN(const auto source, parse_shard_path(argument_));
    CO_ASSIGN_OR_RETURN(const auto all, co_await topo::find_all_shards(context.topology(), source.first));
    if (!all.contains(source.second)) co_return fail(Code::kNotFound, "there is no shard " + argument_);
    std::string failures;
    size_t compared = 0;
    for (const auto& [name, shard] : all) {
      for (const auto& from : shard.record.source_shards()) {
        if (from.keyspace() != source.first || from.shard() != source.second || !from.tables().empty()) continue;
        CO_RETURN_IF_ERROR(context.check_cancelled());
        const std::string destination = source.first + "/" + name;
        context.progress.info(fmt::format("Comparing {} with its source {}.", destination, argument_));
        JobSettings one = settings_;
        one.source_uid = std::to_string(from.uid());
        Status done = co_await Diff(false, std::move(one), destination).run(context);
        ++compared;
        if (!done.ok()) {
          failures += fmt::format("{}{}: {}", failures.empty() ? "" : "; ", destination, done.error().message());
        }
      }
    }
    if (compared == 0) co_return fail(Code::kFailedPrecondition, "no shard has " + argument_ + " as its source shard");
    if (!failures.empty()) co_return fail(Code::kFailedPrecondition, failures);
    co_return Status{};
  }

 private:
  const JobSettings settings_;
  const std::string argument_;
};

}  // namespace

Result<std::unique_ptr<Job>> make_multi_split_diff(JobSettings settings, std::string argument) {
  RETURN_IF_ERROR(parse_shard_path(argument));
  return std::make_unique<MultiDiff>(std::move(settings), std::move(argument));
}

Result<std::unique_ptr<Job>> make_split_diff(JobSettings settings, std::string argument) {
  RETURN_IF_ERROR(parse_shard_path(argument));
  return std::make_unique<Diff>(false, std::move(settings), std::move(argument));
}
Result<std::unique_ptr<Job>> make_vertical_split_diff(JobSettings settings, std::string argument) {
  RETURN_IF_ERROR(parse_shard_path(argument));
  return std::make_unique<Diff>(true, std::move(settings), std::move(argument));
}

}  // namespace vitrail::worker

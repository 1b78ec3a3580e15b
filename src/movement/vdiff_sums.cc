#include <fmt/core.h>

#include <algorithm>

#include "movement/applier.h"
#include "movement/target_table.h"
#include "movement/vdiff_sums.h"
#include "mysqld/rows.h"

// The quick half of a VDiff: the servers of both sides sum up the same interval at the same time, and rows travel only
// where the sums differ. What belongs to the target, only the source knows (its filter needs the vindex), so the sums
// of the sources are over the rows that would be sent; the target's are over all that it has. So a row that is missing,
// differs, or should be on another shard makes a difference, and the rows decide what it is.
namespace vitrail::movement {
namespace {

using Response = ::binlogdata::VStreamRowsResponse;

net::Task<Result<std::optional<Response>>> next_answer(SourceSum& source, net::Wait wait) {
  for (;;) {
    CO_ASSIGN_OR_RETURN(auto piece, co_await source.call->next(wait));
    if (piece && piece->heartbeat()) continue;
    if (piece && piece->throttled_reason() != kIntervalSum) piece.reset();
    co_return std::move(piece);
  }
}

net::Task<void> begin(Stream& stream, RowSource from_tablet, ::binlogdata::VStreamRowsRequest request,
                      SourceSum& source) {
  source = {};
  const auto channel = from_tablet.channel != nullptr ? from_tablet.channel : stream.channel();
  if (channel == nullptr) {
    source.outcome = fail(Code::kFailedPrecondition, "the stream is not connected");
    co_return;
  }
  source.channel = channel;
  source.call.emplace(rpc::open_stream<Response>(*channel, "/queryservice.Query/VStreamRows", request));
  auto answer = co_await next_answer(source, net::Wait::within(kStepTimeout, stream.token()));
  if (!answer.ok()) {
    source.unable = answer.error().code() == Code::kUnimplemented;
    if (!source.unable) source.outcome = std::move(answer).error();
    co_return;
  }
  // A source that does not know sums sends rows.
  source.unable = !answer->has_value() || (*answer)->gtid().empty() || (*answer)->fields_size() == 0;
  if (source.unable) co_return;
  auto position = mysql::Position::parse((*answer)->gtid());
  if (!position.ok()) {
    source.outcome = std::move(position).error();
    co_return;
  }
  source.position = std::move(*position);
  source.fields = (*answer)->fields();
  if (!(*answer)->has_lastpk()) co_return;
  *source.cut.mutable_fields() = (*answer)->pkfields();
  *source.cut.add_rows() = (*answer)->lastpk();
}

net::Task<void> finish(SourceSum& source, net::Wait wait) {
  auto answer = co_await next_answer(source, std::move(wait));
  if (!answer.ok()) {
    source.outcome = std::move(answer).error();
    co_return;
  }
  std::vector<mysql::Cell> cells;
  if (*answer && (*answer)->rows_size() == 1 && read_row((*answer)->rows(0), 2, cells).has_value()) {
    const auto rows = mysqld::to_uint(cells[0]);
    const auto hash = mysqld::to_uint(cells[1]);
    if (rows && hash) {
      source.sum = {*rows, *hash};
      co_return;
    }
  }
  source.outcome = fail(Code::kInternal, "the source sent something else than the sum of an interval");
}

net::Task<void> sum_target(ServerSession& session, std::string query, net::Wait wait, IntervalSum& sum,
                           Status& outcome) {
  const auto rows = co_await session.rows(std::move(query), wait);
  if (!rows.ok()) {
    outcome = rows.error();
    co_return;
  }
  const auto read = read_sum(*rows);
  if (read.ok()) {
    sum = *read;
  } else {
    outcome = read.error();
  }
}

// The target's expression, if both sides have the same columns in forms that can be told apart in the same way.
std::optional<std::string> target_expression(HashKind kind, const TargetTable& table,
                                             const std::vector<SourceSum>& sources) {
  const auto bindings = table.bindings();
  std::vector<size_t> columns;
  for (const auto& binding : bindings) columns.push_back(binding.column);
  for (const SourceSum& source : sources) {
    if (static_cast<size_t>(source.fields.size()) != bindings.size()) return std::nullopt;
    for (size_t i = 0; i < bindings.size(); ++i) {
      const ::query::Field& field = source.fields[static_cast<int>(i)];
      const Column& column = table.schema().columns[columns[i]];
      const auto found = table.schema().find_column(field.name());
      if (!found || *found != columns[i]) return std::nullopt;
      if (!same_form(kind, hash_form(field.type(), field.column_type()), hash_form(column.type, column.column_type))) {
        return std::nullopt;
      }
    }
  }
  return hash_expression(kind, table.schema(), columns);
}

}  // namespace

net::Task<Result<std::unique_ptr<PreparedSum>>> VDiffs::Run::prepare_sum(const TableSchema& schema,
                                                                         std::vector<int32_t> streams, HashKind hash,
                                                                         uint64_t rows_wanted,
                                                                         ::query::QueryResult last) {
  auto interval = std::make_unique<PreparedSum>();
  interval->rows_wanted = rows_wanted;
  std::vector<SourceSum>& sources = interval->sources;
  sources.resize(streams.size());
  // Before anything is held.
  if (spare.empty()) {
    CO_ASSIGN_OR_RETURN(interval->target,
                        co_await ServerSession::open(engine.context.apply_login(), mysqld::ConnectionPurpose::kCopy,
                                                     net::Wait::within(kStepTimeout, scope.token())));
    CO_RETURN_IF_ERROR(co_await interval->target->run({"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"},
                                                      net::Wait::within(kStepTimeout, scope.token())));
  } else {
    interval->target = std::move(spare.back());
    spare.pop_back();
  }
  Holds holds;
  for (int attempt = 0;; ++attempt) {
    if (attempt == kAttemptsPerChunk)
      co_return fail(Code::kUnavailable, "the streams do not stand still at common positions");
    CO_ASSIGN_OR_RETURN(const std::vector<Stream*> held, co_await hold(streams, holds));
    // Each side sums up its own values.
    if (std::ranges::any_of(held, [&](const Stream* one) {
          return one->time_zones().differ() || one->derivation(schema.name) != nullptr;
        })) {
      co_return std::unique_ptr<PreparedSum>();
    }
    // One source cuts the interval, the others take it up to the same key; one that has far more rows there takes over.
    const auto request = [&](size_t i, const ::query::QueryResult& until, uint64_t rows) {
      ::binlogdata::VStreamRowsRequest what = rows_request(*held[i], source_of(streams[i]), schema.name, last, until);
      (*what.mutable_options()->mutable_config_overrides())[kSumOption] = fmt::format("{}:{}", hash_name(hash), rows);
      return what;
    };
    ::query::QueryResult& high = interval->high;
    for (size_t driver = 0;;) {
      co_await begin(*held[driver], source_of(streams[driver]), request(driver, {}, rows_wanted), sources[driver]);
      CO_RETURN_IF_ERROR(sources[driver].outcome);
      if (sources[driver].unable) co_return std::unique_ptr<PreparedSum>();
      high = sources[driver].cut;
      std::vector<net::Task<void>> others;
      for (size_t i = 0; i < held.size(); ++i) {
        if (i == driver) continue;
        others.push_back(begin(*held[i], source_of(streams[i]), request(i, high, 4 * rows_wanted), sources[i]));
      }
      co_await net::when_all(std::move(others));
      size_t denser = held.size();
      for (size_t i = 0; i < held.size(); ++i) {
        CO_RETURN_IF_ERROR(sources[i].outcome);
        if (sources[i].unable) co_return std::unique_ptr<PreparedSum>();
        if (i != driver && sources[i].cut.rows_size() != 0 && denser == held.size()) denser = i;
      }
      if (denser == held.size()) break;
      driver = denser;
    }
    bool beyond = false;
    const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
    for (size_t i = 0; i < held.size() && !beyond; ++i) {
      Status reached = co_await holds.streams[i]->run_to(sources[i].position, wait);
      if (!reached.has_value() && reached.error().code() != Code::kAborted) co_return std::move(reached).error();
      beyond = !reached.has_value();
    }
    if (beyond) {
      holds.clear();
      for (SourceSum& source : sources) source.call.reset();
      CO_RETURN_IF_ERROR(co_await net::sleep_for(std::chrono::milliseconds(20), scope.token()));
      continue;
    }
    CO_ASSIGN_OR_RETURN(const TargetTable table,
                        TargetTable::bind(schema, engine.context.options.db_name, sources[0].fields));
    const auto expression = target_expression(hash, table, sources);
    if (!expression) co_return std::unique_ptr<PreparedSum>();
    CO_ASSIGN_OR_RETURN(const auto low_key, key_values(schema, last));
    CO_ASSIGN_OR_RETURN(const auto high_key, key_values(schema, high));
    const std::string where =
        and_also(interval_condition(schema, low_key, high_key), held[0]->target_condition(schema.name));
    interval->query = sum_query(*expression, table.qualified_name(), where);
    // What the target's statement sees is settled here, as what the sources' do: the streams may go on.
    CO_RETURN_IF_ERROR(co_await interval->target->run({"START TRANSACTION WITH CONSISTENT SNAPSHOT"}, wait));
    co_return std::move(interval);
  }
}

net::Task<Result<std::optional<uint64_t>>> VDiffs::Run::finish_sum(PreparedSum& interval) {
  const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
  IntervalSum target;
  Status outcome;
  const base::TimePoint began = base::system_clock().now();
  std::vector<net::Task<void>> sums;
  for (SourceSum& source : interval.sources) sums.push_back(finish(source, wait));
  sums.push_back(sum_target(*interval.target, interval.query, wait, target, outcome));
  co_await net::when_all(std::move(sums));
  interval.took = base::system_clock().now() - began;
  CO_RETURN_IF_ERROR(std::move(outcome));
  CO_RETURN_IF_ERROR(co_await interval.target->run({"COMMIT"}, wait));
  spare.push_back(std::move(interval.target));
  IntervalSum source;
  for (const SourceSum& one : interval.sources) {
    CO_RETURN_IF_ERROR(one.outcome);
    source += one.sum;
  }
  if (source != target) co_return std::optional<uint64_t>();
  co_return std::optional<uint64_t>(source.rows);
}

namespace {

// Runs a task beside another one and keeps what it gives.
template <typename T>
net::Task<void> into(net::Task<Result<T>> task, std::optional<Result<T>>& out) {
  out.emplace(co_await std::move(task));
}

}  // namespace

net::Task<Status> VDiffs::Run::compare_stretch(TableWork& work, const TableSchema& schema,
                                               const std::vector<int32_t>& streams, Report& report,
                                               ::query::QueryResult& last, bool& done) {
  if (work.by_rows || work.unable) {
    bool reached = false;
    CO_RETURN_IF_ERROR(co_await compare_interval(work, schema, streams, report, work.limit, last, reached));
    if (!reached) co_return Status{};
    done = work.limit.rows_size() == 0;
    work.by_rows = false;
    co_return Status{};
  }
  if (!work.hash) work.hash = best_hash(work.own->flavor().server());
  const auto left = static_cast<uint64_t>(std::max<int64_t>(settings.max_rows - report.processed, 1));
  std::unique_ptr<PreparedSum> interval = std::move(work.next);
  if (interval == nullptr) {
    auto prepared = co_await prepare_sum(schema, streams, *work.hash, std::min(work.rows, left), last);
    if (!prepared.ok()) {
      // It may have been too much at once.
      work.rows = std::max(work.rows / 8, kIntervalRowsMin);
      co_return std::move(prepared).error();
    }
    interval = std::move(*prepared);
  }
  if (interval == nullptr) {
    if (work.hash != HashKind::kSha) {
      work.hash = HashKind::kSha;  // Perhaps the other side only has that.
    } else {
      work.unable = true;
    }
    co_return Status{};
  }
  // While the servers are busy with this one the next interval is opened.
  std::optional<Result<std::optional<uint64_t>>> summed;
  std::optional<Result<std::unique_ptr<PreparedSum>>> ahead;
  std::vector<net::Task<void>> tasks;
  tasks.push_back(into(finish_sum(*interval), summed));
  if (interval->high.rows_size() != 0 && left > interval->rows_wanted) {
    tasks.push_back(into(
        prepare_sum(schema, streams, *work.hash, std::min(work.rows, left - interval->rows_wanted), interval->high),
        ahead));
  }
  co_await net::when_all(std::move(tasks));
  if (!summed->ok()) {
    work.rows = std::max(interval->rows_wanted / 8, kIntervalRowsMin);
    co_return std::move(*summed).error();
  }
  if (**summed) {
    report.processed += static_cast<int64_t>(***summed);
    report.matching += static_cast<int64_t>(***summed);
    work.rows = next_interval_rows(interval->rows_wanted, interval->took);
    // What has failed ahead is tried again, and told, when it is its turn.
    if (ahead && ahead->ok()) work.next = std::move(**ahead);
    done = interval->high.rows_size() == 0;
    if (!done) last = std::move(interval->high);
    co_return Status{};
  }
  // Narrower first, so that few rows have to travel.
  work.by_rows = interval->rows_wanted <= kIntervalRowsMin;
  work.rows = std::max(interval->rows_wanted / 8, kIntervalRowsMin);
  if (work.by_rows) work.limit = std::move(interval->high);
  co_return Status{};
}

}  // namespace vitrail::movement

#include <fmt/core.h>

#include <algorithm>

#include "movement/applier.h"
#include "movement/row_stream.h"
#include "movement/target_table.h"
#include "movement/vdiff_run.h"
#include "mysqld/rows.h"

// The quick half of a VDiff: the servers of both sides sum up the same interval at the same time, and rows travel only
// where the sums differ. What belongs to the target, only the source knows (its filter needs the vindex), so the sums
// of the sources are over the rows that would be sent; the target's are over all that it has. So a row that is missing,
// differs, or should be on another shard makes a difference, and the rows decide what it is.
namespace vitrail::movement {
namespace {

using Response = ::binlogdata::VStreamRowsResponse;

// One source's interval. The call stays open between the two answers: the source has its snapshot by then, and sums up.
struct SourceSum {
  std::shared_ptr<rpc::Channel> channel;
  std::optional<rpc::TypedStream<Response>> call;
  mysql::Position position;
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  ::query::QueryResult cut;  // Where the source ends the interval; no row: where it was told to.
  IntervalSum sum;
  bool unable = false;
  Status outcome;
};

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
      if (hash_form(field.type(), field.column_type()) != hash_form(column.type, column.column_type)) {
        return std::nullopt;
      }
    }
  }
  return hash_expression(kind, table.schema(), columns);
}

}  // namespace

net::Task<Result<VDiffs::Run::Sums>> VDiffs::Run::compare_sums(const TableSchema& schema,
                                                               const std::vector<int32_t>& streams,
                                                               uint64_t rows_wanted, Report& report,
                                                               const ::query::QueryResult& last,
                                                               ::query::QueryResult& high) {
  if (!hash) hash = best_hash(session->flavor().server());
  Holds holds;
  std::vector<SourceSum> sources(streams.size());
  for (int attempt = 0;; ++attempt) {
    if (attempt == kAttemptsPerChunk)
      co_return fail(Code::kUnavailable, "the streams do not stand still at common positions");
    CO_ASSIGN_OR_RETURN(const std::vector<Stream*> held, co_await hold(streams, holds));
    // One source cuts the interval, the others take it up to the same key; one that has far more rows there takes over.
    const auto request = [&](size_t i, const ::query::QueryResult& until, uint64_t rows) {
      ::binlogdata::VStreamRowsRequest what = rows_request(*held[i], source_of(streams[i]), schema.name, last, until);
      (*what.mutable_options()->mutable_config_overrides())[kSumOption] = fmt::format("{}:{}", hash_name(*hash), rows);
      return what;
    };
    for (size_t driver = 0;;) {
      co_await begin(*held[driver], source_of(streams[driver]), request(driver, {}, rows_wanted), sources[driver]);
      CO_RETURN_IF_ERROR(sources[driver].outcome);
      if (sources[driver].unable) co_return Sums::kUnable;
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
        if (sources[i].unable) co_return Sums::kUnable;
        if (i != driver && sources[i].cut.rows_size() != 0 && denser == held.size()) denser = i;
      }
      if (denser == held.size()) break;
      driver = denser;
    }
    bool beyond = false;
    const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
    for (size_t i = 0; i < held.size() && !beyond; ++i) {
      Status reached = co_await holds[i]->run_to(sources[i].position, wait);
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
    const auto expression = target_expression(*hash, table, sources);
    if (!expression) co_return Sums::kUnable;
    CO_ASSIGN_OR_RETURN(const auto low_key, key_values(schema, last));
    CO_ASSIGN_OR_RETURN(const auto high_key, key_values(schema, high));
    // What the target's statement sees is settled here, as what the sources' do: the streams may go on.
    CO_RETURN_IF_ERROR(co_await session->run(
        {"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT"},
        wait));
    holds.clear();
    IntervalSum target;
    Status outcome;
    std::vector<net::Task<void>> sums;
    for (SourceSum& source : sources) sums.push_back(finish(source, wait));
    sums.push_back(sum_target(
        *session, sum_query(*expression, table.qualified_name(), interval_condition(schema, low_key, high_key)), wait,
        target, outcome));
    co_await net::when_all(std::move(sums));
    CO_RETURN_IF_ERROR(std::move(outcome));
    CO_RETURN_IF_ERROR(co_await session->run({"COMMIT"}, wait));
    IntervalSum source;
    for (const SourceSum& one : sources) {
      CO_RETURN_IF_ERROR(one.outcome);
      source += one.sum;
    }
    if (source != target) co_return Sums::kDiffer;
    report.processed += static_cast<int64_t>(source.rows);
    report.matching += static_cast<int64_t>(source.rows);
    co_return Sums::kEqual;
  }
}

net::Task<Status> VDiffs::Run::compare_stretch(const TableSchema& schema, const std::vector<int32_t>& streams,
                                               Stretch& stretch, Report& report, ::query::QueryResult& last,
                                               bool& done) {
  if (stretch.by_rows || stretch.unable) {
    bool reached = false;
    CO_RETURN_IF_ERROR(co_await compare_interval(schema, streams, report, stretch.limit, last, reached));
    if (!reached) co_return Status{};
    done = stretch.limit.rows_size() == 0;
    stretch.by_rows = false;
    co_return Status{};
  }
  const int64_t left = settings.max_rows - report.processed;
  const uint64_t rows = std::min(stretch.rows, static_cast<uint64_t>(std::max<int64_t>(left, 1)));
  ::query::QueryResult high;
  const base::TimePoint began = base::system_clock().now();
  auto outcome = co_await compare_sums(schema, streams, rows, report, last, high);
  if (!outcome.ok()) {
    // It may have been too much at once.
    stretch.rows = std::max(stretch.rows / 8, kIntervalRowsMin);
    co_return std::move(outcome).error();
  }
  switch (*outcome) {
    case Sums::kEqual:
      stretch.rows = next_interval_rows(stretch.rows, base::system_clock().now() - began);
      done = high.rows_size() == 0;
      if (!done) last = std::move(high);
      break;
    case Sums::kDiffer:
      // Narrower first, so that few rows have to travel.
      stretch.by_rows = stretch.rows <= kIntervalRowsMin;
      stretch.rows = std::max(stretch.rows / 8, kIntervalRowsMin);
      if (stretch.by_rows) stretch.limit = std::move(high);
      break;
    case Sums::kUnable:
      if (hash != HashKind::kSha) {
        hash = HashKind::kSha;  // Perhaps the other side only has that.
      } else {
        stretch.unable = true;
        hash.reset();  // Other tables may do.
      }
      break;
  }
  co_return Status{};
}

}  // namespace vitrail::movement

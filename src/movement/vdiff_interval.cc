#include <fmt/core.h>

#include <algorithm>

#include "movement/derived_columns.h"
#include "movement/row_stream.h"
#include "movement/target_table.h"
#include "movement/vdiff_sums.h"

namespace vitrail::movement {
namespace {

constexpr uint64_t kChunkBytes = 2u << 20;

// How many rows of the target are read at once: about as many bytes as are read of the sources.
uint64_t target_rows_max(const TableSchema& table) {
  const uint64_t row_bytes =
      table.row_estimate == 0 ? 1024 : std::max<uint64_t>(16, table.data_bytes / table.row_estimate);
  return std::clamp<uint64_t>(4 * kChunkBytes / row_bytes, 16, 50'000);
}

}  // namespace

// Rows of one source at one position.
struct SourceRows {
  mysql::Position position;
  std::vector<::binlogdata::VStreamRowsResponse> responses;
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  google::protobuf::RepeatedPtrField<::query::Field> pkfields;
  ::query::QueryResult last;  // No rows: nothing was read.
  bool more = false;          // There may be rows behind the last one.
};

::binlogdata::VStreamRowsRequest rows_request(const Stream& stream, const RowSource& from_tablet,
                                              std::string_view table, const ::query::QueryResult& from,
                                              const ::query::QueryResult& until) {
  ::binlogdata::VStreamRowsRequest request;
  *request.mutable_target() = stream.source_target();
  if (from_tablet.channel != nullptr) {
    request.mutable_target()->set_tablet_type(from_tablet.endpoint.type);
    request.mutable_target()->set_cell(from_tablet.endpoint.alias.cell());
  }
  request.set_query(stream.row_query(table));
  if (from.rows_size() != 0) *request.mutable_lastpk() = from;
  if (until.rows_size() != 0) {
    (*request.mutable_options()->mutable_config_overrides())[kUntilOption] = to_text(until);
  }
  return request;
}

namespace {

std::vector<const ::binlogdata::VStreamRowsResponse*> texts_of(const std::vector<SourceRows>& sources) {
  std::vector<const ::binlogdata::VStreamRowsResponse*> out;
  for (const SourceRows& source : sources) {
    for (const auto& response : source.responses) out.push_back(&response);
  }
  return out;
}

// The held stream must stay held meanwhile.
net::Task<Result<SourceRows>> read_source(ServerLogin login, Stream& stream, RowSource from_tablet, std::string table,
                                          ::query::QueryResult from, ::query::QueryResult until, uint64_t bytes,
                                          const TableSchema* target) {
  const auto channel = from_tablet.channel != nullptr ? from_tablet.channel : stream.channel();
  if (channel == nullptr) co_return fail(Code::kFailedPrecondition, "the stream is not connected");
  ::binlogdata::VStreamRowsRequest request = rows_request(stream, from_tablet, table, from, until);
  auto& options = *request.mutable_options()->mutable_config_overrides();
  options[kChunkBytesOption] = std::to_string(bytes);
  options[kChunksOption] = "1";
  auto call = rpc::open_stream<::binlogdata::VStreamRowsResponse>(*channel, "/queryservice.Query/VStreamRows", request);
  SourceRows rows;
  const net::Wait wait = net::Wait::within(kStepTimeout, stream.token());
  for (;;) {
    CO_ASSIGN_OR_RETURN(auto piece, co_await call.next(wait));
    if (!piece) break;
    if (piece->heartbeat()) continue;
    if (piece->throttled()) {
      rows.more = rows.more || piece->throttled_reason() == kMoreRows;
      continue;
    }
    if (!piece->gtid().empty()) {
      CO_ASSIGN_OR_RETURN(rows.position, mysql::Position::parse(piece->gtid()));
    }
    if (piece->fields_size() != 0) {
      rows.fields = piece->fields();
      rows.pkfields = piece->pkfields();
    }
    if (piece->has_lastpk()) {
      *rows.last.mutable_fields() = rows.pkfields;
      *rows.last.add_rows() = piece->lastpk();
    }
    rows.responses.push_back(std::move(*piece));
  }
  if (rows.fields.empty()) co_return fail(Code::kInternal, "the source sent no columns");
  std::vector<::query::Row*> all;
  for (auto& response : rows.responses) {
    for (auto& row : *response.mutable_rows()) all.push_back(&row);
  }
  if (stream.time_zones().differ()) {
    ZoneConverter converter(login, stream.time_zones());
    CO_RETURN_IF_ERROR(
        co_await converter.convert(all, static_cast<size_t>(rows.fields.size()), datetime_fields(rows.fields), wait));
  }
  if (const TablePlan* plan = stream.derivation(table)) {
    CO_ASSIGN_OR_RETURN(const DerivedColumns columns, DerivedColumns::bind(*plan, *target, rows.fields));
    Deriver deriver(std::move(login));
    CO_RETURN_IF_ERROR(co_await deriver.derive(columns, std::move(all), wait));
    rows.fields = columns.fields();
  }
  co_return std::move(rows);
}

net::Task<void> read_into(net::Task<Result<SourceRows>> reading, SourceRows& rows, Status& outcome) {
  auto read = co_await std::move(reading);
  if (read.ok()) {
    rows = std::move(*read);
  } else {
    outcome = std::move(read).error();
  }
}

}  // namespace

// The streams are held at the position whose rows the source has given: nobody else writes here now.
net::Task<Status> VDiffs::Run::apply_repair(const Repair& repair) {
  const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
  if (!writer || writer->client().broken()) {
    CO_ASSIGN_OR_RETURN(
        writer, co_await ServerSession::open(engine.context.apply_login(), mysqld::ConnectionPurpose::kApply, wait));
  }
  Status done = co_await [](VDiffs::Run& self, const Repair& what, net::Wait until) -> net::Task<Status> {
    CO_RETURN_IF_ERROR(co_await self.writer->run({"BEGIN"}, until));
    for (const std::string& statement : what.statements) {
      auto ok = co_await self.writer->query(statement, until);
      if (!ok.ok()) co_return std::move(ok).error();
    }
    co_return co_await self.writer->run({"COMMIT"}, until);
  }(*this, repair, wait);
  // What is open on it goes with it.
  if (!done.ok()) writer.reset();
  co_return done;
}

RowSource VDiffs::Run::source_of(int32_t stream) const {
  const auto found = sources_of.find(stream);
  return found == sources_of.end() ? RowSource() : found->second;
}

net::Task<Result<std::vector<Stream*>>> VDiffs::Run::hold(const std::vector<int32_t>& streams, Holds& holds) {
  const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
  holds.clear();
  CO_ASSIGN_OR_RETURN(holds.turn, co_await holding.lock(net::Wait::until(base::TimePoint::max(), scope.token())));
  std::vector<Stream*> held;
  for (const int32_t stream : streams) {
    Stream* at = engine.find_stream(stream);
    if (at == nullptr) co_return fail(Code::kUnavailable, fmt::format("stream {} was stopped", stream));
    auto hold = std::make_unique<Stream::Hold>(*at);
    CO_RETURN_IF_ERROR(co_await hold->acquire(wait));
    holds.streams.push_back(std::move(hold));
    held.push_back(at);
    co_await await_source(stream);
  }
  co_return std::move(held);
}

net::Task<Status> VDiffs::Run::read_interval(const std::vector<Stream*>& held, const std::vector<int32_t>& streams,
                                             const TableSchema& schema, const ::query::QueryResult& last,
                                             const ::query::QueryResult& bound, std::vector<SourceRows>& sources,
                                             ::query::QueryResult& high) {
  // One source's chunk bounds the interval; the others are read up to the same key. A source that has far more rows
  // there takes over, with a nearer bound.
  sources.clear();
  sources.resize(held.size());
  for (size_t driver = 0;;) {
    CO_ASSIGN_OR_RETURN(sources[driver],
                        co_await read_source(engine.context.apply_login(), *held[driver], source_of(streams[driver]),
                                             schema.name, last, bound, kChunkBytes, &schema));
    high = sources[driver].more ? sources[driver].last : bound;
    size_t denser = held.size();
    std::vector<net::Task<void>> reads;
    std::vector<Status> outcomes(held.size());
    for (size_t i = 0; i < held.size(); ++i) {
      if (i == driver) continue;
      reads.push_back(read_into(read_source(engine.context.apply_login(), *held[i], source_of(streams[i]), schema.name,
                                            last, high, 4 * kChunkBytes, &schema),
                                sources[i], outcomes[i]));
    }
    co_await net::when_all(std::move(reads));
    for (size_t i = 0; i < held.size(); ++i) {
      CO_RETURN_IF_ERROR(std::move(outcomes[i]));
      if (i != driver && sources[i].more && denser == held.size()) denser = i;
    }
    if (denser == held.size()) break;
    driver = denser;
  }
  co_return Status{};
}

net::Task<Status> VDiffs::Run::compare_interval(TableWork& work, const TableSchema& schema,
                                                const std::vector<int32_t>& streams, Report& report,
                                                const ::query::QueryResult& limit, ::query::QueryResult& last,
                                                bool& done) {
  ServerSession& own = *work.own;
  std::vector<SourceRows> sources;
  ::query::QueryResult high;
  net::QueryResult target;
  std::optional<TargetTable> table;
  Holds holds;
  ::query::QueryResult bound = limit;  // Where the target has far more rows than the sources: nearer.
  const bool may_bound =
      std::ranges::none_of(schema.identity, [&](size_t column) { return has_key_expression(schema.columns[column]); });
  std::string target_query;
  for (int attempt = 0;; ++attempt) {
    if (attempt == kAttemptsPerChunk)
      co_return fail(Code::kUnavailable, "the streams do not stand still at common positions");
    const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
    CO_ASSIGN_OR_RETURN(const std::vector<Stream*> held, co_await hold(streams, holds));
    CO_RETURN_IF_ERROR(co_await read_interval(held, streams, schema, last, bound, sources, high));
    bool beyond = false;
    for (size_t i = 0; i < held.size() && !beyond; ++i) {
      Status reached = co_await holds.streams[i]->run_to(sources[i].position, wait);
      if (!reached.has_value() && reached.error().code() != Code::kAborted) co_return reached;
      beyond = !reached.has_value();
    }
    if (beyond) {
      holds.clear();
      CO_RETURN_IF_ERROR(co_await net::sleep_for(std::chrono::milliseconds(20), scope.token()));
      continue;
    }
    CO_ASSIGN_OR_RETURN(table, TargetTable::bind(schema, engine.context.options.db_name, sources[0].fields));
    CO_ASSIGN_OR_RETURN(const auto low_key, key_values(schema, last));
    CO_ASSIGN_OR_RETURN(const auto high_key, key_values(schema, high));
    const std::string where =
        and_also(interval_condition(schema, low_key, high_key), held[0]->target_condition(schema.name));
    const uint64_t rows_max = may_bound ? target_rows_max(schema) : 0;
    target_query = fmt::format("SELECT {} FROM {}{}{}", table->read_list(), table->qualified_name(),
                               where.empty() ? "" : " WHERE ", where);
    const std::string limit =
        rows_max == 0 ? "" : fmt::format(" ORDER BY {} LIMIT {}", identity_order(schema), rows_max + 1);
    CO_ASSIGN_OR_RETURN(target, co_await own.client().query(target_query + limit, wait, SIZE_MAX));
    if (rows_max == 0 || target.rows.size() <= rows_max) break;
    // There are more than are read at once: the same again up to the last of these.
    bound = table->key_result(target.rows[rows_max - 1], sources[0].pkfields);
    attempt = std::min(attempt, 0);
  }

  if (!settings.repair) holds.clear();
  Report found;
  Repair repair;
  CO_RETURN_IF_ERROR(compare_rows(*table, texts_of(sources), target.rows, settings.samples, found,
                                  settings.repair ? &repair : nullptr));
  if (!repair.statements.empty()) {
    CO_RETURN_IF_ERROR(co_await apply_repair(repair));
    CO_ASSIGN_OR_RETURN(
        target, co_await own.client().query(target_query, net::Wait::within(kStepTimeout, scope.token()), SIZE_MAX));
    const int64_t differed = found.mismatched + found.extra_source + found.extra_target;
    found = {};
    CO_RETURN_IF_ERROR(compare_rows(*table, texts_of(sources), target.rows, settings.samples, found, nullptr));
    found.repaired = differed - (found.mismatched + found.extra_source + found.extra_target);
  }
  report.add(std::move(found), settings.samples.count_max);
  done = high.rows_size() == 0 || (limit.rows_size() != 0 && to_text(high) == to_text(limit));
  if (high.rows_size() != 0) last = std::move(high);
  co_return Status{};
}
}  // namespace vitrail::movement

#include "movement/vdiff.h"

#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "movement/engine_core.h"
#include "movement/row_stream.h"
#include "movement/source_probe.h"
#include "movement/target_table.h"
#include "movement/throttle.h"
#include "movement/vdiff_compare.h"

namespace vitrail::movement {
namespace {

using nlohmann::json;

constexpr uint64_t kChunkBytes = 2u << 20;
constexpr auto kStepTimeout = std::chrono::minutes(2);
constexpr auto kSourceWait = std::chrono::seconds(5);
constexpr auto kThrottleLook = std::chrono::milliseconds(250);
constexpr auto kSaveInterval = std::chrono::milliseconds(500);
constexpr auto kRetryDelay = std::chrono::seconds(1);
constexpr int kRetriesMax = 60;
constexpr int kAttemptsPerChunk = 50;  // Chunks that a stream had already passed.

struct Settings {
  std::set<std::string, std::less<>> tables;  // Empty: all.
  int64_t max_rows = INT64_MAX;               // Of each table.
  SampleSettings samples;
  bool repair = false;                               // Rows of the target that differ are made what the source has.
  std::vector<std::string> source_cells;             // Empty: all.
  std::vector<::topodata::TabletType> source_types;  // Empty: rows are read where the streams read.
  bool types_in_order = true;
  bool auto_retry = true;     // After errors that may pass.
  bool update_stats = false;  // The server looks at the sizes of the tables first.
  base::Duration wait_running = std::chrono::seconds(60);
};

Settings read_settings(const ::tabletmanagerdata::VDiffOptions& options) {
  Settings settings;
  for (const std::string_view table : base::split_list(options.core_options().tables())) settings.tables.emplace(table);
  if (options.core_options().max_rows() > 0) settings.max_rows = options.core_options().max_rows();
  if (options.report_options().max_sample_rows() > 0) {
    settings.samples.count_max =
        static_cast<size_t>(std::min<int64_t>(options.report_options().max_sample_rows(), 1000));
  }
  if (options.report_options().row_diff_column_truncate_at() > 0) {
    settings.samples.truncate_at = static_cast<size_t>(options.report_options().row_diff_column_truncate_at());
  }
  settings.samples.only_pks = options.report_options().only_pks();
  settings.samples.debug_query = options.report_options().debug_query();
  const auto& picker = options.picker_options();
  for (const std::string_view cell : base::split_list(picker.source_cell())) settings.source_cells.emplace_back(cell);
  if (!picker.tablet_types().empty() || !settings.source_cells.empty()) {
    TabletTypes types = parse_tablet_types(picker.tablet_types());
    settings.source_types = std::move(types.types);
    settings.types_in_order = types.in_order;
  }
  settings.auto_retry = options.core_options().auto_retry();
  settings.update_stats = options.core_options().update_table_stats();
  if (options.core_options().timeout_seconds() > 0) {
    settings.wait_running =
        std::max<base::Duration>(settings.wait_running, std::chrono::seconds(options.core_options().timeout_seconds()));
  }
  return settings;
}

// Not one of Vitess's options: kept beside them.
constexpr const char* kRepairOption = "vitrail_repair";

bool wants_repair(std::string_view options) {
  const json document = json::parse(options, nullptr, false);
  return document.is_object() && document.value(kRepairOption, false);
}

// How many rows of the target are read at once: about as many bytes as are read of the sources.
uint64_t target_rows_max(const TableSchema& table) {
  const uint64_t row_bytes =
      table.row_estimate == 0 ? 1024 : std::max<uint64_t>(16, table.data_bytes / table.row_estimate);
  return std::clamp<uint64_t>(4 * kChunkBytes / row_bytes, 16, 50'000);
}

// Rows of one source at one position.
struct SourceRows {
  mysql::Position position;
  std::vector<::binlogdata::VStreamRowsResponse> responses;
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  google::protobuf::RepeatedPtrField<::query::Field> pkfields;
  ::query::QueryResult last;  // No rows: nothing was read.
  bool more = false;          // There may be rows behind the last one.
};

std::vector<const ::binlogdata::VStreamRowsResponse*> texts_of(const std::vector<SourceRows>& sources) {
  std::vector<const ::binlogdata::VStreamRowsResponse*> out;
  for (const SourceRows& source : sources) {
    for (const auto& response : source.responses) out.push_back(&response);
  }
  return out;
}

// Where rows are read; without a channel, where the stream reads.
struct RowSource {
  std::shared_ptr<rpc::Channel> channel;
  SourceEndpoint endpoint;
};

// The held stream must stay held meanwhile.
net::Task<Result<SourceRows>> read_source(Stream& stream, RowSource from_tablet, std::string table,
                                          ::query::QueryResult from, ::query::QueryResult until, uint64_t bytes) {
  const auto channel = from_tablet.channel != nullptr ? from_tablet.channel : stream.channel();
  if (channel == nullptr) co_return fail(Code::kFailedPrecondition, "the stream is not connected");
  ::binlogdata::VStreamRowsRequest request;
  *request.mutable_target() = stream.source_target();
  if (from_tablet.channel != nullptr) {
    request.mutable_target()->set_tablet_type(from_tablet.endpoint.type);
    request.mutable_target()->set_cell(from_tablet.endpoint.alias.cell());
  }
  request.set_query(stream.row_query(table));
  if (from.rows_size() != 0) *request.mutable_lastpk() = from;
  auto& options = *request.mutable_options()->mutable_config_overrides();
  options[kChunkBytesOption] = std::to_string(bytes);
  options[kChunksOption] = "1";
  if (until.rows_size() != 0) options[kUntilOption] = to_text(until);
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

// One VDiff at work.
struct VDiffs::Run {
  Run(Engine::Core& engine, int64_t id) : engine(engine), id(id) {}

  net::Task<void> run();
  net::Task<Status> attempt();
  net::Task<Status> compare_table(std::string name);
  net::Task<Status> compare_interval(const TableSchema& schema, const std::vector<int32_t>& streams, Report& report,
                                     ::query::QueryResult& last, bool& done);
  net::Task<Status> save(std::string name, const Report& report, const ::query::QueryResult& last, std::string state);
  net::Task<Result<std::vector<int32_t>>> wait_for_streams();
  // The rows of all sources behind `last`, up to `bound` or a nearer key, which becomes `high`.
  net::Task<Status> read_interval(const std::vector<Stream*>& held, const std::vector<int32_t>& streams,
                                  std::string table, const ::query::QueryResult& last,
                                  const ::query::QueryResult& bound, std::vector<SourceRows>& sources,
                                  ::query::QueryResult& high);
  net::Task<Status> obey_throttle(const std::vector<int32_t>& streams);
  net::Task<Status> choose_sources(const std::vector<int32_t>& streams);
  // Waits until the tablet that the rows of a held stream are read from has what the stream has applied.
  net::Task<void> await_source(int32_t stream);
  net::Task<Status> update_statistics(TableSchema& schema);
  net::Task<Status> apply_repair(const Repair& repair);

  Engine::Core& engine;
  const int64_t id;
  net::Scope scope;
  std::unique_ptr<ServerSession> session;
  std::unique_ptr<ServerSession> writer;  // For repairs; made when first needed.
  std::string workflow;
  Settings settings;
  TableMap tables;
  std::map<int32_t, RowSource> sources_of;  // By stream; only those that are not read where the stream reads.
  base::TimePoint throttle_asked_at;
  uint64_t progress = 0;  // Grows with each chunk.
  bool stalled = false;   // The workflow did not run for too long.
};

VDiffs::VDiffs(Engine::Core& engine) : engine_(engine) {}

VDiffs::~VDiffs() { CHECK(runs_.empty()); }

void VDiffs::start(int64_t id) {
  if (!opened_) return;
  auto& run = runs_[id];
  if (run != nullptr) return;
  run = std::make_unique<Run>(engine_, id);
  run->scope.spawn(run->run());
}

net::Task<void> VDiffs::halt(int64_t id) {
  const auto found = runs_.find(id);
  if (found == runs_.end()) co_return;
  Run& run = *found->second;
  run.scope.request_stop();
  co_await run.scope.join();
  runs_.erase(id);
}

net::Task<Status> VDiffs::open(ServerSession& session, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin_.lock(wait));
  opened_ = true;
  CO_ASSIGN_OR_RETURN(
      const auto rows,
      co_await session.query(
          fmt::format("SELECT id FROM _vt.vdiff WHERE db_name = {} AND keyspace = {} AND shard = "
                      "{} AND state IN ('pending', 'started')",
                      sql_text(engine_.context.options.db_name), sql_text(engine_.context.options.keyspace),
                      sql_text(engine_.context.options.shard)),
          wait));
  for (size_t i = 0; i < rows.rows.size(); ++i) start(mysqld::to_int(rows.text(i, 0)).value_or(0));
  co_return Status{};
}

net::Task<void> VDiffs::close() {
  opened_ = false;
  for (auto& [id, run] : runs_) run->scope.request_stop();
  const auto guard = co_await admin_.lock({});
  for (auto& [id, run] : runs_) run->scope.request_stop();
  while (!runs_.empty()) co_await halt(runs_.begin()->first);
}

// --- the work -------------------------------------------------------------------------------------------------------

net::Task<void> VDiffs::Run::run() {
  const net::CancelToken cancel = scope.token();
  int failures = 0;
  while (!cancel.cancelled()) {
    const uint64_t before = progress;
    Status status = co_await attempt();
    if (status.has_value() || cancel.cancelled()) co_return;
    failures = progress != before ? 1 : failures + 1;
    const Code code = status.error().code();
    const bool hopeless = code == Code::kInvalidArgument || code == Code::kUnimplemented || code == Code::kNotFound;
    const bool give_up = hopeless || stalled || !settings.auto_retry || failures > kRetriesMax;
    if (!session || session->client().broken()) {
      auto opened = co_await engine.connect(net::Wait::within(std::chrono::seconds(5), cancel));
      if (opened.ok()) session = std::move(*opened);
    }
    if (session) {
      (void)co_await session->query(
          fmt::format("UPDATE _vt.vdiff SET last_error = {}{} WHERE id = {}",
                      sql_text(status.error().message().substr(0, 1000)), give_up ? ", state = 'error'" : "", id),
          net::Wait::within(std::chrono::seconds(10), cancel));
    }
    if (give_up) co_return;
    (void)co_await net::sleep_for(kRetryDelay, cancel);
  }
}

// All of the workflow: a source that is left out would make its rows look like extra ones.
net::Task<Result<std::vector<int32_t>>> VDiffs::Run::wait_for_streams() {
  const base::TimePoint deadline = base::system_clock().now() + settings.wait_running;
  for (;;) {
    const net::Wait wait = net::Wait::within(std::chrono::seconds(10), scope.token());
    CO_ASSIGN_OR_RETURN(auto ids, co_await engine.find_ids(*session, engine.in_workflow(workflow), wait));
    std::string waiting = ids.empty() ? "it has no streams" : "";
    for (const int32_t stream : ids) {
      const Stream* at = engine.find_stream(stream);
      if (at != nullptr && at->is_following()) continue;
      waiting = fmt::format("stream {} is not running", stream);
      if (at != nullptr) waiting += fmt::format(" ({} {})", state_word(at->record().state), at->record().message);
    }
    if (waiting.empty()) co_return ids;
    if (base::system_clock().now() > deadline) {
      stalled = true;
      co_return fail(Code::kFailedPrecondition, fmt::format("workflow {} cannot be compared: {}", workflow, waiting));
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(std::chrono::milliseconds(50), scope.token()));
  }
}

net::Task<Status> VDiffs::Run::attempt() {
  const net::Wait wait = net::Wait::within(std::chrono::seconds(30), scope.token());
  CO_ASSIGN_OR_RETURN(
      session, co_await ServerSession::open(engine.context.apply_login(), mysqld::ConnectionPurpose::kCopy, wait));
  CO_ASSIGN_OR_RETURN(
      const auto row,
      co_await session->rows(fmt::format("SELECT workflow, state, options FROM _vt.vdiff WHERE id = {}", id), wait));
  if (row.rows.empty()) co_return fail(Code::kNotFound, fmt::format("there is no VDiff {}", id));
  const auto state = row.get(0, "state").value_or("");
  if (state != "pending" && state != "started") co_return Status{};
  workflow = row.get(0, "workflow").value_or("");
  ::tabletmanagerdata::VDiffOptions options;
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;
  (void)google::protobuf::util::JsonStringToMessage(std::string(row.get(0, "options").value_or("{}")), &options,
                                                    lenient);
  settings = read_settings(options);
  settings.repair = wants_repair(row.get(0, "options").value_or("{}"));
  CO_ASSIGN_OR_RETURN(const auto ids, co_await wait_for_streams());
  CO_RETURN_IF_ERROR(co_await choose_sources(ids));
  CO_ASSIGN_OR_RETURN(tables, co_await load_tables(*session, engine.context.options.db_name, std::nullopt, wait));

  // Which tables: those that a stream carries and that were asked for.
  std::string values;
  for (auto& [name, schema] : tables) {
    if (!settings.tables.empty() && !settings.tables.contains(name)) continue;
    bool carried = false;
    for (const int32_t stream : ids) {
      const Stream* at = engine.find_stream(stream);
      carried = carried || (at != nullptr && at->carries(name));
    }
    if (!carried) continue;
    if (settings.update_stats) CO_RETURN_IF_ERROR(co_await update_statistics(schema));
    if (!values.empty()) values += ", ";
    values += fmt::format("({}, {}, 'pending', {})", id, sql_text(name), schema.row_estimate);
  }
  for (const std::string& name : settings.tables) {
    if (!tables.contains(name))
      co_return fail(Code::kNotFound, fmt::format("there is no table {} in the workflow", name));
  }
  if (values.empty()) co_return fail(Code::kInvalidArgument, "no table of the workflow is to be compared");
  CO_RETURN_IF_ERROR(co_await session->run(
      {fmt::format("INSERT IGNORE INTO _vt.vdiff_table (vdiff_id, table_name, state, table_rows) VALUES {}", values),
       fmt::format("UPDATE _vt.vdiff SET state = 'started', started_at = COALESCE(started_at, UTC_TIMESTAMP()), "
                   "liveness_timestamp = UTC_TIMESTAMP(), last_error = '' WHERE id = {}",
                   id)},
      wait));
  CO_ASSIGN_OR_RETURN(
      const auto open,
      co_await session->query(fmt::format("SELECT table_name FROM _vt.vdiff_table WHERE vdiff_id = {} AND state <> "
                                          "'completed' ORDER BY table_name",
                                          id),
                              wait));
  for (size_t i = 0; i < open.rows.size(); ++i) {
    CO_RETURN_IF_ERROR(co_await compare_table(std::string(open.text(i, 0))));
  }
  CO_RETURN_IF_ERROR(co_await session->run({fmt::format("UPDATE _vt.vdiff SET state = 'completed', completed_at = "
                                                        "UTC_TIMESTAMP(), liveness_timestamp = UTC_TIMESTAMP() "
                                                        "WHERE id = {}",
                                                        id)},
                                           net::Wait::within(std::chrono::seconds(30), scope.token())));
  co_return Status{};
}

net::Task<Status> VDiffs::Run::save(std::string name, const Report& report, const ::query::QueryResult& last,
                                    std::string state) {
  const std::string key = last.rows_size() == 0 ? "NULL" : sql_text(to_text(last));
  co_return co_await session->run(
      {fmt::format(
           "UPDATE _vt.vdiff_table SET state = '{}', rows_compared = {}, mismatch = {}, report = {}, lastpk = {} WHERE "
           "vdiff_id = {} AND table_name = {}",
           state, report.processed, report.differs() ? 1 : 0, sql_json(report.to_json(name)), key, id, sql_text(name)),
       fmt::format("UPDATE _vt.vdiff SET liveness_timestamp = UTC_TIMESTAMP() WHERE id = {}", id)},
      net::Wait::within(std::chrono::seconds(30), scope.token()));
}

net::Task<Status> VDiffs::Run::compare_table(std::string name) {
  const net::Wait wait = net::Wait::within(std::chrono::seconds(30), scope.token());
  const auto schema = tables.find(name);
  if (schema == tables.end()) co_return fail(Code::kNotFound, fmt::format("table {} does not exist any more", name));
  CO_ASSIGN_OR_RETURN(const auto row,
                      co_await session->rows(fmt::format("SELECT lastpk, report FROM _vt.vdiff_table WHERE vdiff_id "
                                                         "= {} AND table_name = {}",
                                                         id, sql_text(name)),
                                             wait));
  Report report = Report::parse(row.get(0, "report").value_or(""));
  ::query::QueryResult last;
  if (const auto key = row.get(0, "lastpk"); key && !key->empty())
    CO_RETURN_IF_ERROR(from_text(*key, last, "vdiff_table.lastpk"));
  // A statistic is better than nothing, but a table must never seem done before it is.
  base::TimePoint saved = base::system_clock().now();
  CO_RETURN_IF_ERROR(co_await save(name, report, last, "started"));
  for (bool done = false; !done;) {
    CO_ASSIGN_OR_RETURN(const auto ids, co_await wait_for_streams());
    std::vector<int32_t> carrying;
    for (const int32_t stream : ids) {
      const Stream* at = engine.find_stream(stream);
      if (at != nullptr && at->carries(name)) carrying.push_back(stream);
    }
    CO_RETURN_IF_ERROR(co_await obey_throttle(carrying));
    CO_RETURN_IF_ERROR(co_await compare_interval(schema->second, carrying, report, last, done));
    ++progress;
    if (report.processed >= settings.max_rows) done = true;
    const base::TimePoint now = base::system_clock().now();
    if (done || now - saved < kSaveInterval) continue;
    saved = now;
    CO_RETURN_IF_ERROR(co_await save(name, report, last, "started"));
  }
  co_return co_await save(name, report, last, "completed");
}

// Before anything is held: the throttler of this tablet, and those of the sources.
net::Task<Status> VDiffs::Run::obey_throttle(const std::vector<int32_t>& streams) {
  const std::string app = "vdiff:" + workflow;
  Throttle* throttle = engine.context.options.throttle;
  if (throttle == nullptr || base::system_clock().now() < throttle_asked_at + kThrottleLook) co_return Status{};
  for (;;) {
    throttle_asked_at = base::system_clock().now();
    bool wait = throttle->reason_to_wait(app).has_value();
    for (const int32_t id_of_stream : streams) {
      const Stream* stream = engine.find_stream(id_of_stream);
      const auto channel = stream == nullptr ? nullptr : stream->channel();
      if (wait || channel == nullptr) continue;
      ::tabletmanagerdata::CheckThrottlerRequest request;
      request.set_app_name(app);
      request.set_ok_if_not_exists(true);
      const auto answer = co_await rpc::call<::tabletmanagerdata::CheckThrottlerResponse>(
          *channel, "/tabletmanagerservice.TabletManager/CheckThrottler", request,
          net::Wait::within(kStepTimeout, scope.token()));
      // A source that cannot say is found out by reading from it.
      wait = answer.ok() && answer->response_code() != ::tabletmanagerdata::OK;
    }
    if (!wait) co_return Status{};
    CO_RETURN_IF_ERROR(co_await net::sleep_for(kThrottleLook, scope.token()));
  }
}

net::Task<Status> VDiffs::Run::choose_sources(const std::vector<int32_t>& streams) {
  sources_of.clear();
  if (settings.source_types.empty()) co_return Status{};
  for (const int32_t number : streams) {
    const Stream* stream = engine.find_stream(number);
    if (stream == nullptr) co_return fail(Code::kUnavailable, fmt::format("stream {} was stopped", number));
    const auto alias = stream->endpoint().alias;
    SourceQuery query{.keyspace = stream->record().source.keyspace(),
                      .shard = stream->record().source.shard(),
                      .cells = settings.source_cells,
                      .types = settings.source_types,
                      .in_order = settings.types_in_order};
    CO_ASSIGN_OR_RETURN(const auto candidates, co_await engine.context.options.sources->candidates(std::move(query)));
    for (const auto& candidate : candidates) {
      if (candidate.alias.cell() == alias.cell() && candidate.alias.uid() == alias.uid()) break;
      rpc::ChannelOptions options = engine.context.options.channel;
      options.message_size_max = rpc::kRowMessageSizeMax;
      CO_ASSIGN_OR_RETURN(auto channel, rpc::Channel::create(candidate.address, options));
      const SourceHealth health =
          co_await probe_source(channel, candidate.type, net::Wait::within(kSourceWait, scope.token()));
      if (!health.replicating || health.lag > kSourceWait) continue;
      sources_of[number] = {std::move(channel), candidate};
      break;
    }
  }
  co_return Status{};
}

net::Task<void> VDiffs::Run::await_source(int32_t stream) {
  const auto found = sources_of.find(stream);
  const Stream* held = engine.find_stream(stream);
  if (found == sources_of.end() || held == nullptr) co_return;
  ::tabletmanagerdata::WaitForPositionRequest request;
  request.set_position(held->applied_position());
  const auto reached = co_await rpc::call<::tabletmanagerdata::WaitForPositionResponse>(
      *found->second.channel, "/tabletmanagerservice.TabletManager/WaitForPosition", request,
      net::Wait::within(kSourceWait, scope.token()));
  if (reached.ok()) co_return;
  // The stream must not stand still for the sake of a tablet that lags.
  log_warning("VDiff {}: tablet {}-{} has not what its stream has applied: rows are read where the stream reads", id,
              found->second.endpoint.alias.cell(), found->second.endpoint.alias.uid());
  sources_of.erase(stream);
}

net::Task<Status> VDiffs::Run::update_statistics(TableSchema& schema) {
  const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
  const std::string& database = engine.context.options.db_name;
  CO_ASSIGN_OR_RETURN(const auto analyzed, co_await session->query(fmt::format("ANALYZE NO_WRITE_TO_BINLOG TABLE {}.{}",
                                                                               mysqld::quote_identifier(database),
                                                                               mysqld::quote_identifier(schema.name)),
                                                                   wait));
  (void)analyzed;
  CO_ASSIGN_OR_RETURN(auto again, co_await load_tables(*session, database, schema.name, wait));
  if (const auto found = again.find(schema.name); found != again.end()) schema = std::move(found->second);
  co_return Status{};
}

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

net::Task<Status> VDiffs::Run::read_interval(const std::vector<Stream*>& held, const std::vector<int32_t>& streams,
                                             std::string table, const ::query::QueryResult& last,
                                             const ::query::QueryResult& bound, std::vector<SourceRows>& sources,
                                             ::query::QueryResult& high) {
  const auto source_of = [&](size_t i) {
    const auto found = sources_of.find(streams[i]);
    return found == sources_of.end() ? RowSource() : found->second;
  };
  // One source's chunk bounds the interval; the others are read up to the same key. A source that has far more rows
  // there takes over, with a nearer bound.
  sources.clear();
  sources.resize(held.size());
  for (size_t driver = 0;;) {
    CO_ASSIGN_OR_RETURN(sources[driver],
                        co_await read_source(*held[driver], source_of(driver), table, last, bound, kChunkBytes));
    high = sources[driver].more ? sources[driver].last : bound;
    size_t denser = held.size();
    std::vector<net::Task<void>> reads;
    std::vector<Status> outcomes(held.size());
    for (size_t i = 0; i < held.size(); ++i) {
      if (i == driver) continue;
      reads.push_back(
          read_into(read_source(*held[i], source_of(i), table, last, high, 4 * kChunkBytes), sources[i], outcomes[i]));
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

net::Task<Status> VDiffs::Run::compare_interval(const TableSchema& schema, const std::vector<int32_t>& streams,
                                                Report& report, ::query::QueryResult& last, bool& done) {
  std::vector<SourceRows> sources;
  ::query::QueryResult high;
  net::QueryResult target;
  std::optional<TargetTable> table;
  // Held, they stay: a stream that is being stopped waits for its hold to go.
  std::vector<std::unique_ptr<Stream::Hold>> holds;
  ::query::QueryResult bound;  // Where the target has far more rows than the sources: the interval ends there.
  const bool may_bound =
      std::ranges::none_of(schema.identity, [&](size_t column) { return has_key_expression(schema.columns[column]); });
  std::string target_query;
  for (int attempt = 0;; ++attempt) {
    if (attempt == kAttemptsPerChunk)
      co_return fail(Code::kUnavailable, "the streams do not stand still at common positions");
    const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
    holds.clear();
    std::vector<Stream*> held;
    for (const int32_t stream : streams) {
      Stream* at = engine.find_stream(stream);
      if (at == nullptr) co_return fail(Code::kUnavailable, fmt::format("stream {} was stopped", stream));
      auto hold = std::make_unique<Stream::Hold>(*at);
      CO_RETURN_IF_ERROR(co_await hold->acquire(wait));
      holds.push_back(std::move(hold));
      held.push_back(at);
      co_await await_source(stream);
    }
    CO_RETURN_IF_ERROR(co_await read_interval(held, streams, schema.name, last, bound, sources, high));
    bool beyond = false;
    for (size_t i = 0; i < held.size() && !beyond; ++i) {
      Status reached = co_await holds[i]->run_to(sources[i].position, wait);
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
    std::string where;
    if (!low_key.empty()) where = fmt::format(" WHERE ({})", key_condition(schema, low_key, true));
    if (!high_key.empty()) {
      where += fmt::format("{} ({})", where.empty() ? " WHERE" : " AND", key_condition(schema, high_key, false));
    }
    const uint64_t rows_max = may_bound ? target_rows_max(schema) : 0;
    target_query = fmt::format("SELECT {} FROM {}{}", table->read_list(), table->qualified_name(), where);
    const std::string limit =
        rows_max == 0 ? "" : fmt::format(" ORDER BY {} LIMIT {}", identity_order(schema), rows_max + 1);
    CO_ASSIGN_OR_RETURN(target, co_await session->client().query(target_query + limit, wait, SIZE_MAX));
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
    CO_ASSIGN_OR_RETURN(target, co_await session->client().query(
                                    target_query, net::Wait::within(kStepTimeout, scope.token()), SIZE_MAX));
    const int64_t differed = found.mismatched + found.extra_source + found.extra_target;
    found = {};
    CO_RETURN_IF_ERROR(compare_rows(*table, texts_of(sources), target.rows, settings.samples, found, nullptr));
    found.repaired = differed - (found.mismatched + found.extra_source + found.extra_target);
  }
  report.add(std::move(found), settings.samples.count_max);
  done = high.rows_size() == 0;
  if (!done) last = std::move(high);
  co_return Status{};
}

// --- requests -------------------------------------------------------------------------------------------------------

net::Task<Result<int64_t>> VDiffs::find_id(ServerSession& session, const ::tabletmanagerdata::VDiffRequest& request,
                                           net::Wait wait) {
  std::string uuid = request.action_arg();
  if (uuid.empty()) uuid = request.vdiff_uuid();
  std::string where =
      fmt::format("workflow = {} AND keyspace = {} AND db_name = {}", sql_text(request.workflow()),
                  sql_text(engine_.context.options.keyspace), sql_text(engine_.context.options.db_name));
  if (uuid != "last") where += fmt::format(" AND vdiff_uuid = {}", sql_text(uuid));
  CO_ASSIGN_OR_RETURN(
      const auto rows,
      co_await session.query(fmt::format("SELECT id FROM _vt.vdiff WHERE {} ORDER BY id DESC LIMIT 1", where), wait));
  if (rows.rows.empty()) co_return int64_t{0};
  co_return static_cast<int64_t>(mysqld::to_int(rows.text(0, 0)).value_or(0));
}

net::Task<Result<::tabletmanagerdata::VDiffResponse>> VDiffs::create(ServerSession& session,
                                                                     ::tabletmanagerdata::VDiffRequest request,
                                                                     net::Wait wait) {
  const std::string uuid = request.vdiff_uuid().empty() ? base::system_random().uuid() : request.vdiff_uuid();
  CO_ASSIGN_OR_RETURN(const auto streams,
                      co_await engine_.find_ids(session, engine_.in_workflow(request.workflow()), wait));
  if (streams.empty()) {
    co_return fail(Code::kNotFound, fmt::format("no streams of workflow {} found on {}/{}", request.workflow(),
                                                engine_.context.options.keyspace, engine_.context.options.shard));
  }
  CO_ASSIGN_OR_RETURN(
      const auto copying,
      co_await session.query(fmt::format("SELECT COUNT(*) FROM _vt.copy_state WHERE vrepl_id IN (SELECT id FROM "
                                         "_vt.vreplication WHERE {})",
                                         engine_.in_workflow(request.workflow())),
                             wait));
  if (copying.text(0, 0) != "0") {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("workflow {} is still copying: compare when it is running", request.workflow()));
  }
  std::string options;
  google::protobuf::util::JsonPrintOptions print;
  print.preserve_proto_field_names = true;
  (void)google::protobuf::util::MessageToJsonString(request.options(), &options, print);
  if (request.action() == "repair") {
    json document = json::parse(options, nullptr, false);
    if (!document.is_object()) document = json::object();
    document[kRepairOption] = true;
    options = document.dump();
  }
  const auto& core = request.options().core_options();
  const bool auto_start = !core.has_auto_start() || core.auto_start();
  CO_ASSIGN_OR_RETURN(
      const auto inserted,
      co_await session.query(
          fmt::format("INSERT INTO _vt.vdiff (keyspace, workflow, state, options, shard, db_name, "
                      "vdiff_uuid) VALUES ({}, {}, '{}', {}, {}, {}, {})",
                      sql_text(engine_.context.options.keyspace), sql_text(request.workflow()),
                      auto_start ? "pending" : "stopped", sql_json(options), sql_text(engine_.context.options.shard),
                      sql_text(engine_.context.options.db_name), sql_text(uuid)),
          wait));
  ::tabletmanagerdata::VDiffResponse response;
  response.set_id(static_cast<int64_t>(inserted.ok.last_insert_id));
  response.set_vdiff_uuid(uuid);
  if (auto_start) start(response.id());
  co_return std::move(response);
}

net::Task<Result<::tabletmanagerdata::VDiffResponse>> VDiffs::show(ServerSession& session,
                                                                   ::tabletmanagerdata::VDiffRequest request,
                                                                   net::Wait wait) {
  ::tabletmanagerdata::VDiffResponse response;
  if (request.action_arg() == "all") {
    CO_ASSIGN_OR_RETURN(
        const auto rows,
        co_await session.query(fmt::format("SELECT * FROM _vt.vdiff WHERE workflow = {} AND keyspace = {} AND "
                                           "db_name = {} ORDER BY id DESC",
                                           sql_text(request.workflow()), sql_text(engine_.context.options.keyspace),
                                           sql_text(engine_.context.options.db_name)),
                               wait));
    *response.mutable_output() = to_proto(rows);
    co_return std::move(response);
  }
  response.mutable_output();
  CO_ASSIGN_OR_RETURN(const int64_t id, co_await find_id(session, request, wait));
  if (id == 0) co_return std::move(response);
  CO_ASSIGN_OR_RETURN(
      const auto rows,
      co_await session.query(
          fmt::format(
              "SELECT d.state AS vdiff_state, d.last_error AS last_error, t.table_name AS table_name, d.vdiff_uuid AS "
              "uuid, "
              "t.state AS table_state, t.table_rows AS table_rows, d.started_at AS started_at, t.rows_compared AS "
              "rows_compared, d.completed_at AS completed_at, IF(t.mismatch = 1, 1, 0) AS has_mismatch, t.report AS "
              "report "
              "FROM _vt.vdiff AS d LEFT JOIN _vt.vdiff_table AS t ON t.vdiff_id = d.id WHERE d.id = {} ORDER BY "
              "t.table_name",
              id),
          wait));
  response.set_id(id);
  response.set_vdiff_uuid(std::string(rows.text(0, 3)));
  *response.mutable_output() = to_proto(rows);
  co_return std::move(response);
}

net::Task<Status> VDiffs::remove(ServerSession& session, std::string where, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto rows, co_await session.query("SELECT id FROM _vt.vdiff WHERE " + where, wait));
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    const int64_t id = mysqld::to_int(rows.text(i, 0)).value_or(0);
    co_await halt(id);
    auto done = co_await session.script(
        fmt::format("BEGIN; DELETE FROM _vt.vdiff_table WHERE vdiff_id = {0}; DELETE FROM _vt.vdiff_log "
                    "WHERE vdiff_id = {0}; DELETE FROM _vt.vdiff WHERE id = {0}; COMMIT",
                    id),
        wait);
    if (!done.ok()) co_return std::move(done).error();
  }
  co_return Status{};
}

net::Task<Status> VDiffs::forget_workflow(std::string workflow, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin_.lock(wait));
  CO_ASSIGN_OR_RETURN(const auto session, co_await engine_.connect(wait));
  co_return co_await remove(*session, engine_.in_workflow(workflow), wait);
}

net::Task<Result<::tabletmanagerdata::VDiffResponse>> VDiffs::handle(::tabletmanagerdata::VDiffRequest request,
                                                                     net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto session, co_await engine_.connect(wait));
  CO_RETURN_IF_ERROR(co_await session->run({"SET SESSION time_zone = '+00:00'"}, wait));
  const std::string action = request.action();
  if (action == "show") co_return co_await show(*session, std::move(request), wait);
  CO_ASSIGN_OR_RETURN(const auto guard, co_await admin_.lock(wait));
  if (action == "create" || action == "repair") co_return co_await create(*session, std::move(request), wait);
  ::tabletmanagerdata::VDiffResponse response;
  if (action == "delete" && request.action_arg() == "all") {
    CO_RETURN_IF_ERROR(co_await remove(*session, engine_.in_workflow(request.workflow()), wait));
    co_return std::move(response);
  }
  CO_ASSIGN_OR_RETURN(const int64_t id, co_await find_id(*session, request, wait));
  if (action == "delete") {
    if (id != 0) CO_RETURN_IF_ERROR(co_await remove(*session, fmt::format("id = {}", id), wait));
    co_return std::move(response);
  }
  const std::string& uuid = request.action_arg().empty() ? request.vdiff_uuid() : request.action_arg();
  if (id == 0) co_return fail(Code::kNotFound, fmt::format("no vdiff found for UUID {}", uuid));
  if (action == "stop") {
    co_await halt(id);
    CO_RETURN_IF_ERROR(co_await session->run(
        {fmt::format("UPDATE _vt.vdiff SET state = 'stopped' WHERE id = {} AND state IN ('pending', 'started')", id),
         fmt::format(
             "UPDATE _vt.vdiff_table SET state = 'stopped' WHERE vdiff_id = {} AND state IN ('pending', 'started')",
             id)},
        wait));
  } else if (action == "resume") {
    co_await halt(id);
    CO_RETURN_IF_ERROR(co_await session->run(
        {fmt::format("UPDATE _vt.vdiff SET state = 'pending', completed_at = NULL, last_error = '' WHERE id = {}", id),
         fmt::format("UPDATE _vt.vdiff_table SET state = 'pending' WHERE vdiff_id = {}", id)},
        wait));
    start(id);
  } else {
    co_return fail(Code::kInvalidArgument, fmt::format("unknown VDiff action '{}'", action));
  }
  response.set_id(id);
  response.set_vdiff_uuid(uuid);
  co_return std::move(response);
}

}  // namespace vitrail::movement

#include "movement/vdiff_run.h"

#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/text.h"
#include "movement/source_probe.h"
#include "movement/throttle.h"
#include "movement/vdiff_sums.h"

namespace vitrail::movement {
namespace {

using nlohmann::json;

constexpr auto kSourceWait = std::chrono::seconds(5);
constexpr auto kThrottleLook = std::chrono::milliseconds(250);
constexpr auto kSaveInterval = std::chrono::milliseconds(500);
constexpr auto kRetryDelay = std::chrono::seconds(1);
constexpr int kRetriesMax = 60;
constexpr size_t kTablesAtOnce = 2;
constexpr auto kSnapshotAgeMax = std::chrono::seconds(2);  // Of one that waits for its turn.

VDiffSettings read_settings(const ::tabletmanagerdata::VDiffOptions& options) {
  VDiffSettings settings;
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

bool wants_repair(std::string_view options) {
  const json document = json::parse(options, nullptr, false);
  return document.is_object() && document.value(kRepairOption, false);
}

}  // namespace

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
      (void)co_await session->run({"ROLLBACK", fmt::format("UPDATE _vt.vdiff SET last_error = {}{} WHERE id = {}",
                                                           sql_text(status.error().message().substr(0, 1000)),
                                                           give_up ? ", state = 'error'" : "", id)},
                                  net::Wait::within(std::chrono::seconds(10), cancel));
    }
    if (give_up) co_return;
    (void)co_await net::sleep_for(kRetryDelay, cancel);
  }
}

// All of the workflow: a source that is left out would make its rows look like extra ones.
net::Task<Result<std::vector<int32_t>>> VDiffs::Run::wait_for_streams(ServerSession& own) {
  const base::TimePoint deadline = base::system_clock().now() + settings.wait_running;
  for (;;) {
    const net::Wait wait = net::Wait::within(std::chrono::seconds(10), scope.token());
    CO_ASSIGN_OR_RETURN(auto ids, co_await engine.find_ids(own, engine.in_workflow(workflow), wait));
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
  spare.clear();  // The server may be another one by now.
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
  CO_ASSIGN_OR_RETURN(const auto ids, co_await wait_for_streams(*session));
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
  auto begun = co_await session->script(
      fmt::format("BEGIN; INSERT IGNORE INTO _vt.vdiff_table (vdiff_id, table_name, state, table_rows) VALUES {}; "
                  "UPDATE _vt.vdiff SET state = 'started', started_at = COALESCE(started_at, UTC_TIMESTAMP()), "
                  "liveness_timestamp = UTC_TIMESTAMP(), last_error = '' WHERE id = {}; COMMIT",
                  values, id),
      wait);
  if (!begun.ok()) co_return std::move(begun).error();
  CO_ASSIGN_OR_RETURN(
      const auto open,
      co_await session->query(fmt::format("SELECT table_name FROM _vt.vdiff_table WHERE vdiff_id = {} AND state <> "
                                          "'completed' ORDER BY table_name",
                                          id),
                              wait));
  std::deque<std::string> names;
  for (size_t i = 0; i < open.rows.size(); ++i) names.emplace_back(open.text(i, 0));
  Status failed;
  std::vector<net::Task<void>> workers;
  for (size_t i = 0; i < std::min(kTablesAtOnce, names.size()); ++i) {
    CO_ASSIGN_OR_RETURN(
        auto own, co_await ServerSession::open(engine.context.apply_login(), mysqld::ConnectionPurpose::kCopy, wait));
    workers.push_back(compare_tables(names, std::move(own), failed));
  }
  co_await net::when_all(std::move(workers));
  CO_RETURN_IF_ERROR(std::move(failed));
  CO_RETURN_IF_ERROR(co_await session->run({fmt::format("UPDATE _vt.vdiff SET state = 'completed', completed_at = "
                                                        "UTC_TIMESTAMP(), liveness_timestamp = UTC_TIMESTAMP() "
                                                        "WHERE id = {}",
                                                        id)},
                                           net::Wait::within(std::chrono::seconds(30), scope.token())));
  co_return Status{};
}

net::Task<void> VDiffs::Run::compare_tables(std::deque<std::string>& names, std::unique_ptr<ServerSession> own,
                                            Status& failed) {
  TableWork work;
  work.own = std::move(own);
  while (!names.empty() && failed.has_value()) {
    std::string name = std::move(names.front());
    names.pop_front();
    work.begin_table();
    Status compared = co_await compare_table(work, std::move(name), failed);
    if (!compared.has_value() && failed.has_value()) failed = std::move(compared);
  }
}

net::Task<Status> VDiffs::Run::save(ServerSession& own, std::string name, const Report& report,
                                    const ::query::QueryResult& last, std::string state) {
  const std::string key = last.rows_size() == 0 ? "NULL" : sql_text(to_text(last));
  auto saved = co_await own.script(
      fmt::format("BEGIN; UPDATE _vt.vdiff_table SET state = '{}', rows_compared = {}, mismatch = {}, report = {}, "
                  "lastpk = {} WHERE vdiff_id = {} AND table_name = {}; UPDATE _vt.vdiff SET liveness_timestamp = "
                  "UTC_TIMESTAMP() WHERE id = {}; COMMIT",
                  state, report.processed, report.differs() ? 1 : 0, sql_json(report.to_json(name)), key, id,
                  sql_text(name), id),
      net::Wait::within(std::chrono::seconds(30), scope.token()));
  if (!saved.ok()) co_return std::move(saved).error();
  co_return Status{};
}

net::Task<Status> VDiffs::Run::compare_table(TableWork& work, std::string name, const Status& failed) {
  const net::Wait wait = net::Wait::within(std::chrono::seconds(30), scope.token());
  const auto schema = tables.find(name);
  if (schema == tables.end()) co_return fail(Code::kNotFound, fmt::format("table {} does not exist any more", name));
  CO_ASSIGN_OR_RETURN(const auto row,
                      co_await work.own->rows(fmt::format("SELECT lastpk, report FROM _vt.vdiff_table WHERE vdiff_id "
                                                          "= {} AND table_name = {}",
                                                          id, sql_text(name)),
                                              wait));
  Report report = Report::parse(row.get(0, "report").value_or(""));
  ::query::QueryResult last;
  if (const auto key = row.get(0, "lastpk"); key && !key->empty())
    CO_RETURN_IF_ERROR(from_text(*key, last, "vdiff_table.lastpk"));
  // A statistic is better than nothing, but a table must never seem done before it is.
  base::TimePoint saved = base::system_clock().now();
  CO_RETURN_IF_ERROR(co_await save(*work.own, name, report, last, "started"));
  for (bool done = false; !done;) {
    if (!failed.has_value()) co_return co_await save(*work.own, name, report, last, "started");
    const base::TimePoint asked = base::system_clock().now();
    CO_ASSIGN_OR_RETURN(const auto ids, co_await wait_for_streams(*work.own));
    std::vector<int32_t> carrying;
    for (const int32_t stream : ids) {
      const Stream* at = engine.find_stream(stream);
      if (at != nullptr && at->carries(name)) carrying.push_back(stream);
    }
    CO_RETURN_IF_ERROR(co_await obey_throttle(carrying));
    const auto adds_up = [&](int32_t stream) {
      const Stream* at = engine.find_stream(stream);
      return at != nullptr && at->adds_up(name);
    };
    if (std::ranges::any_of(carrying, adds_up)) {
      CO_RETURN_IF_ERROR(co_await compare_groups(schema->second, carrying, report));
      last.Clear();
      break;
    }
    if (base::system_clock().now() - asked > kSnapshotAgeMax) work.next.reset();
    CO_RETURN_IF_ERROR(co_await compare_stretch(work, schema->second, carrying, report, last, done));
    ++progress;
    if (report.processed >= settings.max_rows) done = true;
    const base::TimePoint now = base::system_clock().now();
    if (done || now - saved < kSaveInterval) continue;
    saved = now;
    CO_RETURN_IF_ERROR(co_await save(*work.own, name, report, last, "started"));
  }
  co_return co_await save(*work.own, name, report, last, "completed");
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
    SourceQuery query{.cluster = stream->record().source.external_cluster(),
                      .keyspace = stream->record().source.keyspace(),
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

}  // namespace vitrail::movement

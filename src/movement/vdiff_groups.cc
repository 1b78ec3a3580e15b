#include <fmt/core.h>

#include <algorithm>

#include "movement/aggregate_table.h"
#include "movement/applier.h"
#include "movement/copy_snapshot.h"
#include "movement/interval_sum.h"
#include "movement/row_stream.h"
#include "movement/target_table.h"
#include "movement/vdiff_run.h"
#include "movement/vdiff_sums.h"
#include "mysqld/rows.h"

// A VDiff of groups: no interval of the source's rows is an interval of the target's. So all of the source's rows of
// one moment are counted anew, into a temporary table of the target's server, and that is compared with the target's
// table as it was at the same moment. However many groups there are, few of them are here at a time.
namespace vitrail::movement {

// All rows of one source as of one moment.
struct GroupSource {
  net::Signal lost;
  std::unique_ptr<CopySnapshot> snapshot;
  std::optional<rpc::TypedStream<::binlogdata::VStreamRowsResponse>> call;
  mysql::Position position;
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  std::optional<::binlogdata::VStreamRowsResponse> first;
};

namespace {

using Response = ::binlogdata::VStreamRowsResponse;

constexpr size_t kGroupsAtOnce = 5000;
constexpr const char* kCounted = "vitrail_vdiff_groups";  // Of the session alone.

net::Task<Result<std::optional<Response>>> next_rows(GroupSource& source, net::Wait wait) {
  for (;;) {
    CO_ASSIGN_OR_RETURN(auto piece, co_await source.call->next(wait));
    if (piece && (piece->heartbeat() || piece->throttled())) continue;
    co_return std::move(piece);
  }
}

// The stream is held meanwhile.
net::Task<Status> open_source(Stream& held, RowSource from, std::string table, GroupSource& source) {
  const auto channel = from.channel != nullptr ? from.channel : held.channel();
  if (channel == nullptr) co_return fail(Code::kFailedPrecondition, "the stream is not connected");
  ::binlogdata::VStreamRowsRequest request = rows_request(held, from, table, {}, {});
  source.snapshot = std::make_unique<CopySnapshot>(held.record().id, source.lost, held.token());
  CO_RETURN_IF_ERROR(co_await source.snapshot->open(channel, request.target()));
  (*request.mutable_options()->mutable_config_overrides())[kSnapshotOption] = source.snapshot->name();
  source.call.emplace(rpc::open_stream<Response>(*channel, "/queryservice.Query/VStreamRows", request));
  CO_ASSIGN_OR_RETURN(source.first, co_await next_rows(source, net::Wait::within(kStepTimeout, held.token())));
  if (!source.first || source.first->gtid().empty() || source.first->fields_size() == 0) {
    co_return fail(Code::kInternal, "the source sent no columns");
  }
  CO_ASSIGN_OR_RETURN(source.position, mysql::Position::parse(source.first->gtid()));
  source.fields = source.first->fields();
  co_return Status{};
}

net::Task<Status> count_rows(ServerSession& session, const TableSchema& counted, std::string database,
                             const TablePlan& plan, GroupSource& source, net::CancelToken cancel) {
  CO_ASSIGN_OR_RETURN(AggregateTable groups, AggregateTable::bind(counted, database, plan, source.fields));
  for (std::optional<Response> piece = std::move(source.first); piece;) {
    const net::Wait wait = net::Wait::within(kStepTimeout, cancel);
    std::vector<std::string> statements;
    for (const auto& row : piece->rows()) CO_RETURN_IF_ERROR(groups.add(row, statements));
    for (std::string& statement : statements) {
      auto done = co_await session.query(std::move(statement), wait);
      if (!done.ok()) co_return std::move(done).error();
    }
    CO_ASSIGN_OR_RETURN(piece, co_await next_rows(source, wait));
  }
  co_return Status{};
}

using TextRows = std::vector<std::vector<std::optional<std::string>>>;

// At most kGroupsAtOnce of the table's rows behind `low` and not behind `high`.
net::Task<Result<TextRows>> read_groups(ServerSession& session, const TargetTable& table,
                                        const ::query::QueryResult& low, const ::query::QueryResult& high,
                                        net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto low_key, key_values(table.schema(), low));
  CO_ASSIGN_OR_RETURN(const auto high_key, key_values(table.schema(), high));
  const std::string where = interval_condition(table.schema(), low_key, high_key);
  CO_ASSIGN_OR_RETURN(auto found, co_await session.client().query(
                                      fmt::format("SELECT {} FROM {}{}{} ORDER BY {} LIMIT {}", table.read_list(),
                                                  table.qualified_name(), where.empty() ? "" : " WHERE ", where,
                                                  identity_order(table.schema()), kGroupsAtOnce),
                                      std::move(wait), SIZE_MAX));
  co_return std::move(found.rows);
}

}  // namespace

namespace {

net::Task<void> close_all(std::vector<std::unique_ptr<GroupSource>>& sources) {
  for (auto& source : sources) {
    if (source->snapshot) co_await source->snapshot->close();
  }
  sources.clear();
}

}  // namespace

net::Task<Status> VDiffs::Run::open_groups(ServerSession& own, const std::vector<int32_t>& streams, std::string table,
                                           std::vector<std::unique_ptr<GroupSource>>& sources,
                                           std::optional<TablePlan>& plan) {
  for (int attempt = 0; attempt < kAttemptsPerChunk; ++attempt) {
    const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
    Holds holds;
    CO_ASSIGN_OR_RETURN(const std::vector<Stream*> held, co_await hold(streams, holds));
    bool beyond = false;
    for (size_t i = 0; i < held.size() && !beyond; ++i) {
      GroupSource& source = *sources.emplace_back(std::make_unique<GroupSource>());
      CO_RETURN_IF_ERROR(co_await open_source(*held[i], source_of(streams[i]), table, source));
      Status reached = co_await holds.streams[i]->run_to(source.position, wait);
      if (!reached.has_value() && reached.error().code() != Code::kAborted) co_return std::move(reached);
      beyond = !reached.has_value();
      if (const TablePlan* known = held[i]->aggregation(table)) plan = *known;
    }
    if (!beyond) {
      const auto counts = [](const auto& item) { return item.kind == RowQuery::ItemKind::kCount; };
      if (plan && std::ranges::none_of(plan->query.items, counts)) {
        co_return fail(Code::kUnimplemented,
                       fmt::format("table {} has no count(*): groups without rows stay there, and cannot be told from "
                                   "others",
                                   table));
      }
      if (!plan) co_return fail(Code::kUnavailable, fmt::format("no stream adds up table {} any more", table));
      // What the target's statements see is settled here: the streams may go on.
      co_return co_await own.run({"START TRANSACTION WITH CONSISTENT SNAPSHOT"}, wait);
    }
    holds.clear();
    co_await close_all(sources);
    CO_RETURN_IF_ERROR(co_await net::sleep_for(std::chrono::milliseconds(20), scope.token()));
  }
  co_return fail(Code::kUnavailable, "the streams do not stand still at common positions");
}

net::Task<Status> VDiffs::Run::compare_counted(ServerSession& own, const TableSchema& schema,
                                               const TableSchema& counted, const TablePlan& plan, Report& report) {
  const std::string& database = engine.context.options.db_name;
  google::protobuf::RepeatedPtrField<::query::Field> fields, keys;
  for (const auto& item : plan.query.items) {
    const auto column = schema.find_column(item.alias);
    if (column) *fields.Add() = to_field(schema.columns[*column], schema.name, database);
  }
  for (const size_t column : schema.identity) *keys.Add() = to_field(schema.columns[column], schema.name, database);
  CO_ASSIGN_OR_RETURN(const TargetTable target, TargetTable::bind(schema, database, fields));
  CO_ASSIGN_OR_RETURN(const TargetTable groups, TargetTable::bind(counted, database, fields));
  ::query::QueryResult low;
  for (bool done = false; !done;) {
    const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
    ::query::QueryResult high;
    CO_ASSIGN_OR_RETURN(TextRows there, co_await read_groups(own, target, low, high, wait));
    if (there.size() == kGroupsAtOnce) high = target.key_result(there.back(), keys);
    CO_ASSIGN_OR_RETURN(const TextRows wanted, co_await read_groups(own, groups, low, high, wait));
    if (wanted.size() == kGroupsAtOnce) {
      high = groups.key_result(wanted.back(), keys);
      CO_ASSIGN_OR_RETURN(there, co_await read_groups(own, target, low, high, wait));
    }
    Response rows;
    for (const auto& group : wanted) {
      ::query::Row& row = *rows.add_rows();
      for (const auto& value : group) append_cell(row, value ? mysql::Cell(*value) : mysql::Cell());
    }
    Report found;
    CO_RETURN_IF_ERROR(compare_rows(target, {&rows}, there, settings.samples, found, nullptr));
    report.add(std::move(found), settings.samples.count_max);
    ++progress;
    done = high.rows_size() == 0;
    low = std::move(high);
  }
  co_return Status{};
}

net::Task<Status> VDiffs::Run::compare_groups(const TableSchema& schema, const std::vector<int32_t>& streams,
                                              Report& report) {
  if (settings.repair) {
    co_return fail(Code::kUnimplemented,
                   fmt::format("table {} has groups of the source's rows, which are not repaired: "
                               "cancel the workflow and make it again",
                               schema.name));
  }
  const auto odd = [&](size_t column) { return has_key_expression(schema.columns[column]); };
  if (std::ranges::any_of(schema.identity, odd)) {
    co_return fail(Code::kUnimplemented,
                   fmt::format("table {} is grouped by a column that VDiff does not order by", schema.name));
  }
  const net::Wait wait = net::Wait::within(kStepTimeout, scope.token());
  const std::string& database = engine.context.options.db_name;
  TableSchema counted = schema;
  counted.name = kCounted;
  CO_ASSIGN_OR_RETURN(const auto own, co_await ServerSession::open(engine.context.apply_login(),
                                                                   mysqld::ConnectionPurpose::kApply, wait));
  CO_RETURN_IF_ERROR(
      co_await own->run({"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                         fmt::format("CREATE TEMPORARY TABLE {0}.{1} LIKE {0}.{2}", mysqld::quote_identifier(database),
                                     kCounted, mysqld::quote_identifier(schema.name))},
                        wait));
  std::vector<std::unique_ptr<GroupSource>> sources;
  std::optional<TablePlan> plan;
  report = {};
  Status compared =
      co_await [](VDiffs::Run& self, ServerSession& session, const TableSchema& table, const TableSchema& groups,
                  const std::vector<int32_t>& from, std::vector<std::unique_ptr<GroupSource>>& all,
                  std::optional<TablePlan>& what, Report& into) -> net::Task<Status> {
    CO_RETURN_IF_ERROR(co_await self.open_groups(session, from, table.name, all, what));
    for (auto& source : all) {
      CO_RETURN_IF_ERROR(co_await count_rows(session, groups, self.engine.context.options.db_name, *what, *source,
                                             self.scope.token()));
    }
    co_return co_await self.compare_counted(session, table, groups, *what, into);
  }(*this, *own, schema, counted, streams, sources, plan, report);
  co_await close_all(sources);
  co_return compared;
}

}  // namespace vitrail::movement

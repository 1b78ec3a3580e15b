#include "worker/copy.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/random.h"
#include "mysqld/flavor.h"
#include "mysqld/rows.h"
#include "net/scope.h"
#include "sql/printer.h"
#include "topo/tablet.h"

namespace vitrail::worker {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

constexpr auto kRetryDelay = 1s;
constexpr auto kLagInterval = 1s;
constexpr uint64_t kChunkBytesMin = 1u << 10;
constexpr uint64_t kChunkBytesMax = 4u << 20;

}  // namespace

std::string query_for(const std::string& table, const google::protobuf::RepeatedPtrField<::query::Field>& fields) {
  std::string columns;
  for (const auto& field : fields) {
    columns += (columns.empty() ? "" : ", ") + sql::quote_identifier_if_needed(field.name());
  }
  return fmt::format("select {} from {}", columns, sql::quote_identifier_if_needed(table));
}

std::vector<const ::query::Row*> pointers(const std::vector<::query::Row>& rows) {
  std::vector<const ::query::Row*> out;
  out.reserve(rows.size());
  for (const auto& row : rows) out.push_back(&row);
  return out;
}

bool is_permanent(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kUnimplemented:
    case Code::kNotFound:
    case Code::kOutOfRange:
    case Code::kCanceled:
    case Code::kDataLoss:
    case Code::kPermissionDenied: return true;
    default: return false;
  }
}

uint64_t chunk_bytes(const movement::TableSchema& table, int32_t chunk_count, int32_t min_rows) {
  const uint64_t rows = std::max<uint64_t>(table.row_estimate, 1);
  const uint64_t row_bytes = std::max<uint64_t>(table.data_bytes / rows, 16);
  const uint64_t wanted =
      std::max<uint64_t>(rows / static_cast<uint64_t>(chunk_count), static_cast<uint64_t>(min_rows));
  return std::clamp(wanted * row_bytes, kChunkBytesMin, kChunkBytesMax);
}

net::Task<Result<Interval>> read_interval(JobContext& context, std::vector<RowSource> sources, std::string table,
                                          ::query::QueryResult from, uint64_t bytes) {
  Interval out;
  out.parts.resize(sources.size());
  const std::string query = "select * from " + sql::quote_identifier_if_needed(table);
  // One tablet's chunk bounds the interval; the others are read up to the same key. One that has far more rows there
  // takes over, with a nearer bound.
  for (size_t driver = 0;;) {
    CO_ASSIGN_OR_RETURN(out.parts[driver], co_await read_rows(context, {.tablet = sources[driver].tablet,
                                                                        .query = query,
                                                                        .from = from,
                                                                        .until = {},
                                                                        .bytes = bytes,
                                                                        .one_chunk = true,
                                                                        .snapshot = sources[driver].snapshot}));
    out.high = out.parts[driver].more ? out.parts[driver].last : ::query::QueryResult();
    size_t denser = sources.size();
    for (size_t i = 0; i < sources.size() && denser == sources.size(); ++i) {
      if (i == driver) continue;
      CO_ASSIGN_OR_RETURN(out.parts[i], co_await read_rows(context, {.tablet = sources[i].tablet,
                                                                     .query = query,
                                                                     .from = from,
                                                                     .until = out.high,
                                                                     .bytes = 4 * bytes,
                                                                     .one_chunk = true,
                                                                     .snapshot = sources[i].snapshot}));
      if (out.parts[i].more) denser = i;
    }
    if (denser == sources.size()) break;
    driver = denser;
  }
  co_return out;
}

// --- destinations ---------------------------------------------------------------------------------------------------

net::Task<Status> Copier::look_up_primary(CopyDestination& to) {
  CO_ASSIGN_OR_RETURN(to.primary, co_await context_.tablets.primary_of(to.keyspace, to.shard));
  co_return Status{};
}

net::Task<Status> Copier::add_destination(std::string keyspace, std::string shard, std::string range,
                                          std::string workflow) {
  CopyDestination to;
  to.keyspace = std::move(keyspace);
  to.shard = std::move(shard);
  to.range = std::move(range);
  to.writers = std::make_unique<net::Semaphore>(static_cast<size_t>(settings_.destination_writer_count));
  CO_RETURN_IF_ERROR(co_await look_up_primary(to));
  CO_ASSIGN_OR_RETURN(to.tables, co_await load_tables(context_, to.primary));
  for (const auto& table : tables_) {
    if (to.tables.contains(table)) continue;
    co_return fail(Code::kNotFound,
                   fmt::format("shard {}/{} has no table {}: run CopySchemaShard first", to.keyspace, to.shard, table));
  }
  CO_ASSIGN_OR_RETURN(const auto version, co_await fetch_as_dba(context_, to.primary, "select version()"));
  std::vector<mysql::Cell> cells;
  if (version.rows_size() != 1) co_return fail(Code::kInternal, "a server does not tell its version");
  CO_RETURN_IF_ERROR(movement::read_row(version.rows(0), 1, cells));
  CO_ASSIGN_OR_RETURN(const auto parsed, mysqld::parse_server_version(cells[0].value_or("")));
  CO_ASSIGN_OR_RETURN(const auto flavor, mysqld::Flavor::make(parsed));
  for (const auto& statement : flavor->connection_setup(mysqld::ConnectionPurpose::kApply)) to.setup += statement + ";";
  // A dba may write to a server that is read-only because it was demoted, and behind streams that run already: here
  // that fails.
  to.setup += fmt::format(
      "SELECT IF(@@global.read_only OR EXISTS(SELECT 1 FROM _vt.vreplication WHERE db_name = {} AND workflow = {}), "
      "{} + 1, 0);",
      mysqld::quote_string(topo::tablet_db_name(to.primary)), mysqld::quote_string(workflow), UINT64_MAX);
  destinations_.push_back(std::move(to));
  co_return Status{};
}

net::Task<Result<int64_t>> Copier::worst_lag(CopyDestination& to) {
  topo::TabletQuery query;
  query.keyspace = to.keyspace;
  query.shard = to.shard;
  CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(context_.topology(), std::move(query)));
  int64_t worst = 0;
  for (const auto& tablet : list.tablets) {
    if (tablet.type() != ::topodata::REPLICA && tablet.type() != ::topodata::RDONLY) continue;
    auto health = co_await context_.tablets.health_of(tablet, net::Wait::within(5s, context_.cancel));
    // One that cannot be asked holds nobody up.
    if (health.ok()) worst = std::max<int64_t>(worst, health->realtime_stats().replication_lag_seconds());
  }
  co_return worst;
}

// By max_tps and max_replication_lag.
net::Task<Status> Copier::wait_for_turn(CopyDestination& to) {
  if (settings_.max_tps > 0) {
    const base::TimePoint now = base::system_clock().now();
    const base::TimePoint turn = std::max(to.next_write, now);
    to.next_write = turn + std::chrono::duration_cast<base::Duration>(1s) / settings_.max_tps;
    if (turn > now) CO_RETURN_IF_ERROR(co_await net::sleep_for(turn - now, context_.cancel));
  }
  while (settings_.max_replication_lag > 0) {
    const base::TimePoint now = base::system_clock().now();
    if (now - to.lag_looked < kLagInterval) break;
    CO_ASSIGN_OR_RETURN(const int64_t lag, co_await worst_lag(to));
    if (lag <= settings_.max_replication_lag) {
      to.lag_looked = now;
      break;
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(kLagInterval, context_.cancel));
  }
  co_return Status{};
}

net::Task<Status> Copier::write_one(CopyDestination& to, std::string statement, Status& outcome) {
  auto run = [](Copier& self, CopyDestination& where, std::string sql) -> net::Task<Status> {
    CO_RETURN_IF_ERROR(co_await self.wait_for_turn(where));
    CO_RETURN_IF_ERROR(co_await self.may_write_());
    tmd::ExecuteFetchAsDbaRequest request;
    request.set_query(where.setup + sql);
    request.set_db_name(topo::tablet_db_name(where.primary));
    request.set_disable_foreign_key_checks(true);
    auto done = co_await self.context_.tablets.call<tmd::ExecuteFetchAsDbaResponse>(
        where.primary, "ExecuteFetchAsDba", std::move(request), self.context_.action_wait());
    if (done.ok()) co_return Status{};
    co_return std::move(done).error().with_context(fmt::format("write to {}/{}", where.keyspace, where.shard));
  };
  outcome = co_await to.writers->acquire(net::Wait::until(base::TimePoint::max(), context_.cancel));
  if (!outcome.ok()) co_return outcome;
  outcome = co_await run(*this, to, std::move(statement));
  to.writers->release();
  co_return outcome;
}

// One after the other: a row must be gone before another takes its place.
net::Task<Status> Copier::write(CopyDestination& to, std::vector<std::string> statements) {
  for (auto& statement : statements) {
    Status outcome;
    CO_RETURN_IF_ERROR(co_await write_one(to, std::move(statement), outcome));
  }
  co_return Status{};
}

// --- a table --------------------------------------------------------------------------------------------------------

net::Task<Result<std::vector<RowSource>>> Copier::choose_sources(bool offline) {
  std::vector<RowSource> out;
  for (const auto& source : sources_) {
    if (offline) {
      out.push_back({*source.tablet, source.snapshot});
      continue;
    }
    CO_ASSIGN_OR_RETURN(auto healthy,
                        co_await wait_for_healthy(context_, source.keyspace, source.shard, source_type_, 1));
    out.push_back({std::move(healthy[base::system_random().below(healthy.size())])});
  }
  co_return out;
}

net::Task<Status> Copier::write_interval(CopyDestination& to, Table& table, const Interval& interval,
                                         const ::query::QueryResult& from, DiffReport& report) {
  const auto& fields = interval.parts[0].fields;
  CO_ASSIGN_OR_RETURN(const auto bound,
                      movement::TargetTable::bind(to.tables.at(table.name), topo::tablet_db_name(to.primary), fields));
  RowChooser chooser;
  if (!to.range.empty()) {
    CO_ASSIGN_OR_RETURN(chooser, RowChooser::make(table.name, fields, to.keyspace, vschema_, to.range));
  }
  std::vector<const ::query::Row*> left;
  std::vector<mysql::Cell> cells;
  for (const auto& part : interval.parts) {
    for (const auto& row : part.rows) {
      CO_RETURN_IF_ERROR(movement::read_row(row, bound.field_count(), cells));
      CO_ASSIGN_OR_RETURN(const bool wanted, chooser.wants(cells));
      if (wanted) left.push_back(&row);
    }
  }
  CO_ASSIGN_OR_RETURN(const auto there, co_await read_rows(context_, {.tablet = to.primary,
                                                                      .query = query_for(table.name, fields),
                                                                      .from = from,
                                                                      .until = interval.high}));
  CO_ASSIGN_OR_RETURN(const Differences differences, compare(bound, left, pointers(there.rows)));
  report.add(differences.report);
  if (!differences.report.differs()) co_return Status{};
  CO_ASSIGN_OR_RETURN(auto statements,
                      write_statements(bound, differences,
                                       {.rows_max = static_cast<size_t>(settings_.write_query_max_rows),
                                        .bytes_max = static_cast<size_t>(settings_.write_query_max_size)}));
  co_return co_await write(to, std::move(statements));
}

net::Task<Status> Copier::copy_interval(Table& table, bool offline, ::query::QueryResult& last, bool& done) {
  CO_ASSIGN_OR_RETURN(const auto from, co_await choose_sources(offline));
  CO_ASSIGN_OR_RETURN(const Interval interval,
                      co_await read_interval(context_, from, table.name, last, table.piece_bytes));
  for (size_t i = 0; offline && i < from.size(); ++i) {
    for (const auto& position : interval.parts[i].positions) {
      if (position == sources_[i].position) continue;
      co_return fail(Code::kOutOfRange,
                     fmt::format("tablet {} has moved on from {} to {} although its replication was stopped: somebody "
                                 "has started it",
                                 alias_of(from[i].tablet), sources_[i].position.to_string(), position.to_string()));
    }
  }
  std::vector<DiffReport> reports(destinations_.size());
  std::vector<Status> outcomes(destinations_.size());
  std::vector<net::Task<void>> tasks;
  auto one = [](Copier& self, CopyDestination& to, Table& of, const Interval& rows, const ::query::QueryResult& from,
                DiffReport& report, Status& outcome) -> net::Task<void> {
    outcome = co_await self.write_interval(to, of, rows, from, report);
  };
  for (size_t i = 0; i < destinations_.size(); ++i) {
    tasks.push_back(one(*this, destinations_[i], table, interval, last, reports[i], outcomes[i]));
  }
  co_await net::when_all(std::move(tasks));
  for (auto& outcome : outcomes) {
    if (!outcome.ok()) co_return std::move(outcome);
  }
  for (const auto& report : reports) table.report.add(report);
  ++table.pieces;
  done = interval.last();
  last = interval.high;
  co_return Status{};
}

net::Task<Status> Copier::copy_table(Table& table, bool offline) {
  ::query::QueryResult last;
  std::optional<base::TimePoint> failing_since;
  // A tablet whose replication is stopped has no other in its place.
  const base::Duration patience =
      offline ? std::min(context_.options.retry_duration, context_.options.remote_actions_timeout)
              : context_.options.retry_duration;
  for (bool done = false; !done;) {
    CO_RETURN_IF_ERROR(context_.check_cancelled());
    Status step = co_await copy_interval(table, offline, last, done);
    if (step.ok()) {
      failing_since.reset();
      continue;
    }
    CO_RETURN_IF_ERROR(context_.check_cancelled());
    const base::TimePoint now = base::system_clock().now();
    if (!failing_since) failing_since = now;
    if (is_permanent(step.error()) || now - *failing_since > patience) {
      co_return std::move(step).error().with_context("table " + table.name);
    }
    context_.progress.warning(fmt::format("table {}: {}; trying again", table.name, step.error().message()));
    CO_RETURN_IF_ERROR(co_await net::sleep_for(kRetryDelay, context_.cancel));
    for (auto& to : destinations_) (void)co_await look_up_primary(to);
  }
  table.done = true;
  co_return Status{};
}

// --- a pass ---------------------------------------------------------------------------------------------------------

void Copier::show(const std::vector<Table>& tables) {
  std::string text;
  for (const auto& table : tables) {
    if (table.done) {
      text += fmt::format("{}: copy done, processed {} rows\n", table.name, table.report.processed);
    } else if (table.report.processed > 0) {
      text += fmt::format("{}: copy running, processed {} of about {} rows\n", table.name, table.report.processed,
                          std::max(table.estimate, table.report.processed));
    } else {
      text += fmt::format("{}: copy not started (estimating {} rows)\n", table.name, table.estimate);
    }
  }
  context_.progress.set_details(std::move(text));
}

// By what the sources' servers know of their tables: those of the destinations may be empty yet.
net::Task<Status> Copier::estimate(std::vector<Table>& tables, bool offline) {
  CO_ASSIGN_OR_RETURN(const auto from, co_await choose_sources(offline));
  for (Table& table : tables) {
    table.piece_bytes = chunk_bytes({}, settings_.chunk_count, settings_.min_rows_per_chunk);
  }
  for (size_t i = 0; i < from.size(); ++i) {
    const auto there = co_await load_tables(context_, from[i].tablet);
    if (!there.ok()) continue;  // The copy itself tries again, and tells.
    for (Table& table : tables) {
      const auto found = there->find(table.name);
      if (found == there->end()) continue;
      table.estimate += static_cast<int64_t>(found->second.row_estimate);
      if (i == 0) table.piece_bytes = chunk_bytes(found->second, settings_.chunk_count, settings_.min_rows_per_chunk);
    }
  }
  co_return Status{};
}

net::Task<Status> Copier::work(std::vector<Table>& tables, size_t& next, bool offline, Status& outcome) {
  while (next < tables.size() && outcome.ok()) {
    Table& table = tables[next++];
    Status copied = co_await copy_table(table, offline);
    if (!copied.ok()) {
      if (outcome.ok()) outcome = std::move(copied);
      break;
    }
    context_.progress.info(fmt::format("{}: copy done, processed {} rows", table.name, table.report.processed));
    show(tables);
  }
  co_return Status{};
}

net::Task<Status> Copier::run(bool offline) {
  const base::TimePoint began = base::system_clock().now();
  std::vector<Table> tables;
  for (const auto& name : tables_) {
    Table& table = tables.emplace_back();
    table.name = name;
  }
  CO_RETURN_IF_ERROR(co_await estimate(tables, offline));
  show(tables);
  size_t next = 0;
  Status outcome;
  net::Scope scope(context_.cancel);
  auto display = [](Copier& self, const std::vector<Table>& of, net::CancelToken cancel) -> net::Task<void> {
    while ((co_await net::sleep_for(self.context_.options.command_display_interval, cancel)).ok()) self.show(of);
  };
  scope.spawn(display(*this, tables, scope.token()));
  std::vector<net::Task<void>> workers;
  auto one = [](Copier& self, std::vector<Table>& of, size_t& at, bool last_pass, Status& out) -> net::Task<void> {
    (void)co_await self.work(of, at, last_pass, out);
  };
  const size_t readers = std::min<size_t>(static_cast<size_t>(settings_.source_reader_count), tables.size());
  for (size_t i = 0; i < readers; ++i) workers.push_back(one(*this, tables, next, offline, outcome));
  co_await net::when_all(std::move(workers));
  scope.request_stop();
  co_await scope.join();
  CO_RETURN_IF_ERROR(std::move(outcome));
  DiffReport all;
  int64_t pieces = 0;
  for (const auto& table : tables) {
    all.add(table.report);
    pieces += table.pieces;
  }
  context_.progress.info(fmt::format(
      "{} clone finished after {:.1f}s, read in {} pieces: {} rows are equal, {} were inserted, {} updated, {} "
      "deleted.",
      offline ? "Offline" : "Online", std::chrono::duration<double>(base::system_clock().now() - began).count(), pieces,
      all.matching, all.extra_left, all.mismatched, all.extra_right));
  co_return Status{};
}

}  // namespace vitrail::worker

#include "movement/applier.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>

#include "base/text.h"

namespace vitrail::movement {
namespace {

constexpr size_t kKeysPerLook = 500;       // More in one IN list, and MariaDB makes a temporary table of it.
constexpr size_t kScriptBytes = 4u << 20;  // Well below the server's max_allowed_packet of 16 MiB.

Error gone(int32_t id) { return fail(Code::kNotFound, fmt::format("the row of stream {} is gone", id)); }

}  // namespace

Result<std::vector<std::string>> key_values(const TableSchema& table, const ::query::QueryResult& key) {
  std::vector<std::string> values;
  if (key.rows_size() == 0) return values;
  std::vector<mysql::Cell> cells;
  RETURN_IF_ERROR(read_row(key.rows(0), static_cast<size_t>(key.fields_size()), cells));
  bool same = cells.size() == table.identity.size();
  for (size_t i = 0; same && i < cells.size(); ++i) {
    same = cells[i] &&
           base::equals_ignoring_case(key.fields(static_cast<int>(i)).name(), table.columns[table.identity[i]].name);
    if (same) values.emplace_back(*cells[i]);
  }
  if (!same) {
    return fail(Code::kFailedPrecondition,
                fmt::format("table {} has another key on the source than on the target", table.name));
  }
  return values;
}

bool Applier::must_flush_before(const ::binlogdata::FieldEvent& event) const {
  return batches_.contains(event.table_name()) && bound_.at(event.table_name()).fields != event.SerializeAsString();
}

Status Applier::set_fields(const ::binlogdata::FieldEvent& event) {
  std::string fields = event.SerializeAsString();
  if (const auto known = bound_.find(event.table_name()); known != bound_.end() && known->second.fields == fields)
    return {};
  if (const TablePlan* plan = plan_ == nullptr ? nullptr : plan_->find(event.table_name());
      plan != nullptr && plan->query.is_aggregate()) {
    auto bound = bind_groups(*plan, event.fields(), std::move(fields));
    return bound.ok() ? Status{} : Status(std::move(bound).error());
  }
  const auto found = tables_.find(event.table_name());
  if (found == tables_.end()) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("table {} of the source does not exist on the target: create it there", event.table_name()));
  }
  ASSIGN_OR_RETURN(TargetTable table, TargetTable::bind(found->second, database_, event.fields()));
  bound_[event.table_name()] = {std::move(fields), std::make_shared<const TargetTable>(std::move(table))};
  return {};
}

Result<Applier::Groups*> Applier::bind_groups(const TablePlan& plan,
                                              const google::protobuf::RepeatedPtrField<::query::Field>& fields,
                                              std::string text) {
  const auto known = groups_.find(plan.target);
  if (known != groups_.end() && known->second.fields == text) return &known->second;
  const auto found = tables_.find(plan.target);
  if (found == tables_.end()) {
    return fail(Code::kFailedPrecondition,
                fmt::format("table {} does not exist on the target: create it there", plan.target));
  }
  ASSIGN_OR_RETURN(AggregateTable table, AggregateTable::bind(found->second, database_, plan, fields));
  if (const auto copied = copied_.find(plan.target); copied != copied_.end()) {
    RETURN_IF_ERROR(table.set_copied(copied->second));
  }
  return &groups_.insert_or_assign(plan.target, Groups{std::move(text), std::move(table)}).first->second;
}

Status Applier::set_copied(const std::string& table, std::optional<::query::QueryResult> last) {
  if (const auto found = groups_.find(table); found != groups_.end()) {
    RETURN_IF_ERROR(found->second.table.set_copied(last));
  }
  if (last) {
    copied_[table] = std::move(*last);
  } else {
    copied_.erase(table);
  }
  return {};
}

// Whether the table is one of groups.
Result<bool> Applier::add_to_groups(const ::binlogdata::RowEvent& event) {
  const auto found = groups_.find(event.table_name());
  if (found == groups_.end()) return false;
  AggregateTable& table = found->second.table;
  for (const ::binlogdata::RowChange& change : event.row_changes()) {
    for (const auto* row :
         {change.has_before() ? &change.before() : nullptr, change.has_after() ? &change.after() : nullptr}) {
      if (row == nullptr) continue;
      ASSIGN_OR_RETURN(const bool counts, table.is_copied(*row));
      if (!counts) continue;
      RETURN_IF_ERROR(row == &change.after() && change.has_after() ? table.add(*row, counted_)
                                                                   : table.remove(*row, counted_));
      bytes_ += row->values().size() + 64;
    }
  }
  return true;
}

Status Applier::add(::binlogdata::RowEvent event) {
  ASSIGN_OR_RETURN(const bool added, add_to_groups(event));
  if (added) return {};
  const auto bound = bound_.find(event.table_name());
  if (bound == bound_.end()) {
    return fail(Code::kInternal, fmt::format("rows of table {} came without its columns", event.table_name()));
  }
  const auto [at, made] = batches_.try_emplace(event.table_name(), bound->second.table);
  RowBatch& batch = at->second;
  const uint64_t before = batch.bytes();
  for (::binlogdata::RowChange& change : *event.mutable_row_changes()) {
    if (change.has_before()) RETURN_IF_ERROR(batch.remove(change.before()));
    if (change.has_after()) RETURN_IF_ERROR(batch.insert(std::move(*change.mutable_after())));
  }
  bytes_ += batch.bytes() - before;
  return {};
}

net::Task<Status> Applier::send(std::vector<std::string> statements) {
  std::string script;
  for (size_t i = 0; i < statements.size(); ++i) {
    if (!script.empty()) script += "; ";
    script += statements[i];
    const bool last = i + 1 == statements.size();
    if (!last && script.size() + statements[i + 1].size() < kScriptBytes) continue;
    auto sent = co_await session_.script(std::move(script), wait());
    if (!sent.ok()) co_return std::move(sent).error();
    script.clear();
  }
  co_return Status{};
}

net::Task<Result<std::vector<const ::query::Row*>>> Applier::find_equal(const RowBatch& batch) {
  const TargetTable& table = batch.table();
  std::vector<const ::query::Row*> equal;
  std::vector<mysql::Cell> cells;
  const auto fresh = batch.fresh();
  looked_for_ += fresh.size();
  for (size_t from = 0; from < fresh.size(); from += kKeysPerLook) {
    const std::span some(fresh.data() + from, std::min(kKeysPerLook, fresh.size() - from));
    std::string any = table.count_head();
    for (const ::query::Row* row : some) {
      CO_RETURN_IF_ERROR(read_row(*row, table.field_count(), cells));
      if (row != some.front()) any += table.key_separator();
      table.append_key(any, cells);
    }
    CO_ASSIGN_OR_RETURN(const auto there, co_await session_.query(any + ")", wait()));
    if (there.text(0, 0) == "0") continue;
    for (const ::query::Row* row : some) {
      CO_RETURN_IF_ERROR(read_row(*row, table.field_count(), cells));
      CO_ASSIGN_OR_RETURN(const auto found, co_await session_.query(table.compare_query(cells), wait()));
      if (found.rows.empty()) continue;
      if (found.text(0, 0) != "1") {
        co_return fail(
            Code::kAlreadyExists,
            fmt::format("table {} has another row with the key of a row that the source inserts", table.schema().name));
      }
      equal.push_back(row);
    }
  }
  met_ += equal.size();
  co_return std::move(equal);
}

net::Task<Status> Applier::load(std::vector<Work::Load> loads) {
  for (const Work::Load& what : loads) {
    CO_ASSIGN_OR_RETURN(const auto ok,
                        co_await session_.client().load_local(what.table->load_statement(), what.file, wait()));
    if (ok.affected_rows == what.rows && ok.warnings == 0) continue;
    co_return fail(Code::kAlreadyExists,
                   fmt::format("table {} did not take {} inserted rows as they are: {} of them, with {} warnings",
                               what.table->schema().name, what.rows, ok.affected_rows, ok.warnings))
        .with_mysql(1062, "23000");
  }
  co_return Status{};
}

net::Task<Result<Applier::Work>> Applier::take_work() {
  Work work;
  std::vector<std::string>& statements = work.statements;
  if (!open_) statements.push_back("BEGIN");
  for (const auto& [name, batch] : batches_) batch.append_deletes(statements);
  if (!careful_) {
    for (const auto& [name, batch] : batches_) {
      if (use_load_data_ && batch.may_load()) {
        work.loads.push_back({batch.shared_table(), batch.load_file(), batch.inserted()});
      } else {
        batch.append_inserts(statements);
      }
    }
  } else {
    CO_RETURN_IF_ERROR(co_await send(std::move(statements)));
    open_ = true;
    statements.clear();
    for (const auto& [name, batch] : batches_) {
      CO_ASSIGN_OR_RETURN(const auto equal, co_await find_equal(batch));
      batch.append_inserts(statements, equal);
    }
  }
  for (std::string& statement : counted_) work.statements.push_back(std::move(statement));
  counted_.clear();
  batches_.clear();
  bytes_ = 0;
  co_return std::move(work);
}

net::Task<void> Applier::send_part(Work work) {
  sent_ = co_await send(std::move(work.statements));
  if (sent_.has_value()) sent_ = co_await load(std::move(work.loads));
  sending_ = false;
  part_ended_.notify_all();
}

net::Task<Status> Applier::part_sent() {
  while (sending_) CO_RETURN_IF_ERROR(co_await part_ended_.wait(net::Wait::until(base::TimePoint::max(), {})));
  co_return sent_;
}

net::Task<Status> Applier::flush() {
  // A careful one asks the server about its rows.
  if (careful_) CO_RETURN_IF_ERROR(co_await part_sent());
  CO_ASSIGN_OR_RETURN(Work work, co_await take_work());
  open_ = true;
  CO_RETURN_IF_ERROR(co_await part_sent());
  sending_ = true;
  scope_.spawn(send_part(std::move(work)));
  co_return Status{};
}

std::string Applier::update_sql(std::string_view position, int64_t timestamp, std::string_view more) const {
  std::string sql =
      fmt::format("UPDATE _vt.vreplication SET pos = {}, time_updated = {}", sql_text(position), unix_now());
  if (timestamp != 0) sql += fmt::format(", transaction_timestamp = {}", timestamp);
  return fmt::format("{}{} WHERE id = {}", sql, more, stream_id_);
}

net::Task<Status> Applier::commit(std::string position, int64_t timestamp, std::string more,
                                  std::vector<std::string> extra) {
  CO_RETURN_IF_ERROR(co_await part_sent());
  std::vector<std::string> statements;
  if (has_rows()) {
    CO_ASSIGN_OR_RETURN(Work work, co_await take_work());
    statements = std::move(work.statements);
    if (!work.loads.empty()) {
      CO_RETURN_IF_ERROR(co_await send(std::move(statements)));
      statements.clear();
      open_ = true;
      CO_RETURN_IF_ERROR(co_await load(std::move(work.loads)));
    }
  } else {
    statements.push_back("BEGIN");
  }
  for (std::string& statement : extra) statements.push_back(std::move(statement));
  size_t size = 0;
  for (const std::string& statement : statements) size += statement.size();
  if (size > kScriptBytes) {
    CO_RETURN_IF_ERROR(co_await send(std::move(statements)));
    statements.clear();
  }
  // One message in the ordinary case. If a statement fails, what is behind it does not run.
  statements.push_back(update_sql(position, timestamp, more));
  statements.push_back("COMMIT");
  std::string script;
  for (const std::string& statement : statements) {
    if (!script.empty()) script += "; ";
    script += statement;
  }
  CO_ASSIGN_OR_RETURN(const auto oks, co_await session_.script(std::move(script), wait()));
  open_ = false;
  if (oks.size() < 2 || oks[oks.size() - 2].affected_rows != 1) co_return gone(stream_id_);
  if (looked_for_ != 0 && met_ == 0) careful_ = false;
  looked_for_ = met_ = 0;
  co_return Status{};
}

net::Task<Result<uint64_t>> Applier::copy_groups(std::string table,
                                                 google::protobuf::RepeatedPtrField<::query::Field> fields,
                                                 const Chunk& chunk, const ::query::QueryResult& to) {
  const TablePlan* plan = plan_ == nullptr ? nullptr : plan_->find(table);
  if (plan == nullptr) co_return fail(Code::kInternal, fmt::format("table {} is none of groups", table));
  ::binlogdata::FieldEvent event;  // The text that columns are known by; a binlog's says no less.
  *event.mutable_fields() = fields;
  CO_ASSIGN_OR_RETURN(Groups * groups, bind_groups(*plan, fields, event.SerializeAsString()));
  std::vector<std::string> statements = {"BEGIN"};
  uint64_t count = 0;
  for (const auto& response : chunk.responses) {
    for (const auto& row : response.rows()) {
      CO_RETURN_IF_ERROR(groups->table.add(row, statements));
      ++count;
    }
  }
  CO_RETURN_IF_ERROR(co_await send(std::move(statements)));
  std::vector<std::string> extra;
  if (to.rows_size() != 0) {
    extra.push_back(fmt::format("UPDATE _vt.copy_state SET lastpk = {} WHERE vrepl_id = {} AND table_name = {}",
                                sql_text(to_text(to)), stream_id_, sql_text(table)));
  }
  open_ = true;
  CO_RETURN_IF_ERROR(
      co_await commit(chunk.gtid, 0, fmt::format(", rows_copied = rows_copied + {}", count), std::move(extra)));
  co_return count;
}

}  // namespace vitrail::movement

#include "movement/derived_columns.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "mysql/collations.h"

namespace vitrail::movement {
namespace {

// A SELECT has at most 4096 items.
constexpr size_t kItemsPerQuery = 500;
constexpr size_t kBytesPerQuery = 1u << 20;

}  // namespace

Result<DerivedColumns> DerivedColumns::bind(const TablePlan& plan, const TableSchema& target, const Fields& arriving) {
  DerivedColumns out;
  out.arriving_.assign(arriving.begin(), arriving.end());
  const auto find_field = [&](std::string_view name) -> Result<size_t> {
    for (size_t i = 0; i < out.arriving_.size(); ++i) {
      if (base::equals_ignoring_case(out.arriving_[i].name(), name)) return i;
    }
    return fail(Code::kFailedPrecondition,
                fmt::format("table {}: the stream does not have column {}", target.name, name));
  };
  for (const auto& item : plan.query.items) {
    Item one;
    if (item.kind == RowQuery::ItemKind::kColumn) {
      ASSIGN_OR_RETURN(one.field, find_field(item.alias));
      *out.fields_.Add() = out.arriving_[one.field];
      out.items_.push_back(std::move(one));
      continue;
    }
    const auto column = target.find_column(item.alias);
    if (!column) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("table {} has no column {} on the target: add it there", target.name, item.alias));
    }
    one.is_computed = true;
    one.expression = item.expression;
    one.column = target.columns[*column];
    const ::query::Field* text = nullptr;
    for (const std::string& name : item.expression.columns) {
      ASSIGN_OR_RETURN(const size_t field, find_field(input_name(plan.query, name)));
      const ::query::Field& input = out.arriving_[field];
      RETURN_IF_ERROR(check_input(input));
      const bool is_text = input.charset() != 63 && has_flag(input.type(), ::query::ISQUOTED);
      if (is_text && input.charset() == mysql::kUtf8mb4GeneralCi && input.decimals() != kCollationTold) {
        return fail(
            Code::kUnavailable,
            fmt::format("table {}: column {} is computed from texts, and the source tablet is of a version that "
                        "does not tell their collations: upgrade it",
                        target.name, item.alias));
      }
      if (is_text && text != nullptr && text->charset() != input.charset()) {
        return fail(Code::kUnimplemented,
                    fmt::format("table {}: column {} is computed from texts of different collations: {} and {}",
                                target.name, item.alias, text->name(), input.name()));
      }
      if (is_text) text = &input;
      one.inputs.push_back(field);
    }
    RETURN_IF_ERROR(as_column(one.column, ""));
    *out.fields_.Add() = to_field(one.column, target.name, "");
    ++out.computed_;
    out.items_.push_back(std::move(one));
  }
  return out;
}

Status DerivedColumns::append_items(std::string& sql, const std::vector<mysql::Cell>& cells) const {
  for (const Item& item : items_) {
    if (!item.is_computed) continue;
    std::string text = item.expression.pieces[0];
    for (size_t i = 0; i < item.inputs.size(); ++i) {
      RETURN_IF_ERROR(append_input(text, arriving_[item.inputs[i]], cells[item.inputs[i]]));
      text += item.expression.pieces[i + 1];
    }
    ASSIGN_OR_RETURN(const std::string value, as_column(item.column, text));
    sql += value;
    sql += ", ";
  }
  return {};
}

::query::Row DerivedColumns::make_row(const std::vector<mysql::Cell>& cells,
                                      const std::optional<std::string>* values) const {
  ::query::Row row;
  for (const Item& item : items_) {
    if (!item.is_computed) {
      append_cell(row, cells[item.field]);
      continue;
    }
    append_cell(row, *values ? mysql::Cell(**values) : mysql::Cell());
    ++values;
  }
  return row;
}

net::Task<Status> Deriver::derive(const DerivedColumns& columns, std::vector<::query::Row*> rows, net::Wait wait) {
  const size_t most = std::max<size_t>(1, kItemsPerQuery / columns.computed());
  for (size_t begin = 0; begin < rows.size();) {
    size_t bytes = 0, end = begin;
    while (end < rows.size() && end - begin < most && (end == begin || bytes < kBytesPerQuery)) {
      bytes += rows[end++]->values().size();
    }
    CO_RETURN_IF_ERROR(co_await derive_some(columns, std::span<::query::Row*>(rows).subspan(begin, end - begin), wait));
    begin = end;
  }
  co_return Status{};
}

net::Task<Status> Deriver::derive_some(const DerivedColumns& columns, std::span<::query::Row*> rows, net::Wait wait) {
  if (!session_ || session_->client().broken()) {
    CO_ASSIGN_OR_RETURN(session_, co_await ServerSession::open(login_, mysqld::ConnectionPurpose::kApply, wait));
    // As a client's session, but that values come as the bytes that they are.
    CO_RETURN_IF_ERROR(co_await session_->run({"SET NAMES utf8mb4", "SET SESSION character_set_results = NULL"}, wait));
  }
  std::string sql = "SELECT ";
  std::vector<mysql::Cell> cells;
  for (const ::query::Row* row : rows) {
    CO_RETURN_IF_ERROR(read_row(*row, columns.arriving(), cells));
    CO_RETURN_IF_ERROR(columns.append_items(sql, cells));
  }
  sql.resize(sql.size() - 2);
  CO_ASSIGN_OR_RETURN(const auto answer, co_await session_->query(std::move(sql), wait));
  if (answer.rows.size() != 1 || answer.rows[0].size() != rows.size() * columns.computed()) {
    co_return fail(Code::kInternal, "the server computed another number of values than it was asked for");
  }
  const std::optional<std::string>* values = answer.rows[0].data();
  for (::query::Row* row : rows) {
    CO_RETURN_IF_ERROR(read_row(*row, columns.arriving(), cells));
    ::query::Row made = columns.make_row(cells, values);
    values += columns.computed();
    row->Swap(&made);
  }
  co_return Status{};
}

}  // namespace vitrail::movement

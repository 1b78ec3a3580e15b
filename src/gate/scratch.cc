#include "gate/scratch.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>

#include "mysql/collations.h"
#include "mysql/convert.h"
#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "net/binary_query.h"

namespace vitrail::gate {
namespace {

constexpr size_t kMaxPreparedPerConnection = 64;
constexpr uint16_t kRecordFileFull = 1114;        // The table is full
constexpr uint16_t kUnknownStorageEngine = 1286;  // And not supported, or disabled:
constexpr uint16_t kDisabledStorageEngine = 3161;
constexpr std::string_view kMemoryOfTable = "33554432";  // 32 MiB

// What a server tells of a column's place in its table, and not of its type.
constexpr uint16_t kOriginFlags = mysql::kFieldPrimaryKey | mysql::kFieldUniqueKey | mysql::kFieldMultipleKey |
                                  mysql::kFieldAutoIncrement | mysql::kFieldNoDefaultValue | mysql::kFieldOnUpdateNow |
                                  mysql::kFieldTimestamp | schema::kPartOfKey;

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// Digits alone, of a number that is a BIGINT wherever it stands.
bool is_short_number(std::string_view text) {
  constexpr size_t kMaxDigits = 18;
  return !text.empty() && text.size() <= kMaxDigits &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string_view scratch_load_settings() {
  static const std::string kSettings =
      "set @@session.character_set_client = utf8mb4, @@session.character_set_results = utf8mb4, "
      "@@session.collation_connection = utf8mb4_general_ci, "
      "@@session.sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', @@session.time_zone = "
      "'+00:00', @@session.max_heap_table_size = " +
      std::string(kMemoryOfTable);
  return kSettings;
}

std::string scratch_client_settings(uint8_t login_collation, std::string_view settings) {
  const auto* collation = mysql::find_collation(login_collation);
  const std::string charset(collation == nullptr ? "utf8mb4" : collation->charset);
  const std::string name(collation == nullptr ? "utf8mb4_general_ci" : collation->name);
  std::string out =
      "set @@session.character_set_client = " + charset + ", @@session.character_set_results = " + charset +
      ", @@session.collation_connection = " + name +
      ", @@session.sql_mode = default, @@session.time_zone = default, @@session.max_heap_table_size = default";
  constexpr std::string_view kSet = "set ";
  if (settings.starts_with(kSet)) out.append(", ").append(settings.substr(kSet.size()));
  return out;
}

mysql::Value scratch_value(schema::Form form, const mysql::Cell& cell) {
  if (!cell) return mysql::Value::null();
  switch (form) {
    case schema::Form::kBytes:
    case schema::Form::kCharacters: return mysql::Value::of_binary(std::string(*cell));
    case schema::Form::kNumber: {
      mysql::Value value = mysql::Value::of_uint(0);
      value.bytes = *cell;
      return value;
    }
    default: return mysql::Value::of_text(schema::stored_text(form, *cell));
  }
}

PlainText plain_text_of(const schema::Column& column) {
  static const std::set<std::string_view> kCharsets = {"ascii",  "latin1", "latin2",  "cp1250",
                                                       "cp1251", "utf8",   "utf8mb3", "utf8mb4"};
  if (schema::is_whole(column)) return PlainText::kDigits;
  // Not a GEOMETRY, which takes nothing but bytes; nor an ENUM or SET, which come as numbers.
  const bool ascii =
      kCharsets.contains(column.charset) || column.data_type == "binary" || column.data_type == "varbinary";
  return ascii ? PlainText::kAscii : PlainText::kNone;
}

void append_scratch_literal(std::string& out, schema::Form form, const mysql::Cell& cell, PlainText plain) {
  if (!cell) {
    out += "null";
    return;
  }
  switch (form) {
    case schema::Form::kBytes:
    case schema::Form::kCharacters:
      // Whatever bytes these are: where the connection's character set is UTF-8, no quote is part of another character.
      if (plain != PlainText::kAscii || !std::ranges::all_of(*cell, is_ascii)) out += "_binary";
      mysql::append_sql_string(out, *cell);
      return;
    case schema::Form::kNumber: mysql::append_sql_literal(out, scratch_value(form, cell)); return;
    case schema::Form::kText:
      if (plain == PlainText::kDigits && is_short_number(*cell)) {
        out += *cell;
        return;
      }
      [[fallthrough]];
    default: mysql::append_sql_string(out, schema::stored_text(form, *cell)); return;
  }
}

void restore_columns(const plan::Finish& finish, std::vector<mysql::ColumnDef>& columns) {
  for (auto& column : columns) {
    const auto input = std::ranges::find(finish.inputs, column.org_table, &plan::FinishInput::scratch);
    if (input == finish.inputs.end()) continue;
    column.schema = input->keyspace;
    column.org_table = input->table;
    if (column.table == input->scratch) column.table = input->shown;  // TABLE t
    const auto origin = std::ranges::find(input->columns, column.org_name, &schema::Column::name);
    if (origin == input->columns.end()) continue;
    column.flags = static_cast<uint16_t>((column.flags & ~kOriginFlags) | schema::origin_flags(*origin));
  }
}

ScratchSession::ScratchSession(net::MysqlPool::Lease lease) : lease_(std::move(lease)) {
  attributes_.push_back({std::string(mysql::kScratchAttribute), mysql::Value::of_text("1")});
}

ScratchSession::~ScratchSession() {
  if (lease_) lease_.discard();
}

net::Task<Status> ScratchSession::create(const plan::FinishInput& input, net::Wait wait) {
  auto created = co_await query(input.create + (input.in_memory ? " engine = memory" : ""), wait, 1);
  if (created.ok()) {
    if (input.in_memory) in_memory_[input.scratch] = 0;
    co_return Status{};
  }
  const uint16_t why = created.error().mysql_errno();
  if (!input.in_memory || (why != kUnknownStorageEngine && why != kDisabledStorageEngine)) {
    co_return std::move(created).error();
  }
  created = co_await query(input.create, wait, 1);
  if (!created.ok()) co_return std::move(created).error();
  co_return Status{};
}

net::Task<Status> ScratchSession::insert(const plan::FinishInput& input, std::string text,
                                         std::span<const size_t> starts, net::Wait wait) {
  auto inserted = co_await query(text, wait, 1);
  const auto table = in_memory_.find(input.scratch);
  if (inserted.ok()) {
    if (table != in_memory_.end()) table->second += starts.size();
    co_return Status{};
  }
  if (table == in_memory_.end() || inserted.error().mysql_errno() != kRecordFileFull) {
    co_return std::move(inserted).error();
  }
  // The engine knows no transactions: the rows before the one that had no room are there.
  auto moved = co_await query("alter table " + input.scratch + " engine = innodb", wait, 1);
  if (!moved.ok()) co_return std::move(moved).error();
  CO_ASSIGN_OR_RETURN(const auto counted, co_await query("select count(*) from " + input.scratch, wait, 1));
  const uint64_t there = std::strtoull(std::string(counted.text(0, 0)).c_str(), nullptr, 10);
  const uint64_t done = there - std::min(there, table->second);
  in_memory_.erase(table);
  if (done >= starts.size()) co_return fail(Code::kInternal, "VT13001: [BUG] a full table that has all rows");
  text.erase(starts.front(), starts[done] - starts.front());
  inserted = co_await query(std::move(text), wait, 1);
  if (!inserted.ok()) co_return std::move(inserted).error();
  co_return Status{};
}

net::Task<Status> ScratchSession::insert(const plan::FinishInput& input, std::span<const mysql::Value> row,
                                         net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto prepared,
                      co_await lease_->prepare(plan::insert_text(input, 1), kMaxPreparedPerConnection, wait));
  std::string payload;
  mysql::encode_stmt_execute_values(payload, prepared->ok.statement_id, row, attributes_, client().capabilities());
  CO_RETURN_IF_ERROR(co_await client().send(payload, wait));
  CO_ASSIGN_OR_RETURN(const auto answer, co_await client().receive(wait));
  if (!mysql::is_err(answer.payload)) co_return Status{};
  CO_ASSIGN_OR_RETURN(const auto err, mysql::decode_err(answer.payload));
  if (auto tablets = mysql::decode_tablet_error(err)) co_return std::move(*tablets);
  co_return mysql::from_err_packet(err);
}

net::Task<Status> ScratchSession::take_any_member(net::Wait wait) {
  if (std::exchange(any_member_, true)) co_return Status{};
  co_return co_await become("set @@session.sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'", std::move(wait));
}

net::Task<Status> ScratchSession::become(std::string settings, net::Wait wait) {
  auto set = co_await query(std::move(settings), wait, 1);
  if (!set.ok()) co_return std::move(set).error();
  co_return Status{};
}

net::Task<Result<net::QueryResult>> ScratchSession::query(std::string text, net::Wait wait, size_t max_rows,
                                                          base::MemoryBudget::Hold* memory, bool all_digits) {
  if (all_digits) {
    co_return co_await net::query_binary(*lease_, std::move(text), wait, max_rows, attributes_, memory);
  }
  auto attributes = attributes_;
  co_return co_await client().query(std::move(text), wait, max_rows, std::move(attributes), memory, memory != nullptr);
}

net::Task<Result<net::MysqlClient::Shape>> ScratchSession::describe(std::string text, net::Wait wait) {
  co_return co_await client().describe(std::move(text), wait);
}

net::Task<void> ScratchSession::end(net::Wait wait) {
  const char command = static_cast<char>(mysql::Command::kResetConnection);
  if (!client().broken() && (co_await client().send({&command, 1}, wait)).ok()) {
    auto answer = co_await client().receive(wait);
    if (answer.ok() && !mysql::is_err(answer->payload)) {
      lease_->settings.clear();
      lease_->prepared.clear();
      lease_->prepared_order.clear();
      lease_.release();
      co_return;
    }
  }
  lease_.discard();
}

ScratchLoad::ScratchLoad(ScratchSession& session, const plan::FinishInput& input) : session_(session), input_(input) {
  for (const auto& column : input.columns) {
    forms_.push_back(schema::form_of(column));
    plain_.push_back(plain_text_of(column));
  }
  if (forms_.empty()) {
    forms_.push_back(schema::Form::kText);
    plain_.push_back(PlainText::kNone);
  }
}

void ScratchLoad::row(std::span<const mysql::Cell> cells, size_t bytes) {
  const bool large = bytes >= kLargeRow;
  if (!large) {
    text_ += text_.empty() ? "insert into " + input_.scratch + " values " : ",";
    starts_.push_back(text_.size());
    text_ += '(';
  }
  for (size_t i = 0; i < forms_.size(); ++i) {
    const auto& cell = cells[i];
    no_member_ = no_member_ || (cell == "0" && i < input_.columns.size() && input_.columns[i].data_type == "enum");
    if (large) {
      large_.push_back(scratch_value(forms_[i], cell));
      continue;
    }
    if (i > 0) text_ += ',';
    append_scratch_literal(text_, forms_[i], cell, plain_[i]);
  }
  if (!large) text_ += ')';
}

net::Task<Status> ScratchLoad::flush(net::Wait wait) {
  if (text_.empty() && large_.empty()) co_return Status{};
  if (no_member_) CO_RETURN_IF_ERROR(co_await session_.take_any_member(wait));
  if (!text_.empty()) {
    CO_RETURN_IF_ERROR(co_await session_.insert(input_, std::exchange(text_, {}), starts_, wait));
    starts_.clear();
  }
  if (!large_.empty()) CO_RETURN_IF_ERROR(co_await session_.insert(input_, large_, std::move(wait)));
  large_.clear();
  co_return Status{};
}

}  // namespace vitrail::gate

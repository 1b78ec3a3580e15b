#include "movement/schema_change.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "movement/stream_record.h"
#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "sql/lexer.h"
#include "sql/parser.h"

namespace vitrail::movement {
namespace {

constexpr int kNoSuchTable = 1146;
constexpr int kNoSuchView = 1347;

std::string full_name(const SchemaChange& change, const ChangedObjects::Name& name) {
  return fmt::format("{}.{}", mysqld::quote_identifier(name.database.empty() ? change.database : name.database),
                     mysqld::quote_identifier(name.table));
}

// Where the same names stand on both sides of a RENAME, everything may look as before although rows have moved.
bool changes_places(const sql::Ddl& ddl) {
  std::vector<std::string> from, to;
  for (const auto& one : ddl.names) {
    auto& side = one.role == sql::NameRole::kNewName ? to : from;
    side.push_back(fmt::format("{}.{}", one.name.qualifier.text, one.name.name.text));
  }
  std::ranges::sort(from);
  std::ranges::sort(to);
  return !to.empty() && from == to;
}

class Looks {
 public:
  void add(std::string_view text) {
    for (const char c : text) mix(static_cast<unsigned char>(c));
    mix(0x100);
  }
  std::string text() const { return fmt::format("{:016x}", hash_); }

 private:
  void mix(uint64_t value) { hash_ = (hash_ ^ value) * 1099511628211ull; }
  uint64_t hash_ = 14695981039346656037ull;
};

net::Task<Result<std::string>> look(ServerSession& session, SchemaChange change, ChangedObjects objects,
                                    net::Wait wait) {
  Looks looks;
  for (const auto& name : objects.tables) {
    auto created = co_await session.query("SHOW CREATE TABLE " + full_name(change, name), wait);
    if (!created.ok()) {
      const int number = created.error().mysql_errno();
      if (number != kNoSuchTable && number != kNoSuchView) co_return std::move(created).error();
      looks.add("");
      continue;
    }
    // What others insert meanwhile counts on.
    looks.add(created->rows.empty() ? "" : mysqld::without_auto_increment(created->text(0, 1)));
  }
  if (!objects.others) co_return looks.text();
  const std::string database = sql_text(change.database);
  for (const char* kind : {"table", "trigger", "routine", "event"}) {
    CO_ASSIGN_OR_RETURN(
        const auto names,
        co_await session.query(fmt::format("SELECT {0}_name FROM information_schema.{0}s WHERE {0}_schema = {1} "
                                           "ORDER BY 1",
                                           kind, database),
                               wait));
    for (size_t i = 0; i < names.rows.size(); ++i) looks.add(names.text(i, 0));
    looks.add(kind);
  }
  co_return looks.text();
}

net::Task<Status> finish_drop(ServerSession& session, SchemaChange change, ChangedObjects objects, net::Wait wait) {
  for (const auto& name : objects.tables) {
    CO_RETURN_IF_ERROR(co_await session.run({"DROP TABLE IF EXISTS " + full_name(change, name)}, wait));
  }
  co_return Status{};
}

}  // namespace

ChangedObjects changed_objects(std::string_view statement) {
  ChangedObjects out;
  const auto ast = sql::parse(statement);
  const auto* ddl = ast.ok() ? sql::statement_as<sql::Ddl>(&ast->statement()) : nullptr;
  if (ddl == nullptr) {
    out.others = true;
    return out;
  }
  switch (ddl->object) {
    case sql::DdlObject::kTable:
    case sql::DdlObject::kView:
    case sql::DdlObject::kIndex:
    case sql::DdlObject::kSequence:
      for (const auto& one : ddl->names) {
        out.tables.push_back({std::string(one.name.qualifier.text), std::string(one.name.name.text)});
      }
      break;
    default: out.others = true;
  }
  if (out.tables.empty()) out.others = true;
  out.is_exchange = ddl->action == sql::DdlAction::kRename && changes_places(*ddl);
  if (ddl->action == sql::DdlAction::kAlter && ddl->object == sql::DdlObject::kTable) {
    const std::string text = base::to_lower(statement);
    const size_t word = text.find("exchange");
    out.is_exchange =
        out.is_exchange || (word != std::string::npos && text.find("partition", word) != std::string::npos);
  }
  out.is_drop = ddl->action == sql::DdlAction::kDrop && ddl->object == sql::DdlObject::kTable;
  return out;
}

namespace {

// Of an ALTER TABLE: ... DROP PARTITION and its kin.
bool alters_rows(std::string_view statement) {
  sql::Lexer lexer(statement);
  std::string before;
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd; token = lexer.next()) {
    if (token.type == sql::TokenType::kError) return false;
    const std::string word =
        token.type == sql::TokenType::kWord ? base::to_lower(token.text(statement)) : std::string();
    if (word == "partition" &&
        (before == "drop" || before == "truncate" || before == "exchange" || before == "convert"))
      return true;
    if (word == "table" && before == "convert") return true;
    if (word == "tablespace" && (before == "import" || before == "discard")) return true;
    before = word;
  }
  return false;
}

}  // namespace

bool replaces_rows(std::string_view statement) {
  const auto ast = sql::parse(statement);
  const auto* ddl = ast.ok() ? sql::statement_as<sql::Ddl>(&ast->statement()) : nullptr;
  if (ddl == nullptr || ddl->object != sql::DdlObject::kTable || ddl->temporary) return false;
  switch (ddl->action) {
    case sql::DdlAction::kDrop:
    case sql::DdlAction::kRename: return true;
    case sql::DdlAction::kCreate: return ddl->or_replace;
    case sql::DdlAction::kAlter:
      return alters_rows(statement) ||
             std::ranges::any_of(ddl->names, [](const auto& one) { return one.role == sql::NameRole::kNewName; });
    case sql::DdlAction::kTruncate: return false;
  }
  return false;
}

net::Task<Result<ChangeResult>> carry_out_once(ServerSession& session, SchemaChange change, net::Wait wait) {
  const ChangedObjects objects = changed_objects(change.statement);
  CO_ASSIGN_OR_RETURN(const std::string now, co_await look(session, change, objects, wait));
  CO_ASSIGN_OR_RETURN(
      const auto noted,
      co_await session.query(fmt::format("SELECT pos, looks FROM _vt.schema_change WHERE vrepl_id = {}", change.stream),
                             wait));
  if (!noted.rows.empty() && noted.text(0, 0) == change.position) {
    if (noted.text(0, 1) != now) {
      if (objects.is_drop) CO_RETURN_IF_ERROR(co_await finish_drop(session, change, objects, wait));
      co_return ChangeResult{};
    }
    if (objects.is_exchange) co_return ChangeResult{ChangeOutcome::kUnknown, std::nullopt};
  } else {
    CO_RETURN_IF_ERROR(co_await session.run(
        {fmt::format("REPLACE INTO _vt.schema_change (vrepl_id, pos, looks, time_updated) VALUES ({}, {}, {}, {})",
                     change.stream, sql_text(change.position), sql_text(now), unix_now())},
        wait));
  }
  CO_RETURN_IF_ERROR(co_await session.run({"USE " + mysqld::quote_identifier(change.database)}, wait));
  auto done = co_await session.query(change.statement, wait);
  if (done.ok()) co_return ChangeResult{};
  if (done.error().mysql_errno() == 0 || session.client().broken()) co_return std::move(done).error();
  // Whatever changes from here on is not this statement's doing.
  CO_RETURN_IF_ERROR(co_await session.run({forget_change(change.stream)}, wait));
  co_return ChangeResult{ChangeOutcome::kRefused, std::move(done).error()};
}

std::string forget_change(int32_t stream) {
  return fmt::format("DELETE FROM _vt.schema_change WHERE vrepl_id = {}", stream);
}

}  // namespace vitrail::movement

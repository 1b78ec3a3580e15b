#include "movement/secondary_keys.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "movement/stream_record.h"
#include "mysqld/rows.h"

namespace vitrail::movement {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr auto kQuick = 60s;
constexpr auto kBuildMax = std::chrono::hours(48);
constexpr int kSqlAction = 1;  // What Vitess calls a post copy action that is a statement.

// The name that begins a text between backquotes; nothing when there is none.
std::string quoted_name(std::string_view text) {
  std::string name;
  if (text.empty() || text.front() != '`') return name;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] != '`') {
      name += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == '`') {
      name += text[i++];
    } else {
      break;
    }
  }
  return name;
}

std::string full_name(const KeyOwner& owner, std::string_view table) {
  return fmt::format("{}.{}", mysqld::quote_identifier(owner.database), mysqld::quote_identifier(table));
}

// One connection at a time changes the keys of a table; a name may have 64 bytes.
std::string lock_name(const KeyOwner& owner, std::string_view table) {
  uint64_t hash = 14695981039346656037ull;
  for (const std::string_view part : {std::string_view(owner.database), table}) {
    for (const unsigned char c : part) hash = (hash ^ c) * 1099511628211ull;
    hash = (hash ^ 0xff) * 1099511628211ull;
  }
  return fmt::format("'vitrail.keys.{:016x}'", hash);
}

net::Wait quick(const net::CancelToken& cancel) { return net::Wait::within(kQuick, cancel); }

net::Task<Status> lock_keys(ServerSession& session, std::string name, net::CancelToken cancel) {
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto got,
                        co_await session.query(fmt::format("SELECT GET_LOCK({}, 1)", name), quick(cancel)));
    if (got.text(0, 0) == "1") co_return Status{};
    if (cancel.cancelled()) co_return fail(Code::kCanceled, "the stream is being stopped");
  }
}

net::Task<Status> unlock_keys(ServerSession& session, std::string name, net::CancelToken cancel) {
  auto done = co_await session.query(fmt::format("SELECT RELEASE_LOCK({})", name), quick(cancel));
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

net::Task<Result<std::set<std::string>>> present_keys(ServerSession& session, KeyOwner owner, std::string table,
                                                      net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto rows,
                      co_await session.query(fmt::format("SELECT DISTINCT LOWER(index_name) FROM "
                                                         "information_schema.statistics WHERE table_schema = {} AND "
                                                         "table_name = {}",
                                                         sql_text(owner.database), sql_text(table)),
                                             wait));
  std::set<std::string> names;
  for (size_t i = 0; i < rows.rows.size(); ++i) names.emplace(rows.text(i, 0));
  co_return names;
}

std::string own_rows(const KeyOwner& owner, std::string_view table, bool of_workflow) {
  const std::string streams = of_workflow ? fmt::format(
                                                "vrepl_id IN (SELECT id FROM _vt.vreplication WHERE workflow = {} AND "
                                                "db_name = {})",
                                                sql_text(owner.workflow), sql_text(owner.database))
                                          : fmt::format("vrepl_id = {}", owner.stream);
  return fmt::format("table_name = {} AND {}", sql_text(table), streams);
}

net::Task<Status> defer_under_lock(ServerSession& session, KeyOwner owner, std::string table, net::CancelToken cancel) {
  const std::string name = full_name(owner, table);
  const auto ask = [&](std::string sql) { return session.query(std::move(sql), quick(cancel)); };
  CO_ASSIGN_OR_RETURN(const auto own,
                      co_await ask("SELECT 1 FROM _vt.post_copy_action WHERE " + own_rows(owner, table, false)));
  if (!own.rows.empty()) co_return Status{};
  CO_ASSIGN_OR_RETURN(const auto row, co_await ask(fmt::format("SELECT 1 FROM {} LIMIT 1", name)));
  if (!row.rows.empty()) co_return Status{};
  CO_ASSIGN_OR_RETURN(const auto others, co_await ask("SELECT action FROM _vt.post_copy_action WHERE " +
                                                      own_rows(owner, table, true) + " LIMIT 1"));
  std::vector<SecondaryKey> keys;
  if (!others.rows.empty()) {
    keys = keys_from_action(others.text(0, 0));
  } else {
    CO_ASSIGN_OR_RETURN(const auto created, co_await ask("SHOW CREATE TABLE " + name));
    keys = deferrable_keys(created.text(0, 1));
  }
  if (keys.empty()) co_return Status{};
  CO_RETURN_IF_ERROR(co_await session.run(
      {fmt::format("INSERT INTO _vt.post_copy_action (vrepl_id, table_name, action) VALUES ({}, {}, {})", owner.stream,
                   sql_text(table), sql_json(keys_to_action(name, keys)))},
      quick(cancel)));
  CO_ASSIGN_OR_RETURN(const auto present, co_await present_keys(session, owner, table, quick(cancel)));
  std::string drops;
  for (const auto& key : keys) {
    if (!present.contains(base::to_lower(key.name))) continue;
    drops += (drops.empty() ? " DROP KEY " : ", DROP KEY ") + mysqld::quote_identifier(key.name);
  }
  if (drops.empty()) co_return Status{};
  CO_RETURN_IF_ERROR(co_await session.run({"ALTER TABLE " + name + drops}, quick(cancel)));
  co_return co_await log_stream(
      session, owner.stream, kLogMessage, state_word(::binlogdata::Copying),
      fmt::format("{} secondary key(s) of table {} are added after its copy", keys.size(), table), quick(cancel));
}

net::Task<Result<bool>> restore_under_lock(ServerSession& session, KeyOwner owner, std::string table, bool at_once,
                                           net::CancelToken cancel) {
  const auto ask = [&](std::string sql) { return session.query(std::move(sql), quick(cancel)); };
  CO_ASSIGN_OR_RETURN(const auto own, co_await ask("SELECT action FROM _vt.post_copy_action WHERE " +
                                                   own_rows(owner, table, at_once) + " LIMIT 1"));
  if (own.rows.empty()) co_return false;
  const auto keys = keys_from_action(own.text(0, 0));
  const std::string forget = "DELETE FROM _vt.post_copy_action WHERE ";
  CO_ASSIGN_OR_RETURN(const auto rows,
                      co_await ask("SELECT COUNT(*) FROM _vt.post_copy_action WHERE " + own_rows(owner, table, true)));
  const bool others = mysqld::to_int(rows.text(0, 0)).value_or(0) > 1;
  bool added = false;
  CO_ASSIGN_OR_RETURN(const auto exists,
                      co_await ask(fmt::format("SELECT 1 FROM information_schema.tables WHERE table_schema = {} AND "
                                               "table_name = {}",
                                               sql_text(owner.database), sql_text(table))));
  if ((!others || at_once) && !exists.rows.empty()) {
    CO_ASSIGN_OR_RETURN(const auto present, co_await present_keys(session, owner, table, quick(cancel)));
    std::string adds;
    for (const auto& key : keys) {
      if (!present.contains(base::to_lower(key.name))) adds += (adds.empty() ? " ADD " : ", ADD ") + key.definition;
    }
    if (!adds.empty()) {
      CO_RETURN_IF_ERROR(co_await session.run({"ALTER TABLE " + full_name(owner, table) + adds},
                                              net::Wait::within(kBuildMax, cancel)));
      added = true;
    }
  }
  CO_RETURN_IF_ERROR(co_await session.run({forget + own_rows(owner, table, at_once)}, quick(cancel)));
  if (added) {
    CO_RETURN_IF_ERROR(co_await log_stream(session, owner.stream, kLogMessage, state_word(::binlogdata::Copying),
                                           fmt::format("secondary keys of table {} were added", table), quick(cancel)));
  }
  co_return added;
}

}  // namespace

std::vector<SecondaryKey> deferrable_keys(std::string_view create_table) {
  std::vector<SecondaryKey> keys;
  std::set<std::string> counted;  // AUTO_INCREMENT columns.
  for (std::string_view line : base::split(create_table, '\n')) {
    if (!line.starts_with("  ")) continue;
    line.remove_prefix(2);
    if (line.ends_with(',')) line.remove_suffix(1);
    if (line.starts_with('`')) {
      // A comment could hold the word, too; then one more key stays.
      if (line.find(" AUTO_INCREMENT") != std::string_view::npos) counted.insert(quoted_name(line));
      continue;
    }
    if (line.starts_with("CONSTRAINT ") && line.find(" FOREIGN KEY ") != std::string_view::npos) return {};
    if (!line.starts_with("KEY `")) continue;
    const std::string name = quoted_name(line.substr(4));
    const size_t open = line.find('(', 4 + mysqld::quote_identifier(name).size());
    if (name.empty() || open == std::string_view::npos) continue;
    if (counted.contains(quoted_name(line.substr(open + 1)))) continue;
    keys.push_back({name, std::string(line)});
  }
  return keys;
}

std::string keys_to_action(const std::string& table_name, const std::vector<SecondaryKey>& keys) {
  std::string task = "ALTER TABLE " + table_name;
  json list = json::array();
  for (const auto& key : keys) {
    task += (list.empty() ? " ADD " : ", ADD ") + key.definition;
    list.push_back({{"name", key.name}, {"definition", key.definition}});
  }
  return json{{"type", kSqlAction}, {"task", task}, {"keys", list}}.dump(-1, ' ', true, json::error_handler_t::replace);
}

std::vector<SecondaryKey> keys_from_action(std::string_view action) {
  std::vector<SecondaryKey> keys;
  const json document = json::parse(action, nullptr, false);
  if (!document.is_object() || !document.contains("keys") || !document["keys"].is_array()) return keys;
  for (const auto& key : document["keys"]) {
    if (!key.is_object()) continue;
    SecondaryKey out{key.value("name", ""), key.value("definition", "")};
    if (!out.name.empty() && !out.definition.empty()) keys.push_back(std::move(out));
  }
  return keys;
}

net::Task<Result<std::set<std::string>>> referenced_tables(ServerSession& session, std::string database,
                                                           net::CancelToken cancel) {
  CO_ASSIGN_OR_RETURN(const auto rows,
                      co_await session.query(fmt::format("SELECT DISTINCT LOWER(referenced_table_name) FROM "
                                                         "information_schema.key_column_usage WHERE "
                                                         "referenced_table_schema = {}",
                                                         sql_text(database)),
                                             net::Wait::within(std::chrono::minutes(10), cancel)));
  std::set<std::string> names;
  for (size_t i = 0; i < rows.rows.size(); ++i) names.emplace(rows.text(i, 0));
  co_return names;
}

net::Task<Status> defer_keys(ServerSession& session, KeyOwner owner, std::string table, net::CancelToken cancel) {
  const std::string lock = lock_name(owner, table);
  CO_RETURN_IF_ERROR(co_await lock_keys(session, lock, cancel));
  CO_RETURN_IF_ERROR(co_await defer_under_lock(session, std::move(owner), std::move(table), cancel));
  co_return co_await unlock_keys(session, lock, cancel);
}

net::Task<Result<bool>> restore_keys(ServerSession& session, KeyOwner owner, std::string table, bool at_once,
                                     net::CancelToken cancel) {
  const std::string lock = lock_name(owner, table);
  CO_RETURN_IF_ERROR(co_await lock_keys(session, lock, cancel));
  auto added = co_await restore_under_lock(session, std::move(owner), std::move(table), at_once, cancel);
  if (!added.ok()) co_return std::move(added).error();
  CO_RETURN_IF_ERROR(co_await unlock_keys(session, lock, cancel));
  co_return *added;
}

net::Task<Status> restore_all_keys(ServerSession& session, KeyOwner owner, net::CancelToken cancel) {
  CO_ASSIGN_OR_RETURN(
      const auto rows,
      co_await session.query(
          fmt::format("SELECT table_name FROM _vt.post_copy_action WHERE vrepl_id = {}", owner.stream), quick(cancel)));
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    auto added = co_await restore_keys(session, owner, std::string(rows.text(i, 0)), true, cancel);
    if (!added.ok()) co_return std::move(added).error();
  }
  co_return Status{};
}

}  // namespace vitrail::movement

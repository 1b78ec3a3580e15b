#include "tablet/sequences.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "mysql/convert.h"

namespace vitrail::tablet {
namespace {

int64_t number(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

net::Task<Result<int64_t>> Sequences::next(std::string table, int64_t count, net::Wait wait) {
  auto& slot = cached_[table];
  if (slot == nullptr) slot = std::make_shared<Cached>();
  co_return co_await take(slot, std::move(table), count, std::move(wait));
}

net::Task<Result<int64_t>> Sequences::take(std::shared_ptr<Cached> cached, std::string table, int64_t count,
                                           net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await cached->mutex.lock(wait));
  if (cached->end - cached->next < count) {
    CO_ASSIGN_OR_RETURN(auto lease, co_await pool_.acquire("", wait));
    std::string name;
    mysql::append_sql_identifier(name, table);
    std::string literal;
    mysql::append_sql_string(literal, table);
    auto comment = co_await lease->client.query(
        fmt::format(
            "select table_comment from information_schema.tables where table_schema = database() and table_name = {}",
            literal),
        wait);
    if (!comment.ok()) co_return std::move(comment).error();
    if (comment->text(0, 0).find("vitess_sequence") == std::string_view::npos) {
      co_return fail(Code::kInvalidArgument,
                     fmt::format("{} is not a sequence: create it with comment 'vitess_sequence'", table));
    }
    Status begun;
    if (auto begin = co_await lease->client.query("begin", wait); !begin.ok()) co_return std::move(begin).error();
    auto fail_with = [&](Error error) {
      lease.discard();  // Rolls back.
      return error;
    };
    auto row =
        co_await lease->client.query(fmt::format("select next_id, cache from {} where id = 0 for update", name), wait);
    if (!row.ok()) co_return fail_with(std::move(row).error());
    if (row->rows.size() != 1) {
      co_return fail_with(
          fail(Code::kNotFound, fmt::format("sequence {} has no row: insert into {} (id, next_id, cache) "
                                            "values (0, 1, 1000)",
                                            table, table)));
    }
    const int64_t stored = number(row->text(0, 0));
    const int64_t cache = std::max<int64_t>(number(row->text(0, 1)), 1);
    if (stored < 1) {
      co_return fail_with(
          fail(Code::kOutOfRange, fmt::format("sequence {}: next_id is {}, it must be at least 1", table, stored)));
    }
    // Goes on where the memory ends when nobody else reserved in between, so that no value is left out.
    const bool contiguous = stored == cached->end && cached->next < cached->end;
    const int64_t first = contiguous ? cached->next : stored;
    int64_t end = stored;
    while (end - first < count) end += cache;
    auto update = co_await lease->client.query(fmt::format("update {} set next_id = {} where id = 0", name, end), wait);
    if (!update.ok()) co_return fail_with(std::move(update).error());
    auto commit = co_await lease->client.query("commit", wait);
    if (!commit.ok()) co_return fail_with(std::move(commit).error());
    cached->next = first;
    cached->end = end;
  }
  const int64_t value = cached->next;
  cached->next += count;
  co_return value;
}

}  // namespace vitrail::tablet

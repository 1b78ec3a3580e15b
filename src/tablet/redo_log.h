#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/statements.h"

namespace vitrail::tablet {

// "ks:shard:number": the id of a transaction over several shards, and the shard that decides it.
struct Dtid {
  std::string keyspace;
  std::string shard;
  uint64_t number = 0;
  static Result<Dtid> parse(std::string_view text);
};

// The changes of an open transaction, as statements that make them again (docs/formats/twopc.md), or why that cannot
// be. A statement that failed has changed nothing and is not in it.
class RedoLog {
 public:
  static constexpr size_t kBytesMax = size_t{4} << 20;
  static constexpr size_t kTablesMax = 64;

  // What a statement had around it: `settings` is the session's SET statement, `now` the value of the variable
  // timestamp (empty: it was not set), `insert_id` the first id that it generated (0: none).
  void change(std::string_view settings, std::string_view now, uint64_t insert_id, std::string_view statement,
              std::string_view table);
  // What was said of the table when it was changed without that: no column of it is set by the clock.
  void without_clock(std::string_view table);
  // A change of the table with LIMIT, which meets one row at most when `columns` hold its key.
  void one_row(std::string_view table, const std::vector<std::string>& columns);
  // A savepoint, or the way back to one.
  void mark(std::string_view statement);
  // There was something that cannot be made again. The first reason stays.
  void cannot(std::string why);
  void clear() { *this = RedoLog(); }

  bool empty() const { return statements_.empty() && why_not_.empty(); }
  bool changed() const { return changed_ || !why_not_.empty(); }
  const std::string& why_not() const { return why_not_; }
  const std::vector<std::string>& statements() const { return statements_; }
  // Those that were changed, as they were written.
  const std::vector<std::string>& tables() const { return tables_; }
  bool was_without_clock(std::string_view table) const;
  struct OneRow {
    std::string table;
    std::vector<std::string> columns;
    friend bool operator==(const OneRow&, const OneRow&) = default;
  };
  const std::vector<OneRow>& one_rows() const { return one_rows_; }

 private:
  void add(std::string statement);

  std::vector<std::string> statements_;
  std::vector<std::string> tables_;
  std::vector<std::string> without_clock_;
  std::vector<OneRow> one_rows_;
  std::string settings_;
  std::string why_not_;
  size_t bytes_ = 0;
  bool changed_ = false;
};

// `text` with the values in the places of its parameters, in a session with `settings` (its SET statement). Nothing:
// that would not be the same.
std::optional<std::string> spelt_out(std::string_view text, std::string_view settings,
                                     std::span<const mysql::Parameter> parameters);

// Statements as the one text that is stored: of each its length in bytes, a colon, and itself.
std::string pack_statements(const std::vector<std::string>& statements);
//   kDataLoss: it is no such text.
Result<std::vector<std::string>> unpack_statements(std::string_view packed);

}  // namespace vitrail::tablet

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "movement/server_session.h"
#include "movement/table_schema.h"

// What the rows of an interval come to: how many, and the exclusive or of a hash of 64 bits of each, computed by the
// server that has them. A VDiff takes equal sums for equal rows, and looks at the rows where they differ.
//
// Two rows that differ have the same hash by chance only, one time in about 2^64. CRCs alone would not do: they are
// linear, so the same change of two rows would cancel out; a product of two of them is not.
namespace vitrail::movement {

enum class HashKind : uint8_t {
  kMix,  // MariaDB from 10.8 on: crc32 * crc32c, each over all of the row. What a value is goes into it as it is: no
         // text is put together, whole numbers are not printed.
  kSha,  // Every server, some five times slower: the first 64 bits of SHA-256 over a text from which the row can be
         // read back: of each column as much as its text in a result says (read_expression()), behind its length where
         // it may hold anything.
};
std::string_view hash_name(HashKind kind);
std::optional<HashKind> parse_hash(std::string_view name);
// The fastest one that a server has.
HashKind best_hash(const mysqld::ServerVersion& server);
bool has_hash(const mysqld::ServerVersion& server, HashKind kind);

// How a value goes into the hash of a row: what has no form cannot be summed.
enum class HashForm : uint8_t {
  kNone,
  kNarrow,  // A whole number of up to 32 bits.
  kWide,    // Of up to 64.
  kPlain,   // Short, and without '#' in its text.
  kSized,   // Any bytes.
};
HashForm hash_form(::query::Type type, std::string_view column_type);
// Whether equal values give equal hashes on two servers where the forms of a column are these.
bool same_form(HashKind kind, HashForm a, HashForm b);

// SQL of the hash of a row over `columns` of `table`, for sessions with character set binary; what it gives depends on
// their order and forms, not on which of them may be NULL. nullopt when one of them has no form, or when there are more
// columns than a kMix takes. A row that is too long for the server to put together (kSha) gets a random number, so that
// the sum differs.
std::optional<std::string> hash_expression(HashKind kind, const TableSchema& table, std::span<const size_t> columns);

struct IntervalSum {
  uint64_t rows = 0;
  uint64_t hash = 0;

  void add(uint64_t row_hash) {
    ++rows;
    hash ^= row_hash;
  }
  IntervalSum& operator+=(const IntervalSum& other) {
    rows += other.rows;
    hash ^= other.hash;
    return *this;
  }
  bool operator==(const IntervalSum&) const = default;
};

// Keys behind `low` and not behind `high`, each empty or of key_expression(); "" when both are empty.
std::string interval_condition(const TableSchema& table, const std::vector<std::string>& low,
                               const std::vector<std::string>& high);
// Both conditions; either may be empty.
std::string and_also(std::string condition, const std::string& other);
// `from`: "`db`.`t` FORCE INDEX (..)", `where`: of the interval, without WHERE, may be empty.
std::string sum_query(std::string_view expression, std::string_view from, std::string_view where);
// Of sum_query()'s only row. kInternal: it is not that.
Result<IntervalSum> read_sum(const mysqld::Rows& rows);

// Looks for a key behind `low` (empty: the beginning) and not behind `high` (empty: the end) such that about `wanted`
// rows lie up to it; empty: there are not so many. What is found need not be the key of a row.
net::Task<Result<std::vector<std::string>>> find_bound(ServerSession& session, const TableSchema& table,
                                                       std::string from, std::vector<std::string> low,
                                                       std::vector<std::string> high, uint64_t wanted, net::Wait wait);

// How many rows the next interval should have, from how long the last one took: snapshots should stay young.
uint64_t next_interval_rows(uint64_t rows, base::Duration took);
inline constexpr uint64_t kIntervalRowsMin = 20'000;
inline constexpr uint64_t kIntervalRowsFirst = 100'000;
inline constexpr uint64_t kIntervalRowsMax = 1'000'000;

}  // namespace vitrail::movement

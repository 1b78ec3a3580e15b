#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/mysql_client.h"
#include "shard/target.h"

namespace vitrail::gate {

// The numbers in "Rows matched: 3  Changed: 2  Warnings: 0".
std::vector<uint64_t> numbers_of(std::string_view info);

// What a change has done so far, and how it is held together.
struct ChangeOutcome {
  bool own_transaction = false;     // Begun for it.
  bool guarded = false;             // Inside of a client's transaction: behind a savepoint on each shard.
  std::vector<shard::Target> done;  // Where it has changed something.
  bool ignore = false;              // INSERT IGNORE
  bool copies = false;   // Each shard changes its copy of the same rows, so that one shard's answer is that of all.
  bool updates = false;  // UPDATE
  bool tells_records = false;  // INSERT ... SELECT
  uint64_t affected = 0;
  uint64_t matched = 0;
  uint64_t changed = 0;
  uint64_t records = 0;
  uint64_t duplicates = 0;
  uint64_t last_insert_id = 0;  // Of a sequence.
  uint64_t servers_insert_id = 0;
  uint64_t given_id = 0;                     // Of a row that came with its own, where a server tells none.
  bool id_given = false;                     // It is the statement's own, which LAST_INSERT_ID() does not tell.
  bool takes_servers_insert_id = false;      // Where a server tells one, it comes before the sequence's.
  bool tells_found_id = false;               // So does that of a row that was there; LAST_INSERT_ID() stays then.
  std::string told_info;                     // Not empty: the info, as it is.
  std::optional<net::QueryResult> returned;  // RETURNING
  std::vector<uint64_t> returned_places;     // Which of the statement's rows they are, where each gave one.
  bool ordered = true;

  // Adds what a shard has answered. `rows`: how many an INSERT had; 0 for all else.
  void add(const net::QueryResult& result, uint64_t rows, bool ignores);
  // The id that the client is told, and whether it is what LAST_INSERT_ID() gives from now on.
  struct InsertId {
    uint64_t told = 0;
    bool remembered = false;
  };
  InsertId insert_id() const;
  // As in the OK packet of one server.
  std::string info(uint16_t warnings) const;
  void note_places(const std::vector<uint64_t>& places, size_t rows);
  // Puts the rows that were returned into the statement's order, if they can be told.
  void order_returned();
};

// Rows of an INSERT for one shard.
struct InsertBatch {
  shard::Target target;
  std::string text;
  std::vector<uint64_t> places;  // Of its rows in the statement.
};

// Collects rows into statements of bounded size.
class InsertBatches {
 public:
  InsertBatches(std::string prefix, std::string suffix) : prefix_(std::move(prefix)), suffix_(std::move(suffix)) {}
  // A statement that is full now.
  std::optional<InsertBatch> add(const shard::Target& target, std::string_view row);
  std::vector<InsertBatch> rest();

 private:
  std::string prefix_;
  std::string suffix_;
  std::vector<InsertBatch> batches_;
  uint64_t next_ = 0;
};

}  // namespace vitrail::gate

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "mysql/types.h"
#include "plan/found_rows.h"
#include "shard/keyspace_id.h"
#include "shard/lookup.h"
#include "shard/vindex.h"
#include "sql/ast.h"
#include "sql/effects.h"

namespace vitrail::vschema {
struct Table;
}

namespace vitrail::plan {
struct LookupWatch;
}

// What the planner makes of a statement: where to send which text, and what to do with the rows that come back.
//
// A plan is immutable and belongs to one vschema version. Plans with `cacheable` hold for every statement of the same
// fingerprint (their routing values are taken from the statement's literals by position); all others are good for the
// one statement, with the one set of literals and parameters, for which they were made.
namespace vitrail::plan {

// Where a routing value comes from.
struct ValueSource {
  enum class Kind : uint8_t {
    kConstant,   // `constant`
    kLiteral,    // The statement's literal number `index` (sql::FingerprintResult::literals), minus sign in `negative`.
    kParameter,  // The prepared statement's parameter number `index`.
  };
  Kind kind = Kind::kConstant;
  uint32_t index = 0;
  bool negative = false;
  mysql::Value constant;
};

// What is known of the values of a vindex column: which values of a statement have exactly one place.
enum class KeyType : uint8_t {
  kUnknown,  // Rows that a comparison with one value matches may be placed by many values ("a" = "A", "1" = 1.0).
  kInteger,
  kBytes,  // VARBINARY: compared byte by byte.
};

// A question to the table of a lookup vindex: where rows are that have these values.
struct LookupRead {
  std::shared_ptr<const shard::Lookup> lookup;
  std::vector<size_t> places;       // Of lookup->from, those that are compared.
  std::vector<ValueSource> values;  // One for each place; with `list`, one place and any of these values.
  bool list = false;
};

// Which shards of a keyspace a text goes to.
struct Route {
  enum class Kind : uint8_t {
    kAnyShard,  // Unsharded keyspace: its one shard. Reference table: any one shard.
    kByValues,  // `vindex` of `values`, one value per vindex column: the shard (or few) where such rows are.
    kByList,    // `vindex` of each of `values` (column IN (...)), single column: the shards of all of them.
    kAllShards,
    kByLookup,  // The one shard that `lookup` tells.
    kByIds,     // The shards of `ids`.
    kNoShard,   // Provably no row: nothing is asked, the result is empty (column = NULL). Needs the column definitions:
                // the executor asks any one shard with the impossible condition already in the text.
  };
  Kind kind = Kind::kAnyShard;
  std::string keyspace;
  std::shared_ptr<const shard::Vindex> vindex;
  KeyType key_type = KeyType::kUnknown;
  std::vector<ValueSource> values;
  std::shared_ptr<const LookupRead> lookup;  // Of kByLookup; of kAllShards: it leaves out shards without such rows.
  std::vector<shard::KeyspaceId> ids;
  // Of kByList: which conjunct of WHERE has the list, so that each shard can be asked for its own values alone (see
  // plan/key_list.h). nullopt: it stands elsewhere.
  std::optional<uint32_t> list_conjunct;
  // With kAnyShard: not any, but the only one. A keyspace with several has no place for what is sent there.
  bool only_shard = false;
  // The choice was made by looking at a value: it does not hold for the next statement of the same fingerprint.
  bool by_value = false;
};

enum class AggregateFunction : uint8_t { kCount, kSum, kMin, kMax, kAvg, kAny };

// How the value of a key travels from the shards, beside its weight_string().
enum class KeyForm : uint8_t {
  kAsIs,
  kNumber,  // ENUM and SET: as the number by which they are ordered.
  kDouble,  // FLOAT, and what is printed with fewer digits than it has: as a DOUBLE.
};

// What happens to rows of several shards. Empty: they are concatenated as they come.
struct Merge {
  // Something by which rows are compared. Shards compare by types and collations that are not known here; therefore the
  // shards' select list gets hidden columns at its end: a key's value, its weight_string(), and the weight of a blank
  // in its collation ('' where blanks at the end count, NULL where weights cannot be compared so).
  struct Key {
    uint32_t column = 0;  // Of the shards' rows; when `hidden`, counted from the first hidden column.
    bool hidden = false;
    std::optional<uint32_t> weight;  // Hidden column; the weight of a blank follows it.
    bool descending = false;
    uint32_t ordinal = 0;  // For PlanContext::key_forms; meaningless unless `hidden`.
  };
  struct Aggregate {
    uint32_t column = 0;  // Of the shards' rows. COUNT and SUM of the shards are summed; kAny keeps one (grouping
                          // columns and columns that depend on them).
    AggregateFunction function = AggregateFunction::kAny;
    std::optional<uint32_t> weight;  // Of MIN and MAX, as Key::weight.
    uint32_t sum = 0;                // Of AVG: the hidden columns with SUM and COUNT of the same values.
    uint32_t count = 0;
  };
  // HAVING: a group's value is compared with a number.
  struct Condition {
    uint32_t column = 0;  // Of the shards' rows.
    sql::BinaryOp comparison = sql::BinaryOp::kEqual;
    std::string number;  // A whole or decimal one.
  };
  // One per output column when not empty, then those of hidden columns that HAVING or ORDER BY names.
  std::vector<Aggregate> aggregates;
  std::vector<Condition> having;  // Groups of which one is not true are none.
  std::vector<Key> group_by;      // Rows with equal values of these are one group.
  // One of `aggregates`, by its column: the least primary key of a group's rows. Of texts that are equal ("a", "A")
  // that of the group's first row is shown, as where one server reads them all in the order of their keys.
  std::optional<uint32_t> first_row;
  bool in_row_order = false;  // Groups without ORDER BY come in the order of `first_row`, not of their keys.
  std::vector<Key> order_by;
  bool distinct = false;
  std::vector<Key> distinct_by;  // Empty: by all visible columns.
  std::optional<uint64_t> limit;
  uint64_t offset = 0;
  uint32_t hidden_columns = 0;    // Of the shards' rows, at the end: cut before the client sees them.
  bool count_found_rows = false;  // SQL_CALC_FOUND_ROWS: the shards' rows are all that there are without LIMIT.
  // GROUP BY has a name that was taken for an alias. Where a column has it too, that is what servers group by, and they
  // warn: then the answers are of no use.
  bool warnings_refuse = false;

  bool empty() const {
    return aggregates.empty() && group_by.empty() && order_by.empty() && !distinct && !limit && offset == 0 &&
           hidden_columns == 0 && !count_found_rows;
  }
};

// A sharded INSERT: one text per shard, made once the missing sequence values are known.
struct ShardedInsert {
  std::string keyspace;
  std::shared_ptr<const shard::Vindex> vindex;
  // What is done about rows that are there already.
  enum class Conflict : uint8_t { kError, kIgnore, kUpdate, kReplace };
  Conflict conflict = Conflict::kError;
  std::shared_ptr<const vschema::Table> table;  // When it has lookup vindexes.
  // kUpdate and kReplace, where rows that are there already may have other lookup rows afterwards. See plan/lookup.h.
  std::shared_ptr<const LookupWatch> watch;
  // The table's other functions: they must give the row the keyspace id that the first one gives.
  struct Secondary {
    std::shared_ptr<const shard::Vindex> vindex;
    std::vector<std::string> columns;
  };
  std::vector<Secondary> secondary;
  std::string prefix;  // "insert into t(a, b) values "
  std::string suffix;  // " on duplicate key update ..."
  struct Row {
    // The row's text is text[0] <sequence value> text[1]; without a sequence value to fill in, text[0] alone.
    std::vector<std::string> text;
    std::vector<mysql::Value> key;  // The vindex columns' values. Where `key_from_sequence`, the filled-in value.
    bool key_from_sequence = false;
    bool needs_value = false;
    // For each of the table's lookup vindexes: the values of its columns; nullopt: the filled-in value.
    std::vector<std::vector<std::optional<mysql::Value>>> lookups;
    // For each of `secondary`: the values of its columns, likewise. Empty: there is nothing to verify (a NULL).
    std::vector<std::vector<std::optional<mysql::Value>>> secondary;
    std::string conflicts;  // With `watch`: the condition of rows that are in its way; "" where there can be none.
  };
  std::vector<Row> rows;
  // Where values come from: SELECT NEXT n VALUES FROM `sequence_table` in `sequence_keyspace`. Empty: none needed.
  std::string sequence_keyspace;
  std::string sequence_table;
  // ON DUPLICATE KEY UPDATE x = LAST_INSERT_ID(x): where a server tells an id, it is the statement's.
  bool servers_insert_id = false;
  std::optional<uint64_t> given_id;  // The last row's, where no row needs a value: what drivers are told.
  // ON DUPLICATE KEY UPDATE of one row that would get a generated id: where it is there, its server tells its id.
  bool tells_found_id = false;
  uint64_t values_needed() const;
};

// An UPDATE or DELETE of rows that lookup vindexes have to learn of.
struct LookupChange {
  std::shared_ptr<const vschema::Table> table;
  std::vector<size_t> uses;  // Of table->lookups.
  bool removes = false;
  // The rows that will change, locked: the columns of the primary vindex; then for each use its columns; and, of an
  // UPDATE, for each use what its columns become.
  std::string rows;
};

// The name of a server's database, and the keyspace that clients know in its place.
struct ShownName {
  std::string database;
  std::string keyspace;
  bool empty() const { return database.empty(); }
};

// SHOW TABLE STATUS, SHOW INDEX and CHECKSUM TABLE: each shard tells of its own rows, and the answers are put together.
struct ShownParts {
  enum class Of : uint8_t { kStatus, kIndex, kChecksum };
  Of of = Of::kStatus;
  std::set<std::string> copies;  // Tables that are the same on each shard, in lower case.
  std::vector<std::string> key;  // Of SHOW INDEX: the columns that place a row, in lower case.
  std::string condition;         // Its WHERE, for the rows as they are in the end; "" for none.
};

// CREATE TABLE ... SELECT in a sharded keyspace, of a table that the vschema places: made without rows on each shard,
// and filled by an INSERT.
struct CreateSelect {
  std::string keyspace;
  std::string table;
  std::string create;  // What each shard makes, of no rows.
  std::string query;   // As it is written.
};

struct Finish;
struct InsertRows;
struct Change;
struct Load;

// A prepared statement's text for servers that are asked in text form: pieces, and between them its parameters.
struct ParameterText {
  struct Place {
    uint32_t parameter = 0;
    bool limit = false;  // Of LIMIT, where servers take digits alone.
  };
  std::vector<std::string> pieces;  // One more than places.
  std::vector<Place> places;
  std::string with(std::span<const mysql::Value> parameters) const;
};

// The AUTO_INCREMENT column of an INSERT that names it; and its place in the rows. See plan/given_id.h.
struct GivenId {
  std::string column;
  size_t place = 0;
};

struct Plan {
  enum class Kind : uint8_t {
    kRoute,       // `route`, `text`, `merge`
    kInsert,      // `insert`
    kFinish,      // `finish`
    kInsertRows,  // `insert_rows`
    kChange,      // `change`
    kLoad,        // `load`
  };
  Kind kind = Kind::kRoute;
  bool is_read = false;  // A SELECT (or SHOW ...) without FOR UPDATE: may go to replicas, changes nothing.
  bool is_ddl = false;
  bool cacheable = false;
  sql::Effects effects;  // What it leaves in the connection that runs it.
  Route route;
  // The text to send: nullopt means the client's own text, byte for byte (then it may be relayed, and, prepared, be
  // executed as a prepared statement on the shards).
  std::optional<std::string> text;
  // The text by which a shard tells the shape of the answer at COM_STMT_PREPARE, where that is not `text` (which has
  // hidden columns) or the client's own.
  std::optional<std::string> shape;
  // What the session knows of the statement's end is to be asked on the same connection: FOUND_ROWS() after
  // SQL_CALC_FOUND_ROWS, LAST_INSERT_ID() after SELECT LAST_INSERT_ID(x).
  bool asks_found_rows = false;
  FoundRows found_rows = FoundRows::kAnswer;
  bool asks_insert_id = false;
  std::optional<GivenId> given_id;
  Merge merge;
  ShownName names;  // Not empty: names of databases in the answer are translated (see plan/schema_names.h).
  std::shared_ptr<const ShownParts> shown_parts;
  std::optional<ShardedInsert> insert;
  std::shared_ptr<const Finish> finish;           // See plan/finish.h.
  std::shared_ptr<const InsertRows> insert_rows;  // See plan/insert.h.
  std::shared_ptr<const Change> change;           // See plan/change.h.
  std::shared_ptr<const Load> load;               // See plan/load.h.
  std::shared_ptr<const CreateSelect> create_select;
  float mirror_percent = 0;  // Of a read: how often it is run again where mirror rules lead (gate/mirror.h).
  bool returning = false;    // INSERT and DELETE ... RETURNING
  bool copies = false;  // Changes the same rows on each shard (a reference table): one shard's count is that of all.
  std::shared_ptr<const LookupChange> lookup_change;
  // Where an unsharded INSERT uses a sequence, `insert` is used with a route of one shard.
};

}  // namespace vitrail::plan

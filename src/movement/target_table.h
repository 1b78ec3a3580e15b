#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "movement/table_schema.h"

namespace vitrail::movement {

// A table of the target as one stream writes it: the stream's fields bound to the table's columns. Immutable.
class TargetTable {
 public:
  // `fields`: what the stream delivers. Every one of them must be a column of the table, or data would be lost
  // (kFailedPrecondition); columns of the table that the stream does not have get their defaults.
  static Result<TargetTable> bind(const TableSchema& table, std::string_view database,
                                  const google::protobuf::RepeatedPtrField<::query::Field>& fields);

  const TableSchema& schema() const { return schema_; }
  const std::string& qualified_name() const { return qualified_; }
  size_t field_count() const { return fields_; }
  // The columns that are written: index of the field, and of the column in schema().
  struct Binding {
    size_t field;
    size_t column;
    ::query::Type source_type;
  };
  std::span<const Binding> bindings() const { return bindings_; }

  // The identity of a row as bytes: equal for equal rows of one stream. kDataLoss when a part of it is NULL.
  Status key_of(std::span<const mysql::Cell> cells, std::string& key) const;

  // "INSERT INTO `db`.`t` (`a`, `b`) VALUES " and "(1, 'x')".
  const std::string& insert_head() const { return insert_head_; }
  void append_values(std::string& out, std::span<const mysql::Cell> cells) const;
  // An ENUM's value that is none of its members, which a server keeps as number 0 and shows as '': a strict session
  // cannot write it. append_values() gives the first member instead, and this the statement that is to follow.
  bool has_blank_enum(std::span<const mysql::Cell> cells) const;
  std::string blank_enums(std::span<const mysql::Cell> cells) const;
  // "`a` = 1 AND `b` = 'x'" of the identity; or, where the identity is one column, only the literal for an IN list.
  bool has_single_key() const { return key_.size() == 1; }
  void append_key(std::string& out, std::span<const mysql::Cell> cells) const;
  // "DELETE FROM t WHERE a IN (" or "DELETE FROM t WHERE (", and what closes it.
  const std::string& delete_head() const { return delete_head_; }
  // Likewise a SELECT of how many of these rows there are.
  const std::string& count_head() const { return count_head_; }
  std::string_view key_separator() const { return has_single_key() ? ", " : " OR "; }
  // A SELECT of one value: no row when the identity is not there, 1 when the row has exactly these values, else 0.
  std::string compare_query(std::span<const mysql::Cell> cells) const;

  // LOAD DATA LOCAL: whether all columns can be written so, the statement, and one line of its file.
  bool can_load() const { return can_load_; }
  std::string load_statement() const;
  static void append_line(std::string& out, const TargetTable& table, std::span<const mysql::Cell> cells);

  // The key of a row that read_list() gave, in the form of a last key of VStreamRows. Not for identities with a key
  // expression.
  ::query::QueryResult key_result(const std::vector<std::optional<std::string>>& row,
                                  const google::protobuf::RepeatedPtrField<::query::Field>& pkfields) const;

  // Columns as read back for a comparison with rows that a source's VStreamRows gives, in the order of bindings().
  std::string read_list() const;

 private:
  TableSchema schema_;
  std::string qualified_;
  size_t fields_ = 0;
  std::vector<Binding> bindings_;
  bool is_blank(size_t binding, std::span<const mysql::Cell> cells) const;

  std::vector<size_t> key_;    // Into bindings_, in the order of the identity.
  std::vector<size_t> enums_;  // Likewise: those without a member ''.
  std::string insert_head_;
  std::string delete_head_;
  std::string count_head_;
  bool can_load_ = true;
};

// What a run of changes leaves of each row it touches: the rows to delete and the rows to insert, in this order. Order
// and number of the changes in between do not matter any more, nor do unique keys that change hands on the way.
//
// Why that is right: every change was legal on the source, one after the other, and before the run the target held the
// same rows as the source, or (while copying) some of them. So a row that is inserted without having been deleted in
// the run was not there before, and the rows that are left alone do not conflict with what the run leaves behind.
//
// As long as rows are only inserted, nothing can have happened to one of them twice: they are kept as they came, and
// found by their keys only from the first delete on.
class RowBatch {
 public:
  explicit RowBatch(std::shared_ptr<const TargetTable> table) : table_(std::move(table)) {}

  // kDataLoss when the row exists already as far as the run knows. Among rows that are only inserted the server tells.
  Status insert(::query::Row row);
  Status remove(const ::query::Row& row);

  const TargetTable& table() const { return *table_; }
  const std::shared_ptr<const TargetTable>& shared_table() const { return table_; }
  uint64_t bytes() const { return bytes_; }

  // Statements, each at most about 1 MiB, in order.
  void append_deletes(std::vector<std::string>& statements) const;
  // `skip`: rows of fresh() that are left out.
  void append_inserts(std::vector<std::string>& statements, const std::vector<const ::query::Row*>& skip = {}) const;
  // Rows that are inserted without a delete: none of them may be there already.
  std::vector<const ::query::Row*> fresh() const;
  // Whether the run has so many rows, all only inserted, that LOAD DATA is the faster way; then the rows as its file.
  bool may_load() const;
  std::string load_file() const;
  size_t inserted() const { return inserts_.size(); }

 private:
  struct Entry {
    bool existed = false;  // Before the run.
    bool present = false;  // After it.
    std::string match;     // append_key(), when existed.
    ::query::Row row;      // When present.
  };
  Status index_inserts();
  Status enter(::query::Row row);

  std::shared_ptr<const TargetTable> table_;
  bool has_blank_ = false;  // One of inserts_ has a blank ENUM.
  bool indexed_ = false;    // From the first delete on: what follows holds all rows, and inserts_ none.
  std::vector<::query::Row> inserts_;
  std::unordered_map<std::string, Entry> entries_;
  std::vector<const Entry*> order_;
  uint64_t bytes_ = 0;
  std::vector<mysql::Cell> cells_;  // Scratch.
  std::string key_;                 // Scratch.
};

}  // namespace vitrail::movement

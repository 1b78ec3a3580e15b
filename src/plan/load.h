#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/insert.h"

// LOAD DATA LOCAL INFILE into a sharded table: the file is cut into lines, and each line goes, as it is, to the shard
// where its row belongs. There a server reads it by the same rules.
namespace vitrail::plan {

// How lines and fields are told apart.
struct LoadFormat {
  std::string field_end = "\t";
  std::optional<char> enclosed;
  std::optional<char> escape = '\\';
  std::string line_end = "\n";
};

struct Load {
  std::string keyspace;
  std::string table;
  std::shared_ptr<const shard::Vindex> vindex;
  std::string file;  // As the client is asked for it.
  std::string text;  // For the shards: all lines are rows.
  LoadFormat format;
  uint64_t skipped_lines = 0;
  // `at`: the field's place in a line; none: a value of the sequence.
  std::vector<InsertRows::Key> key;
  std::string charset;   // Of the file; "" where the servers' setting decides.
  bool replace = false;  // What is there already goes; else lines that meet it are left out.
  // The field of a column that takes values of a sequence: NULL and 0 would ask for one.
  std::optional<size_t> generated_at;

  // Not empty: the file has no such field, and each line gets a value of the sequence, as a field in front of its own.
  std::string sequence_keyspace;
  std::string sequence_table;
  // When the table has lookup vindexes: where the values of each of them are in a line.
  std::shared_ptr<const vschema::Table> with_lookups;
  struct Value {
    std::optional<size_t> at;  // Without it: a value of the sequence, or NULL.
    bool generated = false;
    schema::Column column;
  };
  std::vector<std::vector<Value>> lookups;
  // Whether lines are kept and loaded some at a time: there is more to be done about each than to send it on.
  bool in_batches() const { return with_lookups != nullptr || !sequence_table.empty(); }
  // The fields that a LineCutter is to find: those of the key, those of lookups, and `generated_at`.
  std::vector<size_t> fields() const;
};

// What a column of a lookup vindex stores of a field (nullopt: NULL) in this character set.
//   kUnimplemented  it may be something else.
Result<mysql::Value> loaded_value(const schema::Column& column, const std::optional<std::string>& field,
                                  std::string_view charset);

// `text`: the statement as written. kUnimplemented: a form of it whose lines cannot be told apart here.
Result<std::shared_ptr<const Plan>> plan_load(const sql::LoadData& load, const PlanContext& context);

// Finds the ends of lines in a file that comes in pieces, and the fields that are asked for.
class LineCutter {
 public:
  LineCutter(const LoadFormat& format, std::vector<size_t> fields);

  struct Line {
    std::string_view bytes;                          // With its end. Valid until the next add().
    std::vector<std::optional<std::string>> fields;  // Those asked for; nullopt: NULL.
    bool complete = true;                            // Has all fields asked for.
  };
  void add(std::string_view piece);
  // The next line whose end is there. With `last`, the rest of the file too.
  std::optional<Line> next(bool last);
  size_t held() const { return buffer_.size() - begin_; }

 private:
  // The end of the line that begins at begin_, fields noted; npos: it is not there yet.
  size_t scan(bool last, Line& line) const;

  LoadFormat format_;
  std::vector<size_t> fields_;
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace vitrail::plan
